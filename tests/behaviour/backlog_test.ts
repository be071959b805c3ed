/** The kernel's queue is as long as `tcpBacklog` says, and clients that find it full try again. @module */

import { assertEquals } from "@std/assert";
import { listen, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readExactly, writeAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { echo } from "../support/handlers.ts";

const NEEDS = { os: ["linux" as const], programs: ["ss"] };

/** How many clients connect at once. */
const CLIENTS = 20;

/** What `ss` prints about TCP sockets, a line for each. */
async function sockets(...filter: string[]): Promise<string[]> {
  const { stdout } = await new Deno.Command("ss", { args: ["-Htn", ...filter] }).output();
  return text(stdout).split("\n").filter((line) => line !== "");
}

/** The length of the kernel's queue, and its maximum, from `ss`. */
async function queue(addr: Deno.NetAddr): Promise<{ waiting: number; length: number }> {
  const [line = ""] = await sockets("-l", `sport = :${addr.port}`);
  const [, waiting, length] = line.split(/\s+/).map(Number);
  return { waiting: waiting!, length: length! };
}

/** How many clients of a server are in a state. */
async function clientsIn(state: string, addr: Deno.NetAddr): Promise<number> {
  return (await sockets("state", state, `dport = :${addr.port}`)).length;
}

for (const [asked, length] of [[undefined, 511], [5, 5], [0, 0]] as const) {
  const options = asked === undefined ? LOOPBACK : { ...LOOPBACK, tcpBacklog: asked };
  netTest(`listen() gives the kernel a queue of ${length} for tcpBacklog ${asked}`, async () => {
    using listener = listen(options);
    assertEquals(await queue(listener.addr), { waiting: 0, length });
  }, NEEDS);

  netTest(`serve() gives the kernel a queue of ${length} for tcpBacklog ${asked}`, async () => {
    await using server = serve(options, () => Promise.resolve());
    assertEquals(await queue(server.addr), { waiting: 0, length });
  }, NEEDS);
}

/** A paused server with a backlog of 5, whose queue is empty and which has no accept pending. */
async function pausedEcho() {
  const server = serve({ ...LOOPBACK, tcpBacklog: 5 }, echo);
  server.pause();
  // The pending accept takes one client, which is held: the first, not one of ours.
  const held = await dial(server.addr);
  await until(() => server.connections.size === 1);
  return { server, held };
}

netTest(
  "a full queue of 5 holds 6 clients, and leaves the others unanswered: not refused, not reset",
  async () => {
    const { server, held } = await pausedEcho();
    const { hostname, port } = server.addr;
    const leaving = new AbortController();
    const failures: unknown[] = [];
    const connected: Deno.TcpConn[] = [];
    const attempts = Array.from(
      { length: CLIENTS },
      () =>
        Deno.connect({ hostname, port, signal: leaving.signal }).then(
          (client) => connected.push(client),
          (error) => failures.push(error.name),
        ),
    );
    await until(() => connected.length === 6);

    // One more than asked for: Linux counts the queue as full only beyond its length.
    assertEquals(await queue(server.addr), { waiting: 6, length: 5 });
    assertEquals(await clientsIn("established", server.addr), 1 + 6);
    assertEquals(await clientsIn("syn-sent", server.addr), CLIENTS - 6);
    assertEquals([connected.length, failures], [6, []]);

    leaving.abort();
    await Promise.all(attempts);
    assertEquals(failures, Array(CLIENTS - 6).fill("AbortError"));
    for (const client of [held, ...connected]) client.close();
    await server.shutdown();
  },
  NEEDS,
);

netTest(
  "clients that found no room are served after all once the server accepts again, if they speak first",
  async () => {
    const { server, held } = await pausedEcho();
    let connected = 0;
    const asked = Array.from({ length: CLIENTS }, async () => {
      using client = await dial(server.addr);
      connected++;
      await writeAll(client, bytes`hello`);
      return text(await readExactly(client, 5));
    });
    await until(() => connected === 6);
    assertEquals(await clientsIn("syn-sent", server.addr), CLIENTS - 6);

    server.resume();
    // Not a wait of the test: a client's kernel retransmits its SYN after a second.
    assertEquals(await Promise.all(asked), Array(CLIENTS).fill("hello"));
    held.close();
    await server.shutdown();
    assertEquals(server.stats().accepted, 1 + CLIENTS);
  },
  NEEDS,
);
