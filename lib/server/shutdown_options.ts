/** Checks and completes the options of `shutdown()`. @module */

import { checkKeys, checkTime } from "../check.ts";
import type { ShutdownOptions } from "./server.ts";

/**
 * Checks and completes the options of `shutdown()`, of a server or of a fleet.
 *
 * @param shutdownTimeout What `timeout` is unless given.
 */
export function completeShutdownOptions(
  options: ShutdownOptions,
  shutdownTimeout: number,
): Required<ShutdownOptions> {
  checkKeys("shut down", options, ["lameDuck", "timeout", "spread"]);
  const { lameDuck = 0, timeout = shutdownTimeout, spread = 0 } = options;
  return {
    lameDuck: checkTime("shut down", "lameDuck", lameDuck),
    timeout: checkTime("shut down", "timeout", timeout),
    spread: checkTime("shut down", "spread", spread),
  };
}
