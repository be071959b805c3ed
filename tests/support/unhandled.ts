/** Collects rejections that were not handled. @module */

import { turns } from "./wait.ts";

/** Runs something; returns the unhandled rejections, which would have ended the process. */
export async function unhandledDuring(run: () => void | Promise<void>): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const note = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    reasons.push(event.reason);
  };
  globalThis.addEventListener("unhandledrejection", note);
  try {
    await run();
    await turns();
  } finally {
    globalThis.removeEventListener("unhandledrejection", note);
  }
  return reasons;
}
