/**
 * `readiness.ts` as a service of systemd, which it notifies when it listens and when it stops.
 * `usher.service` starts it. It serves on the socket that `usher.socket` holds, if there is one.
 *
 * deno run --allow-net --allow-env=NOTIFY_SOCKET,LISTEN_PID,LISTEN_FDS,LISTEN_FDNAMES --allow-run=systemd-notify examples/deploy/under_systemd.ts
 *
 * @module
 */

import { formatAddress, inheritedListeners } from "jsr:@usher/server@^0.2.0";
import { echoWithProbes, READINESS_OPTIONS } from "../readiness.ts";
import { start } from "../start.ts";

/**
 * Notifies systemd, if it started this process. It takes datagrams on a Unix socket, which Deno sends
 * only with `--unstable-net`, and `node:dgram` not at all; so its own program is run.
 */
async function notify(...facts: string[]): Promise<void> {
  if (Deno.env.get("NOTIFY_SOCKET") === undefined) return;
  await new Deno.Command("systemd-notify", { args: facts }).spawn().status;
}

if (import.meta.main) {
  const command =
    "deno run --allow-net --allow-env=NOTIFY_SOCKET,LISTEN_PID,LISTEN_FDS,LISTEN_FDNAMES " +
    "--allow-run=systemd-notify examples/deploy/under_systemd.ts";
  await start({ command, port: 7000, options: READINESS_OPTIONS }, async (place, flags) => {
    const [inherited] = inheritedListeners();
    const started = echoWithProbes(place, flags, inherited?.fd);
    await notify("READY=1", `STATUS=Listening on ${formatAddress(started.listening.addr)}`);
    // In addition to the listener of shutdownOnSignals().
    Deno.addSignalListener("SIGTERM", () => {
      notify("STOPPING=1", "STATUS=Stopping").catch(() => {});
    });
    return started;
  });
}
