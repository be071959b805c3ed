/**
 * Puts load on a server where there is no C compiler. The same command line, phases and report as
 * load.c, which explains them. It costs more per request than the servers it measures,
 * so rates and latencies are its own; the server's CPU time per request is still worth something.
 *
 * @module
 */

import { parseArgs } from "node:util";
import { snapshot } from "./measure.ts";

/** As in load.c. */
const OPEN_AT_ONCE = 64, BURSTS_AT_ONCE = 16, LEAD = 0.03, REST = 300, SPARE = 60_000;

const { positionals: [kind, port], values } = parseArgs({
  allowPositionals: true,
  options: {
    connections: { type: "string", default: "1" },
    request: { type: "string", default: "64" },
    reply: { type: "string", default: "64" },
    depth: { type: "string", default: "1" },
    burst: { type: "string", default: "65536" },
    window: { type: "string", default: "0" },
    times: { type: "string", default: "1" },
    rounds: { type: "string", default: "1" },
    slices: { type: "string", default: "1" },
    "server-closes": { type: "string", default: "0" },
    rest: { type: "string", default: "0" },
    prefix: { type: "string", default: "0" },
    through: { type: "string", default: "0" },
    tls: { type: "string", default: "0" },
    warm: { type: "string", default: "0" },
    seconds: { type: "string", default: "0" },
  },
});
const count = Number(values.connections);
const depth = Number(values.depth);
const warm = Number(values.warm);
const seconds = Number(values.seconds);
const rounds = Number(values.rounds);
const slices = Number(values.slices);
const serverCloses = values["server-closes"] !== "0";
/** Full handshakes, as in load.c: each connection has a configuration, and so a cache, of its own. */
const authority = values.tls === "0"
  ? undefined
  : await Deno.readTextFile(new URL("build/tls/ca.pem", import.meta.url));

interface Peer {
  conn: Deno.Conn | undefined;
  served: number;
  readonly buffer: Uint8Array<ArrayBuffer>;
}

let pattern = patternOf(Number(values.request), Number(values.reply));
let request = pattern.subarray(0, Number(values.request) * depth);
let reply = Number(values.reply) * depth;
let checking = false;
let counting = false;
let latencies: number[] = [];
let errors = 0;
let firstError = "";

/** What has passed while counting, in ms. */
let spent = { time: 0, cpu: 0 };

let watching = watchOver();
const peers = Array.from({ length: count }, (): Peer => ({
  conn: undefined,
  served: 0,
  buffer: new Uint8Array(65536),
}));
switch (kind) {
  case "exchange":
    await openAll(peers);
    await measure((time) => run(peers, time, exchange));
    break;
  case "stream":
    request = pattern.subarray(0, Number(values.request));
    reply = request.length;
    await openAll(peers);
    await measure((time) => runStream(peers, time));
    break;
  case "connect":
    await measure((time) => run(peers, time, exchangeOnce));
    break;
  case "hold":
    await hold();
    break;
  default:
    throw new TypeError(`Unknown kind '${kind}': use exchange, stream, connect or hold`);
}
Deno.exit(0);

async function measure(load: (time: number) => Promise<void>): Promise<void> {
  await warmUp(load);
  for (let round = 1; round <= rounds; round++) {
    for (let i = 0; i < slices; i++) {
      await phase("turn");
      await load(LEAD);
      await phase("warm");
      await setCounting(true);
      await load(seconds / slices);
      await setCounting(false);
    }
    if (round === rounds) break;
    await report("round");
    await pause();
    countFromHere();
  }
  if (values.rest !== "0") {
    await phase("done");
    await rest(Number(values.rest) * 1000);
    await phase("idle");
  }
  await report("end");
}

async function hold(): Promise<void> {
  const few = peers.slice(0, BURSTS_AT_ONCE);
  await openAll(few);
  await warmUp((time) => run(few, time, exchange));
  for (const peer of few) peer.conn?.close();
  await rest();
  await phase("warm");
  await setCounting(true);
  await openAll(peers);
  await rest();
  await phase("small");
  const burst = Number(values.burst);
  request = pattern = patternOf(burst, burst);
  reply = burst;
  const times = Number(values.times);
  await inGroups(
    peers,
    BURSTS_AT_ONCE,
    (group) => values.window === "0" ? run(group, 0, exchange, times) : runStream(group, 0, times),
  );
  await rest(Number(values.rest) * 1000 || REST);
  await phase("burst");
  await setCounting(false);
  await report("end");
}

