/**
 * Measures the chat over NATS: ms from a client of one server to a client of another, and lines that
 * reach guests per second, all in processes of this machine.
 *
 *     deno run -A tests/bench/chat_nats.ts [guests of each server=200] [lines=200] [rounds=10]
 *
 * @module
 */

import { NatsServer } from "../interop/nats_server.ts";
import { root } from "../support/needs.ts";
import { dial } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { median } from "./statistics.ts";

/** Lines of which each waits for the one before. */
const PINGS = 2000;

/** What is said, without the name before it. */
const LINE = "x".repeat(64);

const [guests = 200, lines = 200, rounds = 10] = Deno.args.map(Number);

await using nats = await NatsServer.start();
const addrs: Deno.NetAddr[] = [];
await using stack = new AsyncDisposableStack();
for (let i = 0; i < 2; i++) {
  const server = stack.use(
    new Program(new URL("examples/chat_nats.ts", root), {
      how: ["run", "--allow-net"],
      args: ["--port", "0", "--nats", `127.0.0.1:${nats.port}`],
    }),
  );
  const [, port] = /:(\d+)$/.exec(await server.line()) ?? [];
  addrs.push({ transport: "tcp", hostname: "127.0.0.1", port: Number(port) });
}

/** A guest that counts the bytes that it hears, and looks at none of them. */
class Guest {
  readonly conn: Deno.TcpConn;
  heard = 0;
  /** Is called when it has heard something. */
  onHeard = () => {};

  constructor(conn: Deno.TcpConn) {
    this.conn = conn;
    this.#listen().catch(() => {}); // until it is closed
  }

  static async enter(addr: Deno.NetAddr, name: string): Promise<Guest> {
    const guest = new Guest(await dial(addr));
    await guest.say(name);
    return guest;
  }

  async say(line: string): Promise<void> {
    await this.conn.write(new TextEncoder().encode(`${line}\n`));
  }

  async #listen(): Promise<void> {
    const p = new Uint8Array(65536);
    for (let n; (n = await this.conn.read(p)) !== null;) {
      this.heard += n;
      this.onHeard();
    }
  }

  /** Resolves when it has heard so many bytes. */
  hears(bytes: number): Promise<void> {
    return new Promise((resolve) => {
      this.onHeard = () => {
        if (this.heard >= bytes) resolve();
      };
      this.onHeard();
    });
  }
}

const all: Guest[] = [];
await enter(2);
const [speaker, other] = [all[0]!, all[1]!];

const size = `guest 0: ${LINE}\r\n`.length;
const times: number[] = [];
const alone = `guest 0: \r\n`.length + 1;
for (let i = 0; i < PINGS; i++) {
  const began = performance.now();
  const until = other.hears(other.heard + alone);
  await speaker.say(".");
  await until;
  times.push(performance.now() - began);
}
const sorted = times.toSorted((a, b) => a - b);
const at = (share: number) => `${sorted[Math.floor(share * sorted.length)]!.toFixed(2)} ms`;
print(`client to client over two servers: p50 ${at(0.5)}, p99 ${at(0.99)}`);
await enter(2 * guests);

const rates: number[] = [];
const said = new TextEncoder().encode(`${LINE}\n`.repeat(lines));
for (let round = 0; round < rounds; round++) {
  const began = performance.now();
  const hearing = all.slice(1).map((guest) => guest.hears(guest.heard + size * lines));
  await speaker.conn.write(said);
  await Promise.all(hearing);
  rates.push(lines * hearing.length / (performance.now() - began) * 1000);
}
print(`${lines} lines at once to ${2 * guests - 1} guests: ${Math.round(median(rates)!)} a second`);
for (const { conn } of all) conn.close();

/** Lets guests in, by turns at both servers, until there are so many. */
async function enter(count: number): Promise<void> {
  for (let i = all.length; i < count; i++) all.push(await Guest.enter(addrs[i % 2]!, `guest ${i}`));
  await quiet();
}

/** Resolves when nobody has heard anything for a while. */
async function quiet(): Promise<void> {
  for (let before = -1, heard = 0; heard !== before;) {
    before = heard;
    await new Promise((resolve) => setTimeout(resolve, 500));
    heard = all.reduce((sum, guest) => sum + guest.heard, 0);
  }
}

function print(line: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
}
