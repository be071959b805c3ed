/** Joins two connections, each with a peer. @module */

import { connection } from "../../mod.ts";
import { socketPair } from "./peers.ts";

/** Two connections, `a` and `b`, each with its peer. */
export class Bridge implements Disposable {
  readonly left: Deno.TcpConn;
  readonly a: Deno.Conn;
  readonly b: Deno.Conn;
  readonly right: Deno.TcpConn;

  constructor(left: Deno.TcpConn, a: Deno.Conn, b: Deno.Conn, right: Deno.TcpConn) {
    this.left = left;
    this.a = a;
    this.b = b;
    this.right = right;
  }

  [Symbol.dispose](): void {
    for (const conn of [this.left, this.a, this.b, this.right]) conn[Symbol.dispose]();
  }
}

/** A way to make the two connections in the middle. */
export interface Kind {
  readonly name: string;
  readonly a: (socket: Deno.TcpConn) => Deno.Conn;
  readonly b: (socket: Deno.TcpConn) => Deno.Conn;
}

const plain = (socket: Deno.TcpConn): Deno.Conn => socket;
const wrapped = (socket: Deno.TcpConn): Deno.Conn => connection(socket);

/** Every combination of plain connections and our own. */
export const KINDS: readonly Kind[] = [
  { name: "connections", a: wrapped, b: wrapped },
  { name: "plain connections", a: plain, b: plain },
  { name: "a connection and a plain one", a: wrapped, b: plain },
  { name: "a plain connection and one of ours", a: plain, b: wrapped },
];

/** Makes a bridge of sockets of one kind. */
export async function bridge(kind: Kind = KINDS[0]!): Promise<Bridge> {
  const [[a, left], [b, right]] = await Promise.all([socketPair(), socketPair()]);
  return new Bridge(left, kind.a(a), kind.b(b), right);
}