/** The warm-up compares every byte of an echo; the measured time does not, to stay cheap. */
async function warmUp(load: (time: number) => Promise<void>): Promise<void> {
  if (errors > 0) return;
  checking = request.length === reply;
  await load(warm);
  checking = false;
}

/** Opens connections group by group, one exchange on each: then they are accepted for certain. */
async function openAll(some: Peer[]): Promise<void> {
  await inGroups(some, OPEN_AT_ONCE, async (group) => {
    await Promise.all(group.map(open));
    await run(group, 0, exchange);
  });
}

/** Exchanges on each connection until the time is over; for 0 seconds, so many times on each. */
async function run(
  some: Peer[],
  time: number,
  one: (peer: Peer) => Promise<void>,
  times = 1,
): Promise<void> {
  const end = performance.now() + time * 1000;
  await onEach(some, async (peer) => {
    let done = 0;
    do {
      await one(peer);
      if (counting) peer.served += depth;
    } while (time > 0 ? performance.now() < end : ++done < times);
  });
}

/** Streams on each connection until the time is over; for 0 seconds, so many writes on each. */
async function runStream(some: Peer[], time: number, times = 1): Promise<void> {
  const end = performance.now() + time * 1000;
  const window = Number(values.window);
  const size = request.length;
  await onEach(some, async (peer) => {
    const { conn, buffer } = peer;
    if (conn === undefined) throw new Error("Not connected");
    const begun: number[] = [];
    let writes = 0, received = 0;
    let sending = Promise.resolve();
    const fillWindow = () => {
      const now = performance.now();
      while (
        (time > 0 ? now < end : writes < times) && (writes + 1) * size - received <= window
      ) {
        writes++;
        begun.push(now);
        sending = sending.then(() => sendRequest(conn));
      }
      // Its failure is thrown below, once nothing is read any more.
      sending.catch(() => {});
    };
    for (fillWindow(); received < writes * size; fillWindow()) {
      const n = await conn.read(buffer);
      if (n === null) throw new Error("The server closed");
      for (let i = 0; checking && i < n; i++) {
        if (buffer[i] !== pattern[(received + i) % size]) {
          throw new Error("The echo differs from what was sent");
        }
      }
      const answered = Math.floor(received / size);
      received += n;
      for (let i = answered; i < Math.floor(received / size); i++) {
        record(begun.shift() ?? 0);
        if (counting) peer.served++;
      }
    }
    await sending;
  });
}

async function onEach(some: Peer[], work: (peer: Peer) => Promise<void>): Promise<void> {
  await Promise.all(some.map(async (peer) => {
    try {
      await work(peer);
    } catch (error) {
      if (errors++ === 0) firstError = String(error);
    }
  }));
}

async function exchangeOnce(peer: Peer): Promise<void> {
  const began = performance.now();
  const conn = await open(peer);
  await exchange(peer, began);
  if (!serverCloses) await conn.closeWrite();
  if (await conn.read(peer.buffer) !== null) throw new Error("More bytes than asked for");
  conn.close();
}

async function open(peer: Peer): Promise<Deno.Conn> {
  const proxy = Number(values.through);
  const conn = await Deno.connect({ hostname: "127.0.0.1", port: proxy || Number(port) });
  conn.setNoDelay(true);
  if (proxy > 0) await passProxy(conn);
  // connectTls() has no setNoDelay(), and would make the first request wait for an acknowledgement.
  return peer.conn = authority === undefined
    ? conn
    : await Deno.startTls(conn, { hostname: "localhost", caCerts: [authority] });
}

/** As in load.c: asks a SOCKS5 proxy for the server. */
async function passProxy(conn: Deno.Conn): Promise<void> {
  const to = Number(port);
  const said = [[5, 1, 0], [5, 1, 0, 1, 127, 0, 0, 1, to >> 8, to & 255]];
  for (const [i, bytes] of said.entries()) {
    await conn.write(Uint8Array.from(bytes));
    const answer = new Uint8Array(i === 0 ? 2 : 10);
    for (let n = 0; n < answer.length;) n += await conn.read(answer.subarray(n)) ?? NaN;
    if (answer[1] !== 0) throw new Error("The proxy refused");
  }
}

