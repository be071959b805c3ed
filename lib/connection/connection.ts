/** The contract of a connection, as a handler gets it. @module */

import type { AbortOptions } from "./abort.ts";
import type { ProxyHeader } from "../wire/proxy/proxy_header.ts";
import type { RecordOptions } from "./byte_reader.ts";
import type { ReadOptions } from "./cancellation.ts";
import type { EndReason } from "./end_reason.ts";
import type { TlsInfo } from "../tls/handshake.ts";
import type { StartTlsOptions } from "./enter_tls.ts";

/**
 * How chunks are given out.
 *
 * @example Count bytes, and keep none of them
 * ```ts
 * import { type ChunkOptions, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: ChunkOptions = { reuse: true };
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   let count = 0;
 *   for await (const chunk of conn.chunks(options)) count += chunk.length;
 *   await conn.write(new TextEncoder().encode(`${count}`));
 * });
 *
 * const client = await Deno.connect({ port: server.addr.port });
 * await client.write(new Uint8Array(1000));
 * await client.closeWrite();
 * assertEquals(await new Response(client.readable).text(), "1000");
 * ```
 *
 * @category Connections
 */
export interface ChunkOptions {
  /**
   * Whether a chunk's memory is used for the next one again; otherwise it is its receiver's
   * indefinitely.
   *
   * @default {false}
   */
  reuse?: boolean;
}

/**
 * Options of a read of a record that must succeed: it resolves with no `null`, and rejects with
 * `Deno.errors.UnexpectedEof` where the stream ends before the record begins.
 *
 * @example A length and its body
 * ```ts
 * import { connection, type RequiredRecord, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const required: RequiredRecord = { required: true, timeout: 5_000 };
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   const [length = 0] = await conn.readExactly(1, required);
 *   await conn.write(await conn.readExactly(length, required));
 * });
 *
 * await using client = connection(await Deno.connect({ port: server.addr.port }));
 * await client.write(new Uint8Array([3, 65, 100, 97]));
 * assertEquals(
 *   new TextDecoder().decode(await client.readExactly(3, required)),
 *   "Ada",
 * );
 * ```
 *
 * @category Connections
 */
export interface RequiredRecord extends RecordOptions {
  /** Makes the read reject where it would resolve with `null`. */
  required: true;
}

/**
 * One connection, as a handler gets it: a `Deno.Conn` whose writes are whole and in order, whose
 * chunks are the handler's indefinitely, and which knows its peer and how much has passed.
 *
 * Reading by iteration is the plainest way and as fast as a loop by hand; `break` does not close.
 * One read at a time: a second one rejects with `Deno.errors.Busy`. After a failure every operation
 * rejects with the error that came first. The rejection of any promise given out here counts as
 * handled, so a write that was not awaited costs this connection, never the process.
 *
 * @typeParam A The kind of address: `Deno.NetAddr` for TCP, `Deno.UnixAddr` for Unix sockets.
 *
 * @example Answer each chunk with itself
 * ```ts
 * import { serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   for await (const chunk of conn) await conn.write(chunk);
 * });
 *
 * using client = await Deno.connect({ port: server.addr.port });
 * await client.write(new TextEncoder().encode("hello"));
 * const p = new Uint8Array(5);
 * assertEquals(await client.read(p), 5);
 * assertEquals(new TextDecoder().decode(p), "hello");
 * ```
 *
 * @category Connections
 */
