/** Shows servers on an HTTP port of its own: a status page, metrics and probes. @module */

import { extendMessage } from "../errors.ts";
import { formatAddress } from "../format_address.ts";
import { fleetSeat } from "../server/fleet_seat.ts";
import type { ServerControl } from "../server/server.ts";
import { answer, type Site } from "./answer.ts";
import { HttpServer } from "./http_server.ts";
import { LiveFeed } from "./live_feed.ts";
import { serversByName } from "./observed.ts";
import { TableQueries } from "./table_queries.ts";
import {
  type CompleteWatchOptions,
  completeWatchOptions,
  type WatchOptions,
} from "./watch_options.ts";

/**
 * The HTTP server of a status page.
 *
 * @example Find out where it is
 * ```ts
 * import { serve } from "@usher/server";
 * import { type StatusPage, watch } from "@usher/server/watch";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await using page: StatusPage = watch(server, { port: 0 });
 * assertEquals(page.url, `http://127.0.0.1:${page.addr.port}/`);
 * ```
 *
 * @category Watching
 */
export interface StatusPage extends AsyncDisposable {
  /** Where it listens, with the port that was chosen for port 0. */
  readonly addr: Deno.NetAddr;
  /** The address of the page for a browser on this machine. */
  readonly url: string;
  /** Resolves when it has stopped. */
  readonly finished: Promise<void>;
  /**
   * Stops: open pages are disconnected, and answers under way get a second. Safe to call again. The
   * servers that are watched go on.
   *
   * @returns `finished`.
   */
  shutdown(): Promise<void>;
  /** `shutdown()`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Shows servers on an HTTP port of its own:
 *
 * - `/` is a page with state, figures as charts, and connections, which updates itself
 * - `/metrics` is {@linkcode metricsText}, followed by the option `metrics`
 * - `/readyz` is 200 while clients are accepted, and 503 when a server is full, paused, short of
 *   resources, draining or stopped
 * - `/livez` is 200 until the last server has stopped, and 503 while a worker of a fleet hangs
 * - `/connections` lists connections as JSON; `sort` by any of their fields, `order` (`asc`, `desc`),
 *   `offset`, `limit`, `filter` and `state` choose which
 * - `POST /connections/ID/close` closes one and `POST /drain` calls `shutdown()`, both only with
 *   `Authorization: Bearer` and the token of the options
 *
 * Several servers are given by name, which is their label in `/metrics`. The parameter `server` then
 * says which one `/connections` and the actions are about; without it the list is of the first one, and
 * `/drain` drains all.
 *
 * Only this machine reaches the page unless `hostname` says otherwise. It goes on answering when the
 * servers have stopped, so stop it after them. It keeps no process alive.
 *
 * Its clients take little from the servers: it holds 64 connections at most, of which the oldest without a
 * request makes room for the next; a request must come within 5 s, in 8 KiB; queries for the table
 * take a quarter of the thread's time at most. It keeps 8 descriptors in reserve, so that it answers
 * probes when the process has no other left. (Where `port` is 0 and the permission is only for that,
 * or on Windows, there is no reserve.)
 *
 * @param servers A server or a fleet, or several by name.
 * @param options Where the page is, and what may be done there.
 * @returns The page's own server.
 * @throws {TypeError} If a value is no server, or an option is unknown or of the wrong type.
 * @throws {RangeError} If `port` is out of range or `token` too short.
 * @throws {Deno.errors.AddrInUse} If something listens there already.
 *
 * @example Probes
 * ```ts
 * import { serve } from "@usher/server";
 * import { watch } from "@usher/server/watch";
 * import { assertEquals } from "@std/assert";
 *
 * const server = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await using page = watch(server, { port: 0 });
 * const status = async (path: string) => {
 *   const response = await fetch(new URL(path, page.url));
 *   await response.body?.cancel();
 *   return response.status;
 * };
 * assertEquals([await status("readyz"), await status("livez")], [200, 200]);
 * await server.shutdown();
 * assertEquals([await status("readyz"), await status("livez")], [503, 503]);
 * ```
 *
 * @example Two servers, and a metric of the program's own
 * ```ts
 * import { serve } from "@usher/server";
 * import { watch } from "@usher/server/watch";
 * import { assertStringIncludes } from "@std/assert";
 *
 * await using chat = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * await using admin = serve({ port: 0, hostname: "127.0.0.1" }, async () => {});
 * let rooms = 3;
 * const metrics = () => `# TYPE chat_rooms gauge\nchat_rooms ${rooms}\n`;
 * await using page = watch({ chat, admin }, { port: 0, metrics });
 *
 * const text = await (await fetch(`${page.url}metrics`)).text();
 * assertStringIncludes(text, '\nusher_connections_active{server="admin"} 0\n');
 * assertStringIncludes(text, "\nchat_rooms 3\n");
 * ```
 *
 * @category Watching
 */
export function watch(
  servers: ServerControl | Readonly<Record<string, ServerControl>>,
  options: WatchOptions,
): StatusPage {
  if (fleetSeat("watch") !== undefined) {
    throw new TypeError(
      "Cannot watch in a worker of a fleet: use watch(fleet) in the program that starts it",
    );
  }
  const byName = serversByName("watch", servers);
  if (byName.size === 0) {
    throw new TypeError(
      "Cannot watch what is no server: use what serve() returns, or several by name",
    );
  }
  const complete = completeWatchOptions(options);
  const feed = new LiveFeed(byName, complete.token !== undefined);
  const site: Site = { servers: byName, options: complete, feed, queries: new TableQueries() };
  const http = listen(complete, site);
  const stopped = [...byName.values()].map(({ finished }) => finished);
  Promise.allSettled(stopped).then(() => feed.end());
  const shutdown = () => {
    feed.end();
    return http.shutdown();
  };
  const { addr, finished } = http;
  return { addr, url: urlOf(addr), finished, shutdown, [Symbol.asyncDispose]: shutdown };
}

function listen({ hostname, port, onError }: CompleteWatchOptions, site: Site): HttpServer {
  try {
    return new HttpServer(
      hostname,
      port,
      (request, client) => answer(request, site, client.hostname),
      onError,
    );
  } catch (error) {
    const where = formatAddress({ transport: "tcp", hostname, port });
    const taken = error instanceof Deno.errors.AddrInUse;
    extendMessage(error, `Cannot watch on ${where}: `, taken ? "; use another port, or 0" : "");
    throw error;
  }
}

/** An address that listens everywhere is not one to connect to: on this machine loopback is. */
function urlOf({ hostname, port }: Deno.NetAddr): string {
  const host = { "0.0.0.0": "127.0.0.1", "::": "[::1]" }[hostname] ??
    (hostname.includes(":") ? `[${hostname}]` : hostname);
  return `http://${host}:${port}/`;
}
