/** Gives a handler its client without a network. @module */

import { bad, checkObject } from "../check.ts";
import type { Connection } from "../connection/connection.ts";
import { connection } from "../connection/wrap.ts";
import type { EndRecord } from "../server/end_records.ts";
import type { ServeSettings } from "../server/options.ts";
import { serve } from "../server/serve.ts";
import type { Server } from "../server/server.ts";
import type { Handler } from "../server/handler.ts";
import { completeFaults, type Faults } from "./faults.ts";
import type { MemorySocket } from "./memory_socket.ts";
import { CLIENT, pair, SERVER } from "./pair.ts";
import { scriptedListener } from "./scripted_listener.ts";

/**
 * What `connect()` takes: the limits and hooks of `serve()`, and what happens between the client and
 * the handler.
 *
 * @typeParam A The kind of address.
 *
 * @example A client with an address of its own, over a slow line
 * ```ts
 * import { connect, type ConnectOptions } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const options: ConnectOptions = {
 *   remoteAddr: { transport: "tcp", hostname: "198.51.100.7", port: 50_000 },
 *   toClient: { bytesPerRead: 1 },
 *   idleTimeout: 10_000,
 * };
 * await using client = connect(async (conn) => {
 *   await conn.write(new TextEncoder().encode(conn.remoteAddr.hostname));
 * }, options);
 * assertEquals(await new Response(client.readable).text(), "198.51.100.7");
 * ```
 *
 * @category Testing
 */
export interface ConnectOptions<A extends Deno.Addr = Deno.NetAddr> extends ServeSettings {
  /** The client's address, as the handler sees it; a TCP address unless given. */
  remoteAddr?: A;
  /** The address that the server pretends to listen on. */
  localAddr?: A;
  /** Faults on the way from the client to the handler. */
  toHandler?: Faults;
  /** Faults on the way from the handler to the client. */
  toClient?: Faults;
}

/**
 * The client's end of a connection to a handler: a connection without limits of its own.
 *
 * @typeParam A The kind of address.
 *
 * @example A client that resets in the middle of a line
 * ```ts
 * import { type Client, connect } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * await using client: Client = connect((conn) => conn.readLine());
 * await client.write(new TextEncoder().encode("half a li"));
 * client.reset();
 * const { reason, bytesRead } = await client.ended;
 * assertEquals([reason, bytesRead], ["peer_reset", 9]);
 * ```
 *
 * @category Testing
 */
