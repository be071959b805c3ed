/** Tests that a status page starts and stops by itself, and keeps nothing from stopping. @module */

import { assert, assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { watch, type WatchOptions } from "../../lib/watch/mod.ts";
import { serve, type Server } from "../../mod.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { Program } from "../support/program.ts";

async function statusOf(url: string): Promise<number> {
  const response = await fetch(url);
  await response.body?.cancel();
  return response.status;
}

netTest("watch() listens on loopback by default, at a port of its own", async () => {
  await using server = serve(LOOPBACK, async () => {});
  await using page = watch(server, { port: 0 });
  assertEquals(page.addr.hostname, "127.0.0.1");
  assertEquals(page.url, `http://127.0.0.1:${page.addr.port}/`);
  assertEquals(await statusOf(page.url), 200);
});

netTest("watch() says where it can be reached when it listens everywhere", async () => {
  await using server = serve(LOOPBACK, async () => {});
  for (const hostname of ["0.0.0.0", "::"]) {
    await using page = watch(server, { port: 0, hostname });
    assertEquals(await statusOf(`${page.url}livez`), 200);
  }
}, { os: ["linux"] });

netTest("watch() throws at once when the port is taken, and says which", async () => {
  await using server = serve(LOOPBACK, async () => {});
  await using page = watch(server, { port: 0 });
  const { port } = page.addr;
  const error = assertThrows(() => watch(server, { port }), Deno.errors.AddrInUse);
  assertMatch(
    error.message,
    new RegExp(`^Cannot watch on tcp://127\\.0\\.0\\.1:${port}: .*; use another port, or 0$`),
  );
});

Deno.test("watch() refuses a value that is no server before it looks at the options", () => {
  assertThrows(
    () => watch({} as Server, {} as WatchOptions),
    TypeError,
    "Cannot watch what is no server",
  );
});

netTest("watch() goes on answering while its server drains and when it has stopped", async () => {
  const held = new Holding();
  await using server = serve(LOOPBACK, held.handler);
  await using page = watch(server, { port: 0 });
  const probes = async () => [
    await statusOf(`${page.url}readyz`),
    await statusOf(`${page.url}livez`),
  ];
  using client = await dial(server.addr);
  await until(() => held.served === 1);
  assertEquals(await probes(), [200, 200]);
  const stopped = server.shutdown();
  assertEquals(await probes(), [503, 200]);
  client.close();
  held.letGo();
  await stopped;
  assertEquals(await probes(), [503, 503]);
  await page.shutdown();
  await assertRejects(() => statusOf(page.url));
});

netTest("watch() says that a lame duck is not ready, though it accepts", async () => {
  const server = serve(LOOPBACK, async () => {});
  await using page = watch(server, { port: 0 });
  const stopped = server.shutdown({ lameDuck: Infinity });
  assertEquals(server.accepting, true);
  const response = await fetch(`${page.url}readyz`);
  assertEquals([response.status, await response.text()], [503, "not ready: draining\n"]);
  assertEquals(await statusOf(`${page.url}livez`), 200);
  server.shutdown();
  await stopped;
});

netTest(
  "watch() disconnects open pages at its shutdown, and the server goes on",
  async () => {
    await using server = serve(LOOPBACK, async () => {});
    const page = watch(server, { port: 0 });
    const response = await fetch(`${page.url}events`);
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    assertMatch((await reader.read()).value!, /^retry: \d+\n\ndata: \{"at":.*"state":"running"/);
    const stopped = page.shutdown();
    let last = "";
    for (let read; !(read = await reader.read()).done;) last = read.value;
    assertMatch(last, /^data: .*"state":"running".*\n\n$/);
    assertEquals(page.shutdown(), stopped);
    await stopped;
    await page.finished;
    assertEquals(server.accepting, true);
  },
);

netTest(
  "watch() sends open pages a last event when its server has stopped, and disconnects them",
  async () => {
    const server = serve(LOOPBACK, async () => {});
    await using page = watch(server, { port: 0 });
    const response = await fetch(`${page.url}events`);
    await server.shutdown();
    assertMatch(await response.text(), /"state":"stopped".*\n\n$/);
    // A page that connects again gets the same, and is disconnected.
    assertMatch(await (await fetch(`${page.url}events`)).text(), /^retry: .*\n\ndata: .*"stopped"/);
  },
);

netTest(
  "watch() stops though a client sends half a request and another reads nothing",
  async () => {
    await using server = serve(LOOPBACK, async () => {});
    // More than the kernel buffers for a client that does not read.
    const addrs = [{ transport: "unix", path: "x".repeat(30_000_000) }];
    const { addr, finished } = server;
    const talkative = { addr, addrs, finished, stats: () => server.stats() } as unknown as Server;
    const page = watch(talkative, { port: 0 });
    using half = await dial(page.addr);
    await half.write(bytes`GET / HTTP/1.1\r\nHos`);
    using mute = await dial(page.addr);
    await mute.write(bytes`GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    assertEquals(await mute.read(new Uint8Array(1)), 1);
    const since = performance.now();
    await page.shutdown();
    await page.finished;
    assert(performance.now() - since >= 900, "no answer had to be cut off");
  },
);

netTest("watch() answers with 500 and nothing more when something breaks", async () => {
  await using server = serve(LOOPBACK, async () => {});
  const broken = {
    addr: server.addr,
    finished: server.finished,
    stats: () => {
      throw new TypeError("a secret");
    },
  } as unknown as Server;
  await using page = watch(broken, { port: 0 });
  const response = await fetch(`${page.url}metrics`);
  assertEquals([response.status, await response.text()], [500, "The page failed\n"]);
});

const program = new URL("programs/watched.ts", import.meta.url);

netTest("a status page keeps no process alive, with a page open and half a request", async () => {
  await using child = new Program(program);
  const { server, page } = JSON.parse(await child.line());
  using half = await Deno.connect({ port: page });
  await half.write(bytes`GET / HTTP/1.1\r\nHos`);
  using idle = await Deno.connect({ port: page });
  await idle.write(bytes`GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  assertEquals(typeof await idle.read(new Uint8Array(1)), "number");
  using open = await Deno.connect({ port: page });
  await open.write(bytes`GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n`);
  assertEquals(typeof await open.read(new Uint8Array(1)), "number");
  // This one has the program stop its server, and nothing else.
  using client = await Deno.connect({ port: server });
  await client.write(bytes`stop\n`);
  const { code } = await child.status;
  assertEquals([code, await child.lines()], [0, ["stopped"]]);
});
