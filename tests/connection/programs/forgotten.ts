/**
 * A process lives through every promise of a connection that it forgot. Forgets them one by
 * one, says which error the next operation gave, and "alive" at the end. @module
 */

import { type Connection, connection } from "../../../mod.ts";
import { resettablePair, socketPair } from "../../support/peers.ts";
import { turn, turns, until } from "../../support/wait.ts";

const p = new Uint8Array(1);
const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));

/** Prints the error of an operation now, when earlier ones can no longer be reported. */
async function next(what: string, operation: () => Promise<unknown>): Promise<void> {
  await turns();
  say(`${what}: ${await operation().then(() => "served on", (error) => error.name)}`);
}

/** A connection whose peer has reset it, which a forgotten operation is the first to see. */
async function reset(forgotten: (conn: Connection) => void): Promise<Connection> {
  const [socket, peer] = await resettablePair();
  const conn = connection(socket);
  forgotten(conn);
  await peer.reset();
  await until(() => conn.signal.aborted);
  return conn;
}

const read = await reset((conn) => void conn.read(p));
await next("read", () => read.read(p));

const iterated = await reset((conn) => void conn[Symbol.asyncIterator]().next());
await next("next", () => iterated[Symbol.asyncIterator]().next());

{
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  client.close();
  while (!conn.signal.aborted) {
    conn.write(p);
    await turn();
  }
  // Whether the reset or the broken pipe is seen first is the kernel's choice.
  const gone = (error: unknown) =>
    error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset;
  await next("write", () =>
    conn.write(p).catch((error) => {
      throw gone(error) ? { name: "gone" } : error;
    }));
}

{
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  conn.close();
  client.close();
  conn.closeWrite();
  await next("closeWrite", () => conn.closeWrite());
}

{
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  conn.end();
  conn.write(p);
  await next("write after end", () => conn.write(p));
  client.close();
}

{
  const [socket, client] = await socketPair();
  const conn = connection(socket, { maxUnsent: 0 });
  conn.write(new Uint8Array(64 << 20));
  conn.write(p);
  await next("overflow", () => conn.write(p));
  client.close();
}

{
  const [socket, client] = await socketPair();
  const conn = connection(socket);
  const pending = conn.read(p);
  conn.read(p);
  conn[Symbol.asyncIterator]().next();
  await client.write(p);
  await next("Busy", () => pending);
  conn.close();
  client.close();
}

say("alive");
