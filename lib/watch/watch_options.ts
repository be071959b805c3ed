/** The options of `watch()`, checked and completed. @module */

import { bad, checkKeys, checkNumber } from "../check.ts";

/** Characters that a token must have: a client can try as many as it likes. */
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
 *
 * @category Watching
 */
export interface WatchOptions {
  /** The port of the page; 0 takes any free one. */
  port: number;
  /**
   * The address of the page. By default only this machine reaches it: the page shows the addresses of
   * all clients.
   *
   * @default {"127.0.0.1"}
   */
  hostname?: string;
  /**
   * The names by which the page may be asked for, without a port, besides IP addresses, `localhost`
   * and `hostname`. Requests for any other name are refused: a foreign site could have its own name
   * resolve to this address, and read what a browser in this network can see (DNS rebinding).
   */
  hosts?: readonly string[];
  /**
   * At least 16 characters, with which connections can be closed and the server drained. Without it
   * neither is possible.
   */
  token?: string;
  /**
   * Metrics of the program's own, which `/metrics` has after those of the server: text in the format
   * of Prometheus, as a client library gives it. If it throws, or takes longer than 5 s, the scrape is
   * answered with 500.
   */
  metrics?: () => string | Promise<string>;
  /**
   * Receives what `metrics` throws, and what keeps the page from accepting. By default one line on
   * stderr, at most ten a second.
   */
  onError?: (error: unknown) => unknown;
}

/** The one home of the defaults. */
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
  readonly metrics: (() => string | Promise<string>) | undefined;
  readonly onError: ((error: unknown) => unknown) | undefined;
}

/** Checks and completes the options of `watch()`. */
export function completeWatchOptions(options: WatchOptions): CompleteWatchOptions {
  const verb = "watch";
  checkKeys(verb, options, ["port", "hostname", "hosts", "token", "metrics", "onError"]);
  const { hostname = WATCH_DEFAULTS.hostname, hosts = [], token, metrics, onError } = options;
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
      "Cannot watch with a 'token' that has other characters than visible ASCII: it is sent in a " +
        "header",
    );
  }
  if (token !== undefined && token.length < SHORTEST_TOKEN) {
    // The message does not show it: what was mistyped is close to the secret.
    throw new RangeError(
      `Cannot watch with a 'token' of ${token.length} characters: use ${SHORTEST_TOKEN} or more`,
    );
  }
  for (const [name, value] of Object.entries({ metrics, onError })) {
    if (value !== undefined && typeof value !== "function") {
      throw new TypeError(bad(verb, name, value, "a function"));
    }
  }
  const names = [hostname, ...hosts].map((name) => name.toLowerCase());
  return Object.freeze({ port, hostname, hosts: names, token, metrics, onError });
}

function isName(host: string): boolean {
  return /^[\w.-]+$/.test(host);
}
