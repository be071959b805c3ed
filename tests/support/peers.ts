/** The other ends of connections in tests. @module */

import { connect } from "node:net";

/** Connects and resets as soon as the connection is established; resolves when it is gone. */
export function connectAndReset(addr: Deno.NetAddr): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const socket = connect(addr.port, addr.hostname, () => socket.resetAndDestroy());
  socket.once("error", reject);
  socket.once("close", () => resolve());
  return promise;
}

/**
 * Connects through `node:net`, whose sockets can be reset at will.
 *
 * @param localAddress The client's own address, another of 127.0.0.0/8 to be another peer.
 */
export function connectResettable(
  addr: Deno.NetAddr,
  localAddress?: string,
): Promise<Resettable> {
  const { promise, resolve, reject } = Promise.withResolvers<Resettable>();
  const { promise: gone, resolve: isGone } = Promise.withResolvers<void>();
  const options = { port: addr.port, host: addr.hostname, ...(localAddress && { localAddress }) };
  const socket = connect(options, () => {
    socket.once("close", () => isGone());
    socket.off("error", reject);
    // The test sees its fate at the other end.
    socket.on("error", () => {});
    resolve({
      write: (p) => void socket.write(p),
      reset: () => {
        // It may be gone already: the other end can reset it as well.
        socket.resetAndDestroy();
        return gone;
      },
    });
  });
  socket.once("error", reject);
  return promise;
}

/** A client that can send RST. */
export interface Resettable {
  write(p: Uint8Array): void;
  /** Resolves when the socket is gone. */
  reset(): Promise<void>;
}

/** Reads everything until the other end closes, then closes too. */
export async function readAll(conn: Deno.Conn): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  const p = new Uint8Array(65536);
  for (let n; (n = await conn.read(p)) !== null;) chunks.push(p.slice(0, n));
  conn.close();
  return new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

/** Reads exactly `length` bytes. */
export async function readExactly(conn: Deno.Conn, length: number): Promise<Uint8Array> {
  const p = new Uint8Array(length);
  for (let filled = 0; filled < length;) {
    const n = await conn.read(p.subarray(filled));
    if (n === null) throw new Error(`The stream ended after ${filled} of ${length} bytes`);
    filled += n;
  }
  return p;
}

/** Writes all of `p` to a plain connection, whose `write` may be partial. */
export async function writeAll(conn: Deno.Conn, p: Uint8Array): Promise<void> {
  for (let sent = 0; sent < p.length;) sent += await conn.write(p.subarray(sent));
}

/** Where tests listen: any free port, reachable only from this machine. */
export const LOOPBACK = { port: 0, hostname: "127.0.0.1" } as const;

/** The two ends of one connection, without a server: what a listener gives, and its client. */
export async function socketPair(): Promise<[socket: Deno.TcpConn, client: Deno.TcpConn]> {
  using listener = Deno.listen(LOOPBACK);
  return await Promise.all([listener.accept(), dial(listener.addr)]);
}

/** A socket, and a peer that can reset it. */
export async function resettablePair(): Promise<[socket: Deno.TcpConn, peer: Resettable]> {
  using listener = Deno.listen(LOOPBACK);
  return await Promise.all([listener.accept(), connectResettable(listener.addr)]);
}

/** The two ends of one connection over a Unix socket. */
export async function unixPair(): Promise<[socket: Deno.UnixConn, client: Deno.UnixConn]> {
  const folder = await Deno.makeTempDir();
  const path = `${folder}/s`;
  using listener = Deno.listen({ transport: "unix", path });
  try {
    return await Promise.all([listener.accept(), Deno.connect({ transport: "unix", path })]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Connects to a server's address; `Deno.connect` takes no `Deno.NetAddr`, which may be UDP. */
export function dial({ hostname, port }: Deno.NetAddr): Promise<Deno.TcpConn> {
  return Deno.connect({ hostname, port });
}

/** Several clients, connected at once and closed together. */
export async function connectMany(addr: Deno.NetAddr, count: number): Promise<Clients> {
  return new Clients(
    await Promise.all(Array.from({ length: count }, () => dial(addr))),
  );
}

/** Clients that are closed together. */
export class Clients implements Disposable {
  readonly all: readonly Deno.TcpConn[];

  constructor(all: readonly Deno.TcpConn[]) {
    this.all = all;
  }

  [Symbol.dispose](): void {
    for (const client of this.all) client[Symbol.dispose]();
  }
}
