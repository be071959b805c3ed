/**
 * Measures the CPU of a delivery by `broadcast()` against loops over the members: one of `conn.write()`
 * with bytes encoded once, and one of `framed.send()`. Each is compared by itself, in turns, since what the
 * last one leaves to the garbage collector would fall on the others. All go through the same connections;
 * the members are a process of their own.
 *
 *     deno run -A tests/bench/broadcast.ts [members=1000] [rounds=10] [seconds=1] [frames=1]
 *
 * @module
 */

import { cpuUsage } from "node:process";
import { broadcast, type Connection, type Framed, framed, lines, serve } from "../../mod.ts";
import { say } from "../support/commands.ts";
import { Child } from "./children.ts";
import { median } from "./statistics.ts";

/** Times a second that the members get something. */
const HERTZ = 20;

/** What they get, and what they are pinged with. */
const LINE = "x".repeat(127);

/** Milliseconds after which the members count as stuck. */
const LIMIT = 60_000;

if (Deno.args[0] === "members") await beMembers(Number(Deno.args[1]), Number(Deno.args[2]));
else await measure(...Deno.args.map(Number));

async function measure(count = 1000, rounds = 10, seconds = 1, frames = 1): Promise<void> {
  const room = broadcast(lines());
  const members = new Map<Connection, Framed<string>>();
  await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
    using _ = room.join(conn);
    members.set(conn, framed(conn, lines()));
    for await (const _ of conn);
  });
  const { port } = server.addr;
  const program = [Deno.execPath(), "run", "-A", "broadcast.ts", "members", `${port}`, `${count}`];
  await using peers = new Child(program, undefined);
  await peers.line(LIMIT);

  const bytes = new TextEncoder().encode(LINE + "\n");
  const loops: Record<string, () => void> = {
    "conn.write()": () => {
      for (let i = 0; i < frames; i++) for (const conn of members.keys()) conn.write(bytes);
    },
    "framed.send()": () => {
      for (let i = 0; i < frames; i++) for (const member of members.values()) member.send(LINE);
    },
  };
  const broadcasting = () => {
    for (let i = 0; i < frames; i++) room.send(LINE);
  };
  say(
    `${count} members, ${HERTZ} Hz, frames of 128 bytes, ${frames} at a time; CPU of a delivery`,
  );
  for (const [way, deliver] of Object.entries(loops)) {
    const costs: number[] = [], others: number[] = [];
    const order: [() => void, number[]][] = [[deliver, others], [broadcasting, costs]];
    // The first two rounds are for warming up.
    for (let round = -2; round < rounds; round++, order.reverse()) {
      for (const [run, noted] of order) {
        const cost = await cpuOf(run, seconds) / (count * frames);
        if (round >= 0) noted.push(cost);
      }
    }
    const ratios = costs.map((us, i) => us / others[i]!).toSorted((a, b) => a - b);
    say(
      `broadcast ${median(costs)!.toFixed(2)} µs, ${way} ${median(others)!.toFixed(2)} µs: ` +
        `${median(ratios)!.toFixed(2)} (${ratios[0]!.toFixed(2)} to ${ratios.at(-1)!.toFixed(2)})`,
    );
  }
  if (room.skipped > 0) throw new Error(`${room.skipped} deliveries were skipped`);
}

/** CPU in µs of one call of `deliver`, of those made in some seconds. */
async function cpuOf(deliver: () => void, seconds: number): Promise<number> {
  const before = cpuUsage();
  const calls = Math.round(HERTZ * seconds);
  for (let i = 0; i < calls; i++) {
    deliver();
    await new Promise((resolve) => setTimeout(resolve, 1000 / HERTZ));
  }
  const { user, system } = cpuUsage(before);
  return (user + system) / calls;
}

/** Reads all that comes on so many connections, until it is ended. */
async function beMembers(port: number, count: number): Promise<void> {
  const room = new Uint8Array(65536);
  const reading: Promise<void>[] = [];
  for (let i = 0; i < count; i++) {
    const conn = await Deno.connect({ port, hostname: "127.0.0.1" });
    reading.push((async () => {
      while (await conn.read(room) !== null);
    })());
  }
  say("ready");
  await Promise.all(reading);
}
