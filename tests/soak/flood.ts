/**
 * Floods a server with connects, and measures whether new clients get through and how long they and
 * established ones wait. Prints a line for each flood. The argument picks those whose name contains it.
 *
 *     deno run -A tests/soak/flood.ts [name] [seconds]
 *
 * @module
 */

import { compileC } from "../bench/build.ts";
import { ca } from "../support/certificates.ts";
import { readExactly, writeAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";

/** One flood, and the options of its server. */
interface Flood {
  readonly name: string;
  readonly settings: Record<string, unknown>;
  /** Connects per second. */
  readonly rate: number;
  /** The last number of the first address in 127.0.0.0, and how many follow it. */
  readonly from: readonly [first: number, count: number];
  /**
   * `enter`: new clients come with a round trip of 300 ms. `answer`: new clients come without one.
   * `wait`: an established one is served.
   */
  readonly measure: "enter" | "answer" | "wait";
  /** Each client of the flood begins a TLS handshake. */
  readonly hello?: boolean;
}

/** New connections per second of one address, and as many at once. */
const MOST = 100;

const FULL = { tls: true, maxConnections: 1000 };
const FLOODS: Flood[] = [
  { name: "enter, no flood", settings: FULL, rate: 0, from: [9, 1], measure: "enter" },
  { name: "enter, 1 address", settings: FULL, rate: 900, from: [9, 1], measure: "enter" },
  { name: "enter, own address", settings: FULL, rate: 900, from: [1, 1], measure: "enter" },
  { name: "enter, 200 addresses", settings: FULL, rate: 900, from: [9, 200], measure: "enter" },
  { name: "wait, no flood", settings: { tls: true }, rate: 0, from: [9, 1], measure: "wait" },
  { name: "wait, tls 1500/s", settings: { tls: true }, rate: 1500, from: [9, 1], measure: "wait" },
  { name: "wait, tls 3000/s", settings: { tls: true }, rate: 3000, from: [9, 1], measure: "wait" },
  {
    name: "wait, plain 20000/s refused",
    settings: { maxConnectionsPerPeer: 20 },
    rate: 20_000,
    from: [9, 1],
    measure: "wait",
  },
  {
    name: "wait, plain 20000/s refused as full",
    settings: { maxConnections: 20, whenFull: "refuse" },
    rate: 20_000,
    from: [9, 1],
    measure: "wait",
  },
  ...[{}, { maxRatePerPeer: MOST }].map((limits): Flood => ({
    name: `answer, tls handshakes 5000/s ${JSON.stringify(limits)}`,
    settings: { tls: true, ...limits },
    rate: 5000,
    from: [9, 1],
    measure: "answer",
    hello: true,
  })),
];

const [chosen = "", seconds = "8"] = Deno.args;
const CLIENTS = 20;
/** Ms. */
const ROUND_TRIP = 300;

const flood = await compileC(new URL("flood.c", import.meta.url).pathname);
for (const each of FLOODS) if (each.name.includes(chosen)) await run(each);
Deno.exit();

async function run(
  { name, settings, rate, from: [first, count], measure, hello = false }: Flood,
): Promise<void> {
  const program = new URL("flood_server.ts", import.meta.url);
  await using server = new Program(program, { args: [JSON.stringify(settings)] });
  const port = Number(await server.line());
  const established = measure === "wait" ? await dial(port, settings["tls"] === true) : undefined;
  const flooding = new Deno.Command(flood, {
    args: [port, rate, seconds, first, count, ...hello ? [await writeHello()] : []].map(String),
    stdout: "piped",
  }).spawn();
  const end = performance.now() + Number(seconds) * 1000 - 500;
  await passed(1000); // the flood has filled everything it can
  const result = established !== undefined
    ? await ping(established, end)
    : measure === "answer"
    ? await answer(port)
    : await enter(port);
  const { stdout } = await flooding.output();
  const [made, connected, , , answered] = new TextDecoder().decode(stdout).trim().split(" ");
  const became = await server.ask("");
  const handshakes = hello ? `, answered ${answered}` : "";
  print(
    `${name}: ${result}; flood made ${made}, connected ${connected}${handshakes}; server ${became}`,
  );
}

async function dial(port: number, tls: boolean): Promise<Deno.Conn> {
  const conn = await Deno.connect({ port, hostname: "127.0.0.1" });
  conn.setNoDelay(true);
  return tls ? await Deno.startTls(conn, { hostname: "localhost", caCerts: [ca.cert] }) : conn;
}

/** How many of some clients are served, one after the other. */
async function enter(port: number): Promise<string> {
  let served = 0;
  const errors: Record<string, number> = {};
  for (let i = 0; i < CLIENTS; i++) {
    try {
      using far = farAway(port);
      using conn = await dial(far.port, true);
      await writeAll(conn, new Uint8Array(5));
      await readExactly(conn, 5);
      served++;
    } catch (error) {
      const { name } = error as Error;
      errors[name] = (errors[name] ?? 0) + 1;
    }
  }
  return `${served} of ${CLIENTS} served ${JSON.stringify(errors)}`;
}

/** How many of some clients are answered within a second, one after the other. */
async function answer(port: number): Promise<string> {
  const waits: number[] = [];
  for (let i = 0; i < CLIENTS; i++) {
    const since = performance.now();
    try {
      using conn = await dial(port, true);
      await writeAll(conn, new Uint8Array(5));
      await readExactly(conn, 5);
      waits.push(performance.now() - since);
    } catch {
      waits.push(Infinity);
    }
    await passed(200);
  }
  const soon = waits.filter((ms) => ms <= 1000).length;
  return `${soon} of ${CLIENTS} answered within 1 s, worst ${Math.max(...waits).toFixed(0)} ms`;
}

/** A file with the first message of a TLS client. */
async function writeHello(): Promise<string> {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const client = await Deno.connect({ port: listener.addr.port, hostname: "127.0.0.1" });
  const server = await listener.accept();
  listener.close();
  const tls = await Deno.startTls(client, { hostname: "localhost" });
  const failing = tls.handshake().catch(() => {});
  const p = new Uint8Array(16_384);
  const n = await server.read(p) ?? 0;
  server.close();
  await failing;
  tls.close();
  const path = await Deno.makeTempFile();
  await Deno.writeFile(path, p.subarray(0, n));
  return path;
}

/** A port where everything that the server sends is delayed by a round trip. */
function farAway(port: number): { port: number } & Disposable {
  const listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const carry = async (from: Deno.Conn, to: Deno.Conn, delay: number) => {
    const p = new Uint8Array(65536);
    try {
      for (let n; (n = await from.read(p)) !== null;) {
        const chunk = p.slice(0, n);
        if (delay > 0) await passed(delay);
        await writeAll(to, chunk);
      }
    } catch {
      // One end is gone.
    }
    for (const conn of [from, to]) conn[Symbol.dispose]();
  };
  listener.accept().then(async (near) => {
    const far = await Deno.connect({ port, hostname: "127.0.0.1" });
    carry(near, far, 0);
    carry(far, near, ROUND_TRIP);
  }).catch(() => {});
  return { port: listener.addr.port, [Symbol.dispose]: () => listener[Symbol.dispose]() };
}

/** How long an established client waits for its answers. */
async function ping(conn: Deno.Conn, end: number): Promise<string> {
  const waits: number[] = [];
  while (performance.now() < end) {
    const since = performance.now();
    await writeAll(conn, new Uint8Array(5));
    await readExactly(conn, 5);
    waits.push(performance.now() - since);
    await passed(10);
  }
  conn.close();
  waits.sort((a, b) => a - b);
  const at = (part: number) => waits[Math.floor((waits.length - 1) * part)]!.toFixed(1);
  return `${waits.length} pings: p50 ${at(0.5)}, p99 ${at(0.99)}, worst ${at(1)} ms`;
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
