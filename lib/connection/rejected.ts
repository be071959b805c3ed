/** How is an operation refused without ending the process of who does not look? @module */

/** A rejection that counts as handled: an un-awaited operation costs its connection, no more. */
export function rejected(error: unknown): Promise<never> {
  const promise = Promise.reject(error);
  promise.catch(() => {});
  return promise;
}
