/** Maps an error to the TLS alert that is sent for it. @module */

const alerts = new WeakMap<object, number>();

/** The same error, with the description of its alert (RFC 8446, 6). */
export function withAlert<T extends Error>(error: T, description: number): T {
  alerts.set(error, description);
  return error;
}

/** The description of the alert for this error, if it was given one. */
export function alertOf(error: unknown): number | undefined {
  return typeof error === "object" && error !== null ? alerts.get(error) : undefined;
}
