/**
 * Shows what strangers can make a server with default limits hold: many connections that each leave the
 * worst unfinished record of a way of reading. Prints a line for each way: resident memory, what each
 * connection holds, and what 10,000 would.
 *
 *     deno run -A tests/soak/strangers.ts [connections] [way]
 *
 * @module
 */

import { Program } from "../support/program.ts";

/** What each stranger sends: one byte less than ends the wait, or more than it reads. */
const SENDS: Record<string, number> = {
  "mute": 0,
  "mute in TLS": 0,
  "chunks": 17_408,
  "lines": 65_536,
  "lengthPrefixed": 65_539,
  "readLine": 65_536,
  "readUntil": 65_536,
  "readExactly": 65_535,
  "peek": 65_535,
  "echo to a client that never reads": 8_388_608,
};

/** Ms without new bytes at the server before it is asked. */
const QUIET = 1500;

const [count = "1500", chosen = ""] = Deno.args;
for (const [way, size] of Object.entries(SENDS)) {
  if (way.includes(chosen)) await run(way, size, Number(count));
}
Deno.exit();

async function run(way: string, size: number, count: number): Promise<void> {
  const program = new URL("strangers_server.ts", import.meta.url);
  await using server = new Program(program, { args: [way], flags: ["--v8-flags=--expose-gc"] });
  const port = Number(await server.line());
  const before = JSON.parse(await server.ask("memory"));
  const strangers: Deno.Conn[] = [];
  for (let i = 0; i < count; i++) {
    strangers.push(await Deno.connect({ port, hostname: "127.0.0.1" }));
  }
  const sending = strangers.map((conn) => send(conn, way, size));
  let after = JSON.parse(await server.ask("memory"));
  for (let read = -1; read !== after.bytesRead;) {
    read = after.bytesRead;
    await new Promise((resolve) => setTimeout(resolve, QUIET));
    after = JSON.parse(await server.ask("memory"));
  }
  const held = (kind: "rss" | "external") => (after[kind] - before[kind]) / after.active / 1024;
  print(
    `${way}: ${after.active} of ${count} connected, ${mib(after.bytesRead)} received; RSS ` +
      `${mib(before.rss)} -> ${mib(after.rss)}, ${held("rss").toFixed(1)} KiB each (external ` +
      `${held("external").toFixed(1)}); 10,000: ${mib(before.rss + held("rss") * 1024 * 10_000)}`,
  );
  for (const conn of strangers) conn.close();
  await Promise.allSettled(sending);
}

async function send(conn: Deno.Conn, way: string, size: number): Promise<void> {
  const p = new Uint8Array(65536).fill(65);
  if (way === "lengthPrefixed") p.set([0, 1, 0, 0]);
  try {
    for (let left = size; left > 0;) left -= await conn.write(p.subarray(0, Math.min(left, 65536)));
  } catch {
    // The server has ended the connection, or the program has.
  }
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
