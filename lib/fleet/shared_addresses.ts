/** Finds the ports that all workers of a fleet listen on. @module */

import type { CompleteAddress, CompleteTcp } from "../listener/listen_options.ts";
import type { CompleteServeOptions } from "../server/options.ts";
import type { SharedAddress } from "./messages.ts";

/**
 * The address of each listener.
 *
 * @param known What an earlier worker has found; the same port 0 is the same port then.
 * @throws {TypeError} If a listener is of a kind that threads cannot share.
 */
export function sharedAddresses(
  listeners: CompleteServeOptions["listeners"],
  known: readonly SharedAddress[] | undefined,
): SharedAddress[] {
  return listeners.map((listener, i) => {
    const { hostname, port: asked, tcpBacklog } = checkShareable(listener);
    const same = known?.[i];
    const isSame = same?.hostname === hostname && same.asked === asked;
    const port = isSame ? same.port : asked === 0 ? freePort(hostname) : asked;
    return { hostname, asked, port, tcpBacklog };
  });
}

function checkShareable(listener: CompleteAddress | Deno.Listener): CompleteTcp {
  const [given, use] = "accept" in listener
    ? ["a listener that was passed in", "give its address instead"]
    : "path" in listener
    ? ["'path'", "use a port: of a Unix socket the second worker cannot have a clone"]
    : "fd" in listener
    ? ["'fd'", "use a port: two workers on one descriptor stop together"]
    : listener.reusePort
    ? ["'reusePort'", "leave it out: the workers share one queue, which excludes it"]
    : [undefined, ""];
  if (given === undefined) return listener as CompleteTcp;
  throw new TypeError(`Cannot serve with ${given} in a fleet: ${use}`);
}

/**
 * A port of its own: Deno gives all who ask for port 0 in one process the same one, two entries of
 * `listeners` and two fleets included.
 */
function freePort(hostname: string): number {
  try {
    using probe = Deno.listen({ hostname, port: 0 });
    return probe.addr.port;
  } catch {
    return 0; // binding fails likewise, and says what to do
  }
}
