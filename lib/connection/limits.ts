/** The default limits of a connection, in time and in memory. @module */

/** How long a connection may stand still and how much may wait. */
export interface ConnectionLimits {
  /** Ms without a byte while an operation is pending. */
  readonly idleTimeout: number;
  /** Ms without a byte received while a read is pending. */
  readonly receiveTimeout: number;
  /** Ms for a frame or record that has begun. */
  readonly frameTimeout: number;
  /** Ms for a write to advance. */
  readonly writeTimeout: number;
  /** Bytes that may wait behind the write in progress. */
  readonly maxUnsent: number;
}

/** Limits of every connection, served or wrapped. */
export const DEFAULT_LIMITS: ConnectionLimits = Object.freeze({
  idleTimeout: 300_000,
  receiveTimeout: Infinity,
  frameTimeout: 30_000,
  writeTimeout: 30_000,
  maxUnsent: 1_048_576,
});

/** Ms for the handshake of TLS, and for all else that comes before a handler. */
export const DEFAULT_HANDSHAKE_TIMEOUT = 10_000;
