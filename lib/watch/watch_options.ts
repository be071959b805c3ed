/** Where is a status page, and what may it do? @module */

import { bad, checkKeys, checkNumber } from "../check.ts";

/** Characters that a token must have: a page can be asked as often as anybody likes. */
const SHORTEST_TOKEN = 16;

/**
 * Where a status page listens, and what may be done from it.
 *
 * @example A page from which connections may be closed
 * ```ts
 * import { serve } from "@usher/server";
 * import { watch, type WatchOptions } from "@usher/server/watch";
 * import { assertEquals } from "@std/assert";
 *
 * const options: WatchOptions = { port: 0, token: crypto.randomUUID() };
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await using page = watch(server, options);
 * assertEquals(page.addr.hostname, "127.0.0.1");
 * ```
 */
export interface WatchOptions {
  /** The port of the page; 0 takes any free one. */
  port: number;
  /**
   * The address of the page. It is for this machine alone unless another is given: whoever reaches the
   * page sees the addresses of all clients.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /**
   * The names by which the page may be asked for, without a port, besides IP addresses, `localhost`
   * and `hostname`. All others are refused: otherwise a page of somebody else could have its own name
   * lead here, and read what a browser in this network can see (DNS rebinding).
   */
  hosts?: readonly string[];
  /**
   * At least 16 characters, with which connections can be closed and the server drained. Nobody can do
   * so unless it is given.
   */
  token?: string;
}

/** What holds if nothing is said. */
export const WATCH_DEFAULTS: { readonly hostname: string } = Object.freeze({
  hostname: "127.0.0.1",
});

/** Options with every default filled in. */
export interface CompleteWatchOptions {
  readonly port: number;
  readonly hostname: string;
  /** In lower case, `hostname` among them. */
  readonly hosts: readonly string[];
  readonly token: string | undefined;
}

/** Checks and completes the options of `watch()`. */
export function completeWatchOptions(options: WatchOptions): CompleteWatchOptions {
  const verb = "watch";
  checkKeys(verb, options, ["port", "hostname", "hosts", "token"]);
  const { hostname = WATCH_DEFAULTS.hostname, hosts = [], token } = options;
  const port = checkNumber(verb, "port", options.port, 0, 65535, false);
  if (typeof hostname !== "string" || hostname === "") {
    throw new TypeError(
      bad(verb, "hostname", hostname, 'an IP address or a host name, such as "::"'),
    );
  }
  if (!Array.isArray(hosts) || !hosts.every((host) => typeof host === "string" && isName(host))) {
    throw new TypeError(
      bad(verb, "hosts", hosts, 'an array of host names without a port, such as ["status.local"]'),
    );
  }
  if (token !== undefined && typeof token !== "string") {
    throw new TypeError(
      bad(verb, "token", token, `a text of ${SHORTEST_TOKEN} characters or more`),
    );
  }
  if (token !== undefined && !/^[\x21-\x7e]*$/.test(token)) {
    throw new TypeError(
      "Cannot watch with a 'token' that has other characters than those of ASCII that can be seen: " +
        "it has to go into a header",
    );
  }
  if (token !== undefined && token.length < SHORTEST_TOKEN) {
    // The message does not show it: what is wrong is close to what is right.
    throw new RangeError(
      `Cannot watch with a 'token' of ${token.length} characters: use ${SHORTEST_TOKEN} or more`,
    );
  }
  const names = [hostname, ...hosts].map((name) => name.toLowerCase());
  return Object.freeze({ port, hostname, hosts: names, token });
}

function isName(host: string): boolean {
  return /^[\w.-]+$/.test(host);
}