async function exchange({ conn, buffer }: Peer, began = performance.now()): Promise<void> {
  if (conn === undefined) throw new Error("Not connected");
  const sending = sendRequest(conn);
  for (let received = 0; received < reply;) {
    const n = await conn.read(buffer);
    if (n === null) throw new Error("The server closed");
    if (checking && !isEcho(buffer.subarray(0, n), received)) {
      throw new Error("The echo differs from what was sent");
    }
    received += n;
    if (received > reply) throw new Error("More bytes than asked for");
  }
  await sending;
  record(began);
}

async function sendRequest(conn: Deno.Conn): Promise<void> {
  for (let sent = 0; sent < request.length;) sent += await conn.write(request.subarray(sent));
}

function isEcho(bytes: Uint8Array, from: number): boolean {
  return bytes.every((byte, i) => byte === pattern[from + i]);
}

/** As in load.c: no two neighbouring bytes or messages alike; each message ends like a line. */
function patternOf(requestSize: number, replySize: number): Uint8Array<ArrayBuffer> {
  const bytes = Uint8Array.from(
    { length: Math.max(requestSize, replySize) * depth },
    (_, i) =>
      i % requestSize === requestSize - 1
        ? 10
        : 97 + (i + Math.floor(i / requestSize) + Math.floor(i / 4096)) % 26,
  );
  const view = new DataView(bytes.buffer);
  for (let at = 0; values.prefix !== "0" && at + requestSize <= bytes.length; at += requestSize) {
    view.setUint32(at, requestSize - 4);
  }
  return bytes;
}

function record(began: number): void {
  if (counting) latencies.push((performance.now() - began) * 1000);
}

/** Ends this program when a phase takes too long. */
function watchOver(): ReturnType<typeof setTimeout> {
  return setTimeout(
    () => Deno.exit(1),
    (warm + seconds + Number(values.rest)) * 1000 + SPARE,
  );
}

/** As in load.c, a phase that had errors is the last one. */
async function phase(name: string): Promise<void> {
  if (errors > 0) throw new Error(`${errors} errors, the first: ${firstError}`);
  await say({ at: name });
  await pause();
}

/** Waits until the load may go on. How long that takes is not up to it. */
async function pause(): Promise<void> {
  clearTimeout(watching);
  if (await Deno.stdin.read(new Uint8Array(16)) === null) Deno.exit(0);
  watching = watchOver();
}

async function setCounting(on: boolean): Promise<void> {
  const { cpu = 0 } = await snapshot(Deno.pid);
  const sign = on ? -1 : 1;
  counting = on;
  spent.time += sign * performance.now();
  spent.cpu += sign * cpu / 1000;
}

function countFromHere(): void {
  for (const peer of peers) peer.served = 0;
  latencies = [];
  spent = { time: 0, cpu: 0 };
}

async function report(at: string): Promise<void> {
  latencies.sort((a, b) => a - b);
  const served = peers.map((peer) => peer.served);
  await say({
    at,
    requests: served.reduce((sum, each) => sum + each, 0),
    seconds: spent.time / 1000,
    p50: percentile(0.5),
    p99: percentile(0.99),
    p999: percentile(0.999),
    least: Math.min(...served),
    most: Math.max(...served),
    errors,
    error: firstError,
    busy: spent.cpu / spent.time,
    by: "load.ts",
  });
}

function percentile(share: number): number {
  return latencies[Math.min(latencies.length - 1, Math.floor(share * latencies.length))] ?? 0;
}

async function say(word: Record<string, unknown>): Promise<void> {
  await Deno.stdout.write(new TextEncoder().encode(JSON.stringify(word) + "\n"));
}

async function inGroups(
  some: Peer[],
  size: number,
  work: (group: Peer[]) => Promise<void>,
): Promise<void> {
  for (let from = 0; from < some.length && errors === 0; from += size) {
    await work(some.slice(from, from + size));
  }
}

async function rest(milliseconds = REST): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, milliseconds));
}