export interface Connection<A extends Deno.Addr = Deno.Addr>
  extends Deno.Conn<A>, AsyncIterable<Uint8Array<ArrayBuffer>>, AsyncDisposable {
  /** A number of its own among the connections of its server, counted from 1. */
  readonly id: number;
  /** The other end as the kernel sees it: the balancer, if there is one in front. */
  readonly peerAddr: A;
  /**
   * The client: what the PROXY header says if there was one that does, otherwise `peerAddr`. A header
   * can also name a Unix socket, whatever the server listens on.
   */
  readonly remoteAddr: A;
  /** The PROXY header, on an address where one is expected. */
  readonly proxy: ProxyHeader | undefined;
  /** What TLS has settled, once the connection is inside it. */
  readonly tls: TlsInfo | undefined;
  /**
   * The `name` of the entry of `listeners` that it came through; without one, and for a connection that no
   * server holds, the address.
   */
  readonly listenerName: string;
  /**
   * What the program knows of it, such as a user or a device: stands in the end record, the log and the
   * status page, never in a metric. May be set; 200 characters are kept.
   *
   * @example A user in the end record
   * ```ts
   * import { type EndRecord, serve } from "@usher/server";
   * import { assertEquals } from "@std/assert";
   *
   * const records: EndRecord[] = [];
   * const onEnd = (record: EndRecord) => records.push(record);
   * const server = serve(
   *   { port: 0, hostname: "127.0.0.1", onEnd },
   *   async (conn) => {
   *     conn.label = await conn.readLine() ?? "";
   *   },
   * );
   * const client = await Deno.connect({ port: server.addr.port });
   * await client.write(new TextEncoder().encode("Ada\n"));
   * await new Response(client.readable).text();
   * await server.shutdown();
   * assertEquals(records[0]?.label, "Ada");
   * ```
   */
  label: string | undefined;
  /** When it was accepted, in ms since 1970. */
  readonly openedAt: number;
  /** Bytes received so far, without a PROXY header and what TLS adds. */
  readonly bytesRead: number;
  /** Bytes handed to the kernel so far, without what TLS adds. */
  readonly bytesWritten: number;
  /**
   * Bytes given to `write()` and `send()` that the kernel has not taken yet: lets a broadcast skip the
   * slow. A peer that does not read shows here only once the kernel's buffers are full, after 3 to 4 MB
   * on Linux: where that is too late, lower `net.ipv4.tcp_wmem`, or have the protocol acknowledge.
   */
  readonly unsentBytes: number;
  /** Why it is over, once something has ended it; what a handler's return means is decided after it. */
  readonly endReason: EndReason | undefined;
  /** The option of that name for this connection, in ms; may be set, such as to what a peer negotiates. */
  idleTimeout: number;
  /** The option of that name for this connection, in ms; may be set, such as to what a peer negotiates. */
  receiveTimeout: number;

  /**
   * Aborts when this connection is over: closed, reset, timed out or forced. Its reason is the error
   * that ended it, or an `AbortError`. Made at first access; a reset shows when something is read or
   * written.
   *
   * An `abort` listener must not throw: what an event listener throws is an uncaught error, which ends
   * the process, and no server can contain it. Any peer can cause the call by leaving.
   */
  readonly signal: AbortSignal;
  /**
   * The server has begun to stop, or this connection is as old as `maxAge`: finish and return. Loops over
   * chunks and frames end by themselves; what is sent behind one still leaves.
   *
   * @example Say goodbye
   * ```ts
   * import { framed, lines, serve } from "@usher/server";
   * import { assertEquals } from "@std/assert";
   *
   * const server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
   *   const io = framed(conn, lines());
   *   for await (const line of io) await io.send(`you said ${line}`);
   *   if (conn.draining) await io.send("goodbye");
   * });
   *
   * const client = framed(await Deno.connect({ port: server.addr.port }), lines());
   * await client.send("hello");
   * assertEquals(await client.read(), "you said hello");
   * const stopped = server.shutdown();
   * assertEquals(await client.read(), "goodbye");
   * client.conn.close();
   * await stopped;
   * ```
   */
  readonly draining: boolean;
  /**
   * Aborts when `draining` becomes true. Made at first access. A read that it aborts may reject out of
   * the handler, which then counts as `completed`.
   */
  readonly drainSignal: AbortSignal;

  /**
   * Reads into `p`; resolves with the number of bytes, or `null` at the end of the stream. Without
   * options, and with nothing left over from another kind of read, straight from the kernel.
   *
   * @throws {Deno.errors.Busy} If another read is pending.
   * @throws {DOMException} "TimeoutError" after `idleTimeout`, and then the connection is closed; or
   * after the read's own `timeout`, and then it lives on and no byte is lost.
   */
  read(p: Uint8Array, options?: ReadOptions): Promise<number | null>;
  /**
   * Reads `n` bytes, no more and no less; `null` if the stream ends before the first of them.
   *
   * @throws {FrameTooLargeError} If `n` is more than `limit`, 64 KiB unless given. Nothing is taken.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends in between; what came is in its `partial`
   * and can still be read.
   */
  readExactly(n: number, options: RequiredRecord): Promise<Uint8Array<ArrayBuffer>>;
  /** The same; `null` if the stream ends before the first byte. */
  readExactly(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer> | null>;
  /**
   * Reads up to `delimiter`, or the first of several, which is taken and left out; `null` if the
   * stream ends before another byte.
   *
   * @throws {FrameTooLargeError} If more than `limit` bytes, 64 KiB unless given, come before it.
   * Nothing is taken, so the next such read fails as well; `read()` gets the bytes.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends before it; as for `readExactly`.
   */
  readUntil(
    delimiter: string | Uint8Array | readonly (string | Uint8Array)[],
    options: RequiredRecord,
  ): Promise<Uint8Array>;
  /** The same; `null` if the stream ends before another byte. */
  readUntil(
    delimiter: string | Uint8Array | readonly (string | Uint8Array)[],
    options?: RecordOptions,
  ): Promise<Uint8Array | null>;
  /**
   * Reads a line that ends with LF or CRLF, without that, as UTF-8; `null` if the stream ends before
   * another byte.
   *
   * @throws {FrameTooLargeError} If it is longer than `limit` bytes, 64 KiB unless given; as for
   * `readUntil`.
   * @throws {Deno.errors.UnexpectedEof} If the stream ends before the line does.
   */
  readLine(options: RequiredRecord): Promise<string>;
  /** The same; `null` if the stream ends before another byte. */
  readLine(options?: RecordOptions): Promise<string | null>;
  /**
   * Waits until `n` bytes have arrived and leaves them to be read; there are fewer only if the stream
   * ends before. They are the memory that is read later: look at them, and do not write into them.
   *
   * @throws {FrameTooLargeError} If `n` is more than `limit`, 64 KiB unless given.
   */
  peek(n: number, options?: RecordOptions): Promise<Uint8Array<ArrayBuffer>>;
  /**
   * Reads `n` bytes, however many, and keeps none of them. What was skipped before the read gave up or the
   * stream ended is gone.
   *
   * @throws {Deno.errors.UnexpectedEof} If the stream ends before.
   */
  skip(n: number, options?: ReadOptions): Promise<void>;
  /**
   * Writes all of `p` behind every earlier write; resolves with its length. `p` must not change
   * until then. A `signal` that fires before ends the connection, as a part may have left.
   *
   * @throws {TypeError} If `p` is no `Uint8Array`; the connection lives on.
   * @throws {Deno.errors.WouldBlock} If `maxUnsent` or more waits behind the write in progress; the
   * connection is closed.
   * @throws {Deno.errors.BrokenPipe} After `closeWrite()` or `end()`, or when the peer is gone.
   * @throws {DOMException} "TimeoutError" after `writeTimeout`; the connection is then closed.
   */
  write(p: Uint8Array, options?: AbortOptions): Promise<number>;
  /**
   * Resolves once fewer than `n` bytes are unsent, 64 KiB unless given, so that a producer goes no
   * faster than its peer reads.
   *
   * @throws What ended the connection, if it ends before.
   *
   * @example Send a million lines to a peer that may be slow
   * ```ts
   * import { framed, lines, serve } from "@usher/server";
   * import { assertEquals } from "@std/assert";
   *
   * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
   *   for (let i = 0; i < 1_000; i++) {
   *     conn.write(new TextEncoder().encode(`${i}\n`));
   *     await conn.unsentBelow();
   *   }
   * });
   *
   * const client = framed(await Deno.connect({ port: server.addr.port }), lines());
   * let count = 0;
   * for await (const _ of client) count++;
   * assertEquals(count, 1_000);
   * client.conn.close();
   * ```
   */
  unsentBelow(n?: number): Promise<void>;
  /**
   * Goes over to TLS behind every earlier write, as the server unless `role` is `"client"`; writes made
   * meanwhile leave inside TLS. What a client sent before counts as the beginning of its handshake, and
   * what a server sent before is refused, so that nothing sent in clear can pass for something sent
   * inside. (Only a handler that reads chunks has to check by itself that nothing follows the command.)
   * Certificates are read once for each object of `options`.
   *
   * @throws {TypeError} If an option is unknown or wrong, or the connection is inside TLS already.
   * @throws {RangeError} If an option is out of range.
   * @throws {Deno.errors.Busy} If a read is pending.
   * @throws {Deno.errors.InvalidData} If the peer speaks no TLS, the two cannot agree, or its certificate
   * is not accepted. This and every other failure of the handshake closes the connection.
   */
  startTls(options: StartTlsOptions): Promise<void>;
  /** Tells the peer, behind every earlier write, that nothing more will come; reading goes on. */
  closeWrite(): Promise<void>;
  /**
   * Closes at once: what still waits to be written is dropped, pending operations reject with
   * `Deno.errors.Interrupted`. Inside TLS the peer gets a close_notify if nothing
   * is dropped; otherwise the stream is truncated for it.
   * Safe to call twice, and from anywhere: a loop over the connection that waits elsewhere throws that
   * error.
   *
   * @param detail Why, for the server's records: the end reason is `dismissed` then. 200 characters are
   * kept; `stats()` counts by it, so that it is best one of a few.
   * @throws {TypeError} If `detail` is no text.
   *
   * @example Remove a player, and say why
   * ```ts
   * import { type EndRecord, serve } from "@usher/server";
   * import { assertEquals } from "@std/assert";
   *
   * const records: EndRecord[] = [];
   * const onEnd = (record: EndRecord) => records.push(record);
   * const server = serve(
   *   { port: 0, hostname: "127.0.0.1", onEnd },
   *   async (conn) => {
   *     for await (const _ of conn) conn.close("kicked");
   *   },
   * );
   * using client = await Deno.connect({ port: server.addr.port });
   * await client.write(new Uint8Array(1));
   * assertEquals(await client.read(new Uint8Array(1)), null);
   * await server.shutdown();
   * assertEquals([records[0]?.reason, records[0]?.detail], ["dismissed", "kicked"]);
   * assertEquals(server.stats().dismissed, { kicked: 1 });
   * ```
   */
  close(detail?: string): void;
  /**
   * Closes politely: sends what waits, then FIN, then reads on for at most 500 ms or 8 MiB until
   * the peer has closed too, so that the last bytes arrive even if the peer is still sending. This
   * is what happens when a handler returns. Never rejects.
   *
   * @param detail Why, as for {@linkcode close}.
   * @throws {TypeError} If `detail` is no text.
   */
  end(detail?: string): Promise<void>;
  /**
   * Bounds what is about to begin, whatever it reads and writes: unless what is returned is disposed
   * within `ms`, the connection ends (`deadline`). A timer of the connection, a tenth of a second late at
   * most.
   *
   * @throws {RangeError} If `ms` is negative.
   * @throws {TypeError} If `ms` is no number.
   *
   * @example A login that must be over in 10 seconds
   * ```ts
   * import { type Connection, serve } from "@usher/server";
   * import { assertEquals } from "@std/assert";
   *
   * async function login(conn: Connection): Promise<string | null> {
   *   using _ = conn.deadline(10_000);
   *   await conn.write(new TextEncoder().encode("name?\n"));
   *   return await conn.readLine();
   * }
   *
   * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
   *   await conn.write(new TextEncoder().encode(`hello, ${await login(conn)}`));
   * });
   * const client = await Deno.connect({ port: server.addr.port });
   * await client.write(new TextEncoder().encode("Ada\n"));
   * assertEquals(await new Response(client.readable).text(), "name?\nhello, Ada");
   * ```
   */
  deadline(ms: number): Disposable;

  /** The chunks as they arrive, ending with the peer's stream; `break` leaves the rest unread. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined>;
  /**
   * The same; with `{ reuse: true }` each chunk is only lent, until the next one is asked for. That
   * costs no memory at all, and so no time for it: the plain loop's speed at every size, for handlers
   * that are done with a chunk when they ask for the next, as those that echo, forward or parse it.
   * Do not keep such a chunk, nor a part of it: what it shows changes. The connections of
   * `@usher/server/testing` write over it, so that a handler which keeps one fails its test.
   *
   * @throws {TypeError} If an option is unknown or of the wrong type.
   */
  chunks(options?: ChunkOptions): AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined>;
  /**
   * The same bytes as a stream. Its end and its `cancel()` leave the connection open, unlike Deno's.
   */
  readonly readable: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Writes as a stream. Closing it is `closeWrite()`; aborting it is `close()`. */
  readonly writable: WritableStream<Uint8Array<ArrayBufferLike>>;
  /** `close()`. */
  [Symbol.dispose](): void;
  /** `end()`. */
  [Symbol.asyncDispose](): Promise<void>;
}
