/** Serves HTTP/1.1, one request per connection, to probes and browsers, and whatever else connects. @module */

import type { Connection } from "../connection/connection.ts";
import { FrameTooLargeError } from "../errors.ts";
import { formatAddress } from "../format_address.ts";
import { serve } from "../server/serve.ts";
import type { Server } from "../server/server.ts";
import { ReservedListener } from "./reserved_listener.ts";

// Not `Deno.serve`: it ends when no descriptor is free, and limits neither connections nor the time
// or the size of a request. Not `node:http`: its limits hold in Deno 2.9, but once it has run out of
// descriptors it never accepts again.

/** Connections at once, the 32 event streams included; one more, and the oldest makes room. */
const MAX_CONNECTIONS = 64;

/** Ms within which a request must be complete: every client of ours sends it at once. */
const REQUEST_TIMEOUT = 5_000;

/** Bytes of a request's header: with cookies of other sites on this host it is some 2 KiB. */
const MAX_HEADER = 8_192;

/** Ms within which a client must take a KiB of an answer. */
const WRITE_TIMEOUT = 10_000;

/** Ms for answers under way when the server is stopped; then they are cut off. */
const GRACE = 1_000;

const encoder = new TextEncoder();
const decoder = new TextDecoder("latin1");

/** An answer. Not a `Response`: to make one and take it apart again costs a fifth of a probe's CPU. */
export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** A text has its length sent before it; a stream ends with the connection. */
  readonly body: string | ReadableStream<Uint8Array<ArrayBuffer>>;
}

/** What answers requests. `client` is the address of the client. */
export type HttpHandler = (
  request: Request,
  client: Deno.NetAddr,
) => HttpAnswer | Promise<HttpAnswer>;

/** An HTTP server within limits of its own, which no client and no lack of descriptors ends. */
export class HttpServer {
  readonly #handler: HttpHandler;
  readonly #server: Server<Deno.NetAddr>;
  /** Connections whose request is not complete, the oldest first. */
  readonly #reading = new Set<Connection>();
  /** Connections that are being answered, the oldest first. */
  readonly #answering = new Set<Connection>();
  #stopping = false;

  /**
   * It keeps no process alive.
   *
   * @param onError Receives what the handler throws, and shortages; one line on stderr without it.
   * @throws {Deno.errors.AddrInUse} If something listens there already.
   */
  constructor(
    hostname: string,
    port: number,
    handler: HttpHandler,
    onError: ((error: unknown) => unknown) | undefined,
  ) {
    this.#handler = handler;
    const listener = new ReservedListener(hostname, port, () => this.#makeRoom());
    this.#server = serve({
      listeners: [listener],
      // More than there ever are: a connection that makes room may take a moment to close.
      maxConnections: 2 * MAX_CONNECTIONS,
      maxConnectionsPerPeer: Infinity,
      writeTimeout: WRITE_TIMEOUT,
      ...(onError !== undefined && { onError }),
    }, (conn) => this.#serve(conn as Connection<Deno.NetAddr>)) as Server<Deno.NetAddr>;
    this.#server.unref();
  }

  get addr(): Deno.NetAddr {
    return this.#server.addr;
  }

  get finished(): Promise<void> {
    return this.#server.finished;
  }

