/** Measures the time from the start of a process to its first answer. @module */

import { ca } from "../support/certificates.ts";
import type { LoadReport, LoadSettings } from "./load_process.ts";
import { exchangeOneByte } from "./one_byte.ts";
import type { Running } from "./servers.ts";

export interface StartPlan {
  readonly kind: "start";
  readonly connections: 1;
}

/** One connection, at once, and one byte echoed: only an answer proves that it was accepted. */
export async function awaitFirstAnswer(
  { port, began }: Running,
  tls: boolean,
  { atRest }: LoadSettings,
): Promise<LoadReport> {
  const socket = await Deno.connect({ hostname: "127.0.0.1", port });
  // connectTls() has no setNoDelay(), and would wait for an acknowledgement before its first byte.
  socket.setNoDelay(true);
  using conn = tls
    ? await Deno.startTls(socket, { hostname: "localhost", caCerts: [ca.cert] })
    : socket;
  await exchangeOneByte(conn);
  const seconds = (performance.now() - began) / 1000;
  await atRest("end");
  return { requests: 1, seconds, busy: 0 };
}
