/** Who is still here, and when is nobody? @module */

import { assertEquals } from "@std/assert";
import type { SocketConnection } from "../../lib/connection/connection.ts";
import { LiveConnections } from "../../lib/server/live_connections.ts";

/** Only told apart, never used. */
const someone = () => ({}) as SocketConnection;

/** Whether a promise has settled once every microtask has run. */
async function hasSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(() => settled = true);
  await new Promise((resolve) => setImmediate(resolve));
  return settled;
}

Deno.test("all holds who has entered and not left", () => {
  const live = new LiveConnections();
  const [one, two] = [someone(), someone()];
  live.enter(one);
  live.enter(two);
  assertEquals([...live.all], [one, two]);
  live.leave(one);
  assertEquals([...live.all], [two]);
});

Deno.test("leave() says whether the connection was still here", () => {
  const live = new LiveConnections();
  const one = someone();
  live.enter(one);
  assertEquals([live.leave(one), live.leave(one), live.leave(someone())], [true, false, false]);
});

Deno.test("nobody() resolves right away when nobody is here", async () => {
  assertEquals(await hasSettled(new LiveConnections().nobody()), true);
});

Deno.test("nobody() resolves when the last one leaves, and not before", async () => {
  const live = new LiveConnections();
  const [one, two] = [someone(), someone()];
  live.enter(one);
  live.enter(two);
  const nobody = live.nobody();
  live.leave(one);
  assertEquals(await hasSettled(nobody), false);
  live.leave(two);
  assertEquals(await hasSettled(nobody), true);
});

Deno.test("nobody() waits for those as well who enter as the last one leaves", async () => {
  const live = new LiveConnections();
  const [one, two] = [someone(), someone()];
  live.enter(one);
  const nobody = live.nobody();
  live.leave(one);
  live.enter(two);
  assertEquals(await hasSettled(nobody), false);
  live.leave(two);
  assertEquals(await hasSettled(nobody), true);
});

Deno.test("nobody() resolves for everybody who waits", async () => {
  const live = new LiveConnections();
  const one = someone();
  live.enter(one);
  const waiting = [live.nobody(), live.nobody()];
  live.leave(one);
  assertEquals(await Promise.all(waiting.map(hasSettled)), [true, true]);
});