  /** Closes connections without a complete request, and gives answers under way a second. */
  shutdown(): Promise<void> {
    if (this.#stopping) return this.finished;
    this.#stopping = true;
    this.#server.ref(); // what is awaited below has to come
    for (const conn of this.#reading) conn.close();
    return this.#server.shutdown({ timeout: GRACE });
  }

  async #serve(conn: Connection<Deno.NetAddr>): Promise<void> {
    conn.unref();
    if (this.#reading.size + this.#answering.size >= MAX_CONNECTIONS) this.#makeRoom();
    this.#reading.add(conn);
    try {
      const request = await readRequest(conn);
      this.#reading.delete(conn);
      if (request === null) return;
      this.#answering.add(conn);
      await this.#answer(request, conn);
    } finally {
      this.#reading.delete(conn);
      this.#answering.delete(conn);
    }
  }

  async #answer(request: Request | HttpAnswer, conn: Connection<Deno.NetAddr>): Promise<void> {
    if (!(request instanceof Request)) return await send(request, conn);
    if (this.#stopping) return await send(refusal(503, "stopping"), conn);
    let answer: HttpAnswer;
    try {
      answer = await this.#handler(request, conn.remoteAddr);
    } catch (error) {
      // The cause goes only to the log: the client may be one that must not know it.
      await send(refusal(500, "The page failed"), conn).catch(() => {});
      throw error;
    }
    await send(answer, conn, request.method === "HEAD");
  }

  /** A client that has not asked yet makes room first: a probe asks as soon as it is connected. */
  #makeRoom(): void {
    const [oldest] = this.#reading.size > 0 ? this.#reading : this.#answering;
    if (oldest === undefined) return;
    this.#reading.delete(oldest);
    this.#answering.delete(oldest);
    oldest.close();
  }
}

/** The request; an answer if it is none; `null` if the client has left, or says too little too late. */
async function readRequest(conn: Connection<Deno.NetAddr>): Promise<Request | HttpAnswer | null> {
  let header: Uint8Array | null;
  try {
    header = await conn.readUntil("\r\n\r\n", { limit: MAX_HEADER, timeout: REQUEST_TIMEOUT });
  } catch (error) {
    if (error instanceof FrameTooLargeError) {
      return refusal(431, `The header has more than ${MAX_HEADER} bytes`);
    }
    return null;
  }
  if (header === null) return null;
  try {
    return parseRequest(decoder.decode(header), conn.localAddr as Deno.NetAddr);
  } catch {
    // Of Headers, URL or Request, about a character that must not be there.
    return refusal(400, "This is no request");
  }
}

/** Reads a header by RFC 9112. A body is not read: nothing here takes one. */
function parseRequest(header: string, localAddr: Deno.NetAddr): Request | HttpAnswer {
  // A client may send an empty line before its request.
  const [first = "", ...fields] = header.replace(/^(\r\n)+/, "").split("\r\n");
  const [, method, target = "", version] = /^([A-Z]+) ([!-~]+) HTTP\/(\d\.\d)$/.exec(first) ?? [];
  if (method === undefined) return refusal(400, "This is no request");
  if (version !== "1.1" && version !== "1.0") return refusal(505, "Use HTTP/1.1");
  const headers = new Headers();
  let hosts = 0;
  for (const field of fields) {
    const [, name, value = ""] = /^([!#$%&'*+.^`|~\w-]+):[ \t]*(.*)$/.exec(field) ?? [];
    if (name === undefined) return refusal(400, "This is no header field");
    headers.append(name, value);
    if (name.toLowerCase() === "host") hosts++;
  }
  if (hosts > 1 || (hosts === 0 && version === "1.1")) return refusal(400, "Name one host");
  if (!target.startsWith("/")) {
    // Only proxies ask like this, and then the target is what names the host.
    headers.set("host", new URL(target).host);
    return new Request(target, { method, headers });
  }
  const host = headers.get("host") ?? formatAddress(localAddr).slice("tcp://".length);
  return new Request(`http://${host}${target}`, { method, headers });
}

function refusal(status: number, sentence: string): HttpAnswer {
  const headers = { "content-type": "text/plain; charset=utf-8", "cache-control": "no-store" };
  return { status, headers, body: `${sentence}\n` };
}

async function send(answer: HttpAnswer, conn: Connection, headOnly = false): Promise<void> {
  const { status, headers, body } = answer;
  const content = typeof body === "string" ? encoder.encode(body) : undefined;
  const fields = Object.entries({
    ...headers,
    ...(content !== undefined && { "content-length": content.length }),
    date: new Date().toUTCString(),
    connection: "close",
  });
  const head = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  conn.write(encoder.encode(`HTTP/1.1 ${status} \r\n${head}\r\n`));
  if (headOnly) await (typeof body !== "string" && body.cancel());
  else if (content !== undefined) await conn.write(content);
  else for await (const chunk of body as ReadableStream<Uint8Array>) await conn.write(chunk);
}
