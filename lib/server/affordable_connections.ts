/** How many connections the descriptors of the process are enough for. @module */

import { Lingering } from "./lingering.ts";

/**
 * Descriptors that are not for slots: Deno's own 20, listeners, a status page with its reserve, files
 * and backends of the program, and refused connections that are being sent the reason.
 */
const OTHERS = 192;

/** What Deno wants to have been granted before it opens a file below `/proc`. */
const ALL = "read write import net env sys run ffi".split(" ") as Deno.PermissionName[];

/**
 * The most connections for which no descriptor can be missing, lingering ones included, under the hard
 * limit of the process: Deno raises the soft one to it. `undefined` where the limit cannot be read
 * without a prompt: anywhere but on Linux, and without `--allow-all`.
 */
export function affordableConnections(): number | undefined {
  const limit = descriptorLimit();
  if (limit === undefined) return undefined;
  // A limit of some dozens leaves nothing, but serving little is better than not at all.
  const least = Math.max(1, Math.floor(limit / 4));
  const rest = limit - Math.min(OTHERS, least);
  let slots = rest;
  while (slots > least && slots + Lingering.limit(slots) > rest) {
    slots = Math.max(least, Math.min(slots - 1, rest - Lingering.limit(slots)));
  }
  return slots;
}

function descriptorLimit(): number | undefined {
  if (Deno.build.os !== "linux" || !ALL.every(isGranted)) return undefined;
  try {
    const limits = Deno.readTextFileSync("/proc/self/limits");
    const hard = /^Max open files +\S+ +(\d+)/m.exec(limits)?.[1];
    return hard === undefined ? undefined : Number(hard);
  } catch {
    return undefined;
  }
}

function isGranted(name: Deno.PermissionName): boolean {
  const { state, partial } = Deno.permissions.querySync({ name } as Deno.PermissionDescriptor);
  return state === "granted" && !partial;
}
