/** Sends a server messages of which it keeps a small part. @module */

import type { LoadReport, LoadSettings } from "./load_process.ts";
import { type Kept, KEPT_ITEMS, type KeptItem } from "./servers/kept_items.ts";
import type { Running } from "./servers.ts";

export interface KeepPlan {
  readonly kind: "keep";
  readonly connections: 1;
  readonly what: Kept;
}

/** Items: enough that the cost of one stands out, few enough for an expensive one. */
const ITEMS = 1000;

export async function sendItems(
  { port }: Running,
  { what }: KeepPlan,
  { atRest }: LoadSettings,
): Promise<LoadReport> {
  const { parts }: KeptItem = KEPT_ITEMS[what];
  const answer = new Uint8Array(1);
  using conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  const began = performance.now();
  for (let i = 0; i < ITEMS; i++) {
    for (const part of parts) {
      for (let sent = 0; sent < part.length;) sent += await conn.write(part.subarray(sent));
      if (await conn.read(answer) === null) throw new Error("The server closed");
    }
  }
  const seconds = (performance.now() - began) / 1000;
  await atRest("end");
  return { requests: ITEMS, seconds, busy: 0 };
}
