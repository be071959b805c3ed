/** How long may a connection stand still, and how much may wait, when nothing is said? @module */

import type { ConnectionLimits } from "./connection.ts";

/** Limits of every connection, served or wrapped. */
export const DEFAULT_LIMITS: ConnectionLimits = Object.freeze({
  idleTimeout: 300_000,
  writeTimeout: 30_000,
  maxUnsent: 1_048_576,
});

/** Ms within which a frame that has begun must be complete. */
export const DEFAULT_FRAME_TIMEOUT = 30_000;
