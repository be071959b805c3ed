/** Tests that every open page gets the same events, and that a page keeps nothing alive. @module */

import { assertEquals, assertMatch } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connect } from "../../lib/testing/mod.ts";
import { LiveFeed } from "../../lib/watch/live_feed.ts";
import type { Servers } from "../../lib/watch/observed.ts";
import type { Server } from "../../mod.ts";
import { turn, turns } from "../support/wait.ts";

const only = (server: Server): Servers => new Map([["", server]]);

/** A server whose `accepted` says how often it was asked. */
function counting(): { readonly server: Server; readonly asked: () => number } {
  let asked = 0;
  const addr = { transport: "tcp", hostname: "192.0.2.1", port: 7 } as const;
  const stats = () => ({ accepted: ++asked, bytesRead: 0, bytesWritten: 0 });
  return {
    server: { addr, addrs: [addr], stats } as unknown as Server,
    asked: () => asked,
  };
}

/** Opens a page, and reads the count in each event. */
function openPage(feed: LiveFeed) {
  return pageOf(feed.open("192.0.2.7"));
}

function pageOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  const next = async () => {
    const { value } = await reader.read();
    return value && JSON.parse(/^data: (.*)\n\n$/m.exec(value)![1]!).servers[0].stats.accepted;
  };
  return { next, cancel: () => reader.cancel() };
}

Deno.test("LiveFeed sends an event at once, then the same one to every page each second", async () => {
  using time = new FakeTime();
  const feed = new LiveFeed(only(counting().server), false);
  const one = openPage(feed);
  assertEquals(await one.next(), 1);
  const two = openPage(feed);
  assertEquals(await two.next(), 2);
  await time.tickAsync(1000);
  assertEquals([await one.next(), await two.next()], [3, 3]);
  await one.cancel();
  await two.cancel();
});

Deno.test("LiveFeed reads nothing while no page is open", async () => {
  using time = new FakeTime();
  const { server, asked } = counting();
  const feed = new LiveFeed(only(server), false);
  await time.tickAsync(5000);
  assertEquals(asked(), 0);
  const one = openPage(feed);
  await one.next();
  await one.cancel();
  await time.tickAsync(5000);
  assertEquals(asked(), 1);
});

Deno.test("LiveFeed queues nothing for a page that does not read", async () => {
  using time = new FakeTime();
  const feed = new LiveFeed(only(counting().server), false);
  const stream = feed.open("192.0.2.7");
  await time.tickAsync(10_000);
  const slow = pageOf(stream);
  assertEquals(await slow.next(), 1);
  await time.tickAsync(1000);
  assertEquals(await slow.next(), 12);
  await slow.cancel();
});

Deno.test("LiveFeed ends with a last event, and gives later pages only that", async () => {
  const { server } = counting();
  const feed = new LiveFeed(only(server), false);
  const one = openPage(feed);
  assertEquals(await one.next(), 1);
  feed.end();
  assertEquals(await one.next(), 2);
  assertEquals(await one.next(), undefined);
  const late = openPage(feed);
  assertEquals(await late.next(), 3);
  assertEquals(await late.next(), undefined);
  feed.end();
});

Deno.test("LiveFeed ends the oldest page of the client with most, if there are more than 32", async () => {
  const feed = new LiveFeed(only(counting().server), false);
  const operator = pageOf(feed.open("192.0.2.1"));
  const greedy = Array.from({ length: 31 }, () => pageOf(feed.open("192.0.2.2")));
  const colleague = pageOf(feed.open("192.0.2.3"));
  const isOpen = async (page: ReturnType<typeof pageOf>) => {
    await page.next();
    return await Promise.race([page.next(), turns().then(() => "open")]) === "open";
  };
  assertEquals(await isOpen(greedy[0]!), false);
  for (const page of [operator, greedy[1]!, greedy.at(-1)!, colleague]) {
    assertEquals(await isOpen(page), true);
  }
  feed.end();
});

Deno.test("LiveFeed sends state, addresses, limit and stats, as JSON on one line", async () => {
  await using client = connect((conn) => conn.readLine(), { maxConnections: 5 });
  const { server } = client;
  await turn();
  const stats = JSON.parse(JSON.stringify(server.stats()));
  const [first] = await Array.fromAsync(ended(server, true));
  assertMatch(first!, /^retry: 3000\n\ndata: .*\n\n$/);
  const { at, ...rest } = JSON.parse(first!.split("data: ")[1]!);
  assertEquals(typeof at, "number");
  const shown = {
    name: "",
    state: "running",
    accepting: true,
    waitingFor: null,
    addrs: ["tcp://192.0.2.1:7"],
    limit: 5,
    workers: [],
    stats,
  };
  assertEquals(rest, { actions: true, servers: [shown] });
});

Deno.test("LiveFeed sends no limit where there is none", async () => {
  await using client = connect(async () => {}, { maxConnections: Infinity });
  const [first] = await Array.fromAsync(ended(client.server, false));
  assertEquals(JSON.parse(first!.split("data: ")[1]!).servers[0].limit, null);
});

/** The stream of a feed that has ended already. */
function ended(server: Server, actions: boolean): ReadableStream<string> {
  const feed = new LiveFeed(only(server), actions);
  feed.end();
  return feed.open("192.0.2.7").pipeThrough(new TextDecoderStream());
}
