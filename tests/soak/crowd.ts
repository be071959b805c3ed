/**
 * Shows what a crowd costs a server with `maxConnections` of 12,000: 10,000 strangers that each leave the
 * worst unfinished record of some way of reading, and 1,000 that never read, from many addresses. Meanwhile
 * a client that behaves asks every 50 ms, and uploads 1 MiB again and again. Prints the resident memory, how
 * long the client waited and how many uploads got through. With `again`, strangers that lose their
 * connection come again at once.
 *
 *     DENO_TOKIO_MAX_IO_EVENTS_PER_TICK=128 deno run -A tests/soak/crowd.ts [seconds] [again]
 *
 * @module
 */

import { compileC } from "../bench/build.ts";
import { dial, readExactly, writeAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";

const [seconds = "20", again = "", settings = "{}"] = Deno.args;

/** What each stranger sends, and what that begins with. */
const WAYS: Record<string, [bytes: number, begin: string]> = {
  lines: [65_536, "-"],
  lengthPrefixed: [65_539, "00010000"],
  readLine: [65_536, "-"],
  readUntil: [65_536, "-"],
  readExactly: [65_535, "-"],
  peek: [65_535, "-"],
};

const STRANGERS = 10_000;
const DEAF = 1000;
/** Addresses of each way. */
const HOSTS = 250;
const UPLOAD = 1_048_576;

const crowd = await compileC(new URL("crowd.c", import.meta.url).pathname);
const program = new URL("crowd_server.ts", import.meta.url);
// The flag of `deno task echo`: what is not needed any more is collected sooner.
const flags = ["--v8-flags=--max-semi-space-size=1"];
await using server = new Program(program, { args: [settings], flags, longest: 600_000 });
const ports: Record<string, number> = JSON.parse(await server.line());
const before = await resident("VmRSS");

const waits: number[] = [];
const failures: string[] = [];
const uploads: number[] = [];
let isOver = false;
let highest = 0;
const client = Promise.all([ask(), upload(), watch()]);

const ways = Object.entries(WAYS);
const groups = ways.map(([way, [bytes, begin]], i) => {
  const count = Math.floor(STRANGERS / ways.length) + (i < STRANGERS % ways.length ? 1 : 0);
  return start(ports[way]!, count, bytes, begin, 256 * (i + 1));
});
groups.push(start(ports["deaf"]!, DEAF, 1, "-", 256 * 100));
await passed(Number(seconds) * 1000);
isOver = true;
const { accepted, active, buffered, ended, behaved, rss, external, heapTotal } = JSON.parse(
  await server.ask(""),
);
await client;
const made = await Promise.all(groups.map(stop));

waits.sort((a, b) => a - b);
const at = (part: number) => `${(waits[Math.floor((waits.length - 1) * part)] ?? NaN).toFixed(1)}`;
print(`resident: ${mib(before)} before, ${mib(rss)} at the end, ${mib(highest)} at most`);
print(
  `buffered ${mib(buffered)}, external ${mib(external)}, heap ${
    mib(heapTotal)
  }; ${active} active of ${accepted}, ${made.reduce((a, b) => a + b)} made`,
);
print(`ended: ${JSON.stringify(ended)}; those that behave ${JSON.stringify(behaved)}`);
print(
  `a client that behaves: ${waits.length} answers, p50 ${at(0.5)}, p99 ${at(0.99)}, worst ` +
    `${at(1)} ms; ${uploads.length} uploads of 1 MiB, worst ${
      Math.max(...uploads).toFixed(0)
    } ms; ` +
    `failed: ${failures.length} ${[...new Set(failures)].join(", ")}`,
);
await server.end();
Deno.exit();

function start(port: number, count: number, bytes: number, begin: string, first: number) {
  const child = new Deno.Command(crowd, {
    args: [port, count, bytes, begin, first, HOSTS, again === "again" ? 1 : 0].map(String),
    stdin: "piped",
    stdout: "piped",
  }).spawn();
  return child;
}

async function stop(child: Deno.ChildProcess): Promise<number> {
  await child.stdin.close();
  const text = new TextDecoder().decode((await child.output()).stdout);
  return Number(text.trim().split("\n").at(-1));
}

/** Asks on one connection, and each time on a new one, too. */
async function ask(): Promise<void> {
  const addr = { transport: "tcp", hostname: "127.0.0.1", port: ports["echo"]! } as const;
  const established = await dial(addr);
  while (!isOver) {
    for (const conn of [established, await dial(addr)]) {
      const since = performance.now();
      try {
        await writeAll(conn, new Uint8Array(64));
        await readExactly(conn, 64);
        waits.push(performance.now() - since);
      } catch (error) {
        failures.push(`echo: ${(error as Error).message}`);
      }
      if (conn !== established) conn.close();
    }
    await passed(50);
  }
  established.close();
}

/** Uploads, in turn at once and in pieces over 3 s. */
async function upload(): Promise<void> {
  const addr = { transport: "tcp", hostname: "127.0.0.1", port: ports["upload"]! } as const;
  for (let i = 0; !isOver; i++) {
    const since = performance.now();
    try {
      using conn = await dial(addr);
      const pieces = i % 2 === 0 ? 1 : 32;
      for (let piece = 0; piece < pieces; piece++) {
        await writeAll(conn, new Uint8Array(UPLOAD / pieces));
        if (pieces > 1) await passed(100);
      }
      await readExactly(conn, 8);
      uploads.push(performance.now() - since);
    } catch (error) {
      failures.push(`upload: ${(error as Error).message}`);
    }
    await passed(200);
  }
}

async function watch(): Promise<void> {
  while (!isOver) {
    highest = Math.max(highest, await resident("VmRSS"));
    await passed(100);
  }
  highest = Math.max(highest, await resident("VmHWM"));
}

/** Bytes, as the kernel counts them. */
async function resident(what: "VmRSS" | "VmHWM"): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${server.pid}/status`);
  return 1024 * Number(new RegExp(`${what}:\\s+(\\d+)`).exec(status)?.[1]);
}

function passed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
