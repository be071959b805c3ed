/** Does everybody who listens hear the news, and nobody keep anything alive? @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { LiveFeed } from "../../lib/watch/live_feed.ts";

/** Reads what a listener has been sent so far, an event at a time. */
function listenTo(feed: LiveFeed) {
  const reader = feed.listen()!.pipeThrough(new TextDecoderStream()).getReader();
  return { next: async () => (await reader.read()).value, cancel: () => reader.cancel() };
}

Deno.test("LiveFeed tells at once, then every second, everybody the same", async () => {
  using time = new FakeTime();
  let told = 0;
  const feed = new LiveFeed(() => `${++told}`);
  const one = listenTo(feed);
  assertEquals(await one.next(), "retry: 3000\n\ndata: 1\n\n");
  const two = listenTo(feed);
  assertEquals(await two.next(), "retry: 3000\n\ndata: 2\n\n");
  await time.tickAsync(1000);
  assertEquals([await one.next(), await two.next()], ["data: 3\n\n", "data: 3\n\n"]);
  await one.cancel();
  await two.cancel();
});

Deno.test("LiveFeed asks nothing while nobody listens", async () => {
  using time = new FakeTime();
  let told = 0;
  const feed = new LiveFeed(() => `${++told}`);
  await time.tickAsync(5000);
  assertEquals(told, 0);
  const one = listenTo(feed);
  await one.next();
  await one.cancel();
  await time.tickAsync(5000);
  assertEquals(told, 1);
});

Deno.test("LiveFeed keeps nothing for who does not take it", async () => {
  using time = new FakeTime();
  let told = 0;
  const feed = new LiveFeed(() => `${++told}`);
  const stream = feed.listen()!;
  await time.tickAsync(10_000);
  const reader = stream.getReader();
  const text = async () => new TextDecoder().decode((await reader.read()).value);
  assertEquals(await text(), "retry: 3000\n\ndata: 1\n\n");
  await time.tickAsync(1000);
  assertEquals(await text(), "data: 12\n\n");
  await reader.cancel();
});

Deno.test("LiveFeed ends with the last news, and tells who comes then only that", async () => {
  let news = "before";
  const feed = new LiveFeed(() => news);
  const one = listenTo(feed);
  assertEquals(await one.next(), "retry: 3000\n\ndata: before\n\n");
  const reading = one.next();
  news = "after";
  feed.end();
  assertEquals(await reading, "data: after\n\n");
  assertEquals(await one.next(), undefined);
  const late = listenTo(feed);
  assertEquals(await late.next(), "retry: 3000\n\ndata: after\n\n");
  assertEquals(await late.next(), undefined);
  feed.end();
});

Deno.test("LiveFeed takes no more than 32 listeners", async () => {
  const feed = new LiveFeed(() => "");
  const streams = Array.from({ length: 32 }, () => feed.listen()!);
  assertEquals(feed.listen(), null);
  await streams[0]!.cancel();
  const instead = feed.listen();
  assertEquals(instead !== null, true);
  feed.end();
});
