/**
 * Puts a fan-out on an MQTT broker: `mqtt_load.ts PORT SUBSCRIBERS MESSAGES WARM`. One client publishes
 * at QoS 0, all others get it; the publisher is never further ahead than what fits into the sockets, so
 * that nothing is dropped. The last line is a report as load.c prints it, of the deliveries.
 *
 * @module
 */

import { snapshot } from "./measure.ts";

const [port = 0, subscribers = 0, messages = 0, warm = 0] = Deno.args.map(Number);

/** Bytes of a payload, messages that are written together, bytes that each subscriber may be behind. */
const PAYLOAD = 90, TOGETHER = 20, AHEAD = 65_536;

const encoder = new TextEncoder();
const publish = packet(0x30, text("load/one"), new Uint8Array(PAYLOAD).fill(120));
const batch = new Uint8Array(await new Blob(Array(TOGETHER).fill(publish)).arrayBuffer());
let received = 0;
const readers = await Promise.all(
  Array.from({ length: subscribers }, (_, i) => subscribe(`s${i}`)),
);
for (const conn of readers) count(conn);
const publisher = await connect("publisher");
await send(warm);
await say({ at: "warm" });
await Deno.stdin.read(new Uint8Array(16));
const began = performance.now();
const before = await snapshot(Deno.pid);
await send(messages);
const took = performance.now() - began;
const after = await snapshot(Deno.pid);
const busy = ((after.cpu ?? 0) - (before.cpu ?? 0)) / 1000 / took;
const requests = messages * subscribers;
await say({ at: "end", requests, seconds: took / 1000, busy, errors: 0, error: "" });
Deno.exit(0);

/** Publishes so many messages, and waits until every subscriber has them all. */
async function send(wanted: number): Promise<void> {
  const from = received;
  let sent = 0;
  while (received - from < sent * publish.length * subscribers || sent < wanted) {
    if (
      sent < wanted && sent * publish.length * subscribers - (received - from) < AHEAD * subscribers
    ) {
      for (let n = 0; n < batch.length;) n += await publisher.write(batch.subarray(n));
      sent += TOGETHER;
    } else await new Promise((resolve) => setTimeout(resolve, 0));
  }
}

async function count(conn: Deno.Conn): Promise<void> {
  const p = new Uint8Array(262_144);
  for (let n; (n = await conn.read(p)) !== null;) received += n;
}

async function connect(id: string): Promise<Deno.TcpConn> {
  const conn = await Deno.connect({ hostname: "127.0.0.1", port });
  conn.setNoDelay(true);
  await conn.write(packet(0x10, text("MQTT"), Uint8Array.of(4, 2, 0, 0), text(id)));
  await skip(conn, 4);
  return conn;
}

async function subscribe(id: string): Promise<Deno.TcpConn> {
  const conn = await connect(id);
  await conn.write(packet(0x82, Uint8Array.of(0, 1), text("load/+"), Uint8Array.of(0)));
  await skip(conn, 5);
  return conn;
}

async function skip(conn: Deno.Conn, size: number): Promise<void> {
  const p = new Uint8Array(size);
  for (let n = 0; n < size;) n += await conn.read(p.subarray(n)) ?? NaN;
}

/** All packets here have less than 128 bytes. */
function packet(header: number, ...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const body = parts.flatMap((part) => [...part]);
  return Uint8Array.of(header, body.length, ...body);
}

function text(content: string): Uint8Array {
  const bytes = encoder.encode(content);
  return Uint8Array.of(0, bytes.length, ...bytes);
}

async function say(word: Record<string, unknown>): Promise<void> {
  await Deno.stdout.write(encoder.encode(JSON.stringify(word) + "\n"));
}