export interface Client<A extends Deno.Addr = Deno.NetAddr> extends Connection<A> {
  /**
   * The record that `onEnd` receives, once the handler has settled, its connection is closed and its
   * server has stopped. A handler that reads to the end of the stream waits for the client to close first.
   */
  readonly ended: Promise<EndRecord>;
  /** The server of this one connection: its `shutdown()` shows how the handler drains. */
  readonly server: Server<A>;
  /** Resets and closes the connection: whatever waits at either end rejects with `ConnectionReset`. */
  reset(): void;
  /**
   * Closes the client, and stops the server at once. A handler that still waits for something other
   * than its connection gets one second, which with `FakeTime` the test has to advance itself; await
   * `ended` first where it should end by itself.
   */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Runs a handler for one client, without a network and without permissions.
 *
 * A server of its own runs it, with all that `serve()` gives: limits, timeouts, one end record. Bytes
 * pass at once, without a timer, and once the handler has settled, its connection closes without
 * waiting for the client. The timeouts run on a clock that `FakeTime` of `@std/testing` advances, if it
 * is created before the client, so that no test has to sit them out.
 *
 * Nothing here keeps the process alive. A test that waits for something that never comes fails at once with
 * Deno's "Promise resolution is still pending", and so does one that waits for a timeout in real time.
 *
 * For several clients of one handler, call it several times with the same handler; for limits that
 * they share, pass the ends of some {@linkcode pair}s to `serve()` in a {@linkcode scriptedListener}.
 *
 * @param handler What to test.
 * @param options As for `serve()`, without the address; and faults on the way.
 * @returns The client.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Check the answer
 * ```ts
 * import type { Connection } from "@usher/server";
 * import { connect } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * async function greet(conn: Connection) {
 *   await conn.write(
 *     new TextEncoder().encode(`Hello ${await conn.readLine()}\n`),
 *   );
 * }
 *
 * await using client = connect(greet);
 * await client.write(new TextEncoder().encode("Ada\n"));
 * assertEquals(await client.readLine(), "Hello Ada");
 * assertEquals(await client.readLine(), null);
 * assertEquals((await client.ended).reason, "completed");
 * ```
 *
 * @example Check a timeout
 * ```ts
 * import { connect } from "@usher/server/testing";
 * import { FakeTime } from "@std/testing/time";
 * import { assertEquals } from "@std/assert";
 *
 * using time = new FakeTime();
 * await using client = connect((conn) => conn.readLine(), {
 *   idleTimeout: 60_000,
 * });
 * await time.tickAsync(61_000);
 * assertEquals((await client.ended).reason, "idle_timeout");
 * ```
 *
 * @category Testing
 */
export function connect(handler: Handler<Deno.NetAddr>, options?: ConnectOptions): Client;
/**
 * The same with addresses of any kind, for the handler of a server on a Unix socket for instance.
 *
 * @param handler What to test.
 * @param options With both addresses.
 * @returns The client.
 *
 * @example A handler for Unix sockets
 * ```ts
 * import type { Connection } from "@usher/server";
 * import { connect } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * async function tellPath(conn: Connection<Deno.UnixAddr>) {
 *   await conn.write(new TextEncoder().encode(conn.localAddr.path));
 * }
 *
 * await using client = connect(tellPath, {
 *   localAddr: { transport: "unix", path: "/run/app.sock" },
 *   remoteAddr: { transport: "unix", path: "" },
 * });
 * assertEquals(await new Response(client.readable).text(), "/run/app.sock");
 * ```
 *
 * @category Testing
 */
export function connect<A extends Deno.Addr>(
  handler: Handler<A>,
  options: ConnectOptions<A> & { remoteAddr: A; localAddr: A },
): Client<A>;
export function connect<A extends Deno.Addr>(
  handler: Handler<A>,
  options: ConnectOptions<A> = {},
): Client<A> {
  const verb = "connect";
  checkObject(verb, options);
  if ("listeners" in options) {
    throw new TypeError(`Cannot ${verb} with 'listeners': use serve() for several connections`);
  }
  const { remoteAddr = CLIENT, localAddr = SERVER, toHandler, toClient, onEnd, ...settings } =
    options;
  if (onEnd !== undefined && typeof onEnd !== "function") {
    throw new TypeError(bad(verb, "onEnd", onEnd, "a function"));
  }
  const [near, socket] = pair({
    addrs: [remoteAddr as A, localAddr as A],
    toFirst: completeFaults(verb, "toClient", toClient),
    toSecond: completeFaults(verb, "toHandler", toHandler),
  });
  // Instead of the half second for which a server waits for the FIN of a client that is still there.
  const serveOne = async (conn: Connection) => {
    try {
      return await (handler as Handler)(conn);
    } finally {
      (socket as MemorySocket<A>).endReads();
    }
  };
  let record: EndRecord | undefined;
  const server = serve({
    ...settings,
    listeners: [scriptedListener([socket], localAddr)],
    onEnd: (ended) => {
      record = ended;
      server.shutdown({ timeout: 0 });
      return onEnd?.(ended);
    },
  }, typeof handler === "function" ? serveOne : handler) as Server<A>;
  const ended = server.finished.then(() => record!);
  ended.catch(() => {}); // like `finished`, it need not be awaited
  const client = connection(near, {
    idleTimeout: Infinity,
    writeTimeout: Infinity,
    maxUnsent: Infinity,
  });
  return Object.assign(client, {
    server,
    ended,
    reset: () => {
      near.reset();
      client.close();
    },
    [Symbol.asyncDispose]: async () => {
      client.close();
      // A handler that ends because its client closed has done so after one turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve));
      await server.shutdown({ timeout: 0 });
    },
  });
}
