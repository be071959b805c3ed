/**
 * Tests a handler without a network, without permissions and without waiting.
 *
 * deno test examples/testing_a_handler_test.ts
 *
 * @module
 */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connect, everySplit } from "jsr:@usher/server@^0.2.0/testing";
import { shout } from "./shout.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

Deno.test("shout() answers each line in capitals", async () => {
  await using client = connect(shout);
  await client.write(bytes("hello\nworld\n"));
  assertEquals(await client.readLine(), "HELLO");
  assertEquals(await client.readLine(), "WORLD");
  client.close();
  assertEquals((await client.ended).reason, "completed");
});

Deno.test("shout() answers the same however the bytes are split", async () => {
  await everySplit(bytes("ä\r\nb\n"), async (pieces) => {
    await using client = connect(shout);
    for (const piece of pieces) await client.write(piece);
    assertEquals([await client.readLine(), await client.readLine()], ["Ä", "B"]);
  });
});

Deno.test("shout() ends the connection when a line is not UTF-8", async () => {
  await using client = connect(shout);
  await client.write(new Uint8Array([0xff, 10])); // no UTF-8
  assertEquals(await client.readLine(), null);
  assertEquals((await client.ended).reason, "protocol_error");
});

Deno.test("shout() ends when its client resets, after any byte", async () => {
  for (let resetAfter = 1; resetAfter <= 7; resetAfter++) {
    await using client = connect(shout, { toClient: { resetAfter } });
    await client.write(bytes("hello\n"));
    const { reason, bytesWritten } = await client.ended;
    assertEquals([reason, bytesWritten], ["peer_reset", resetAfter]);
  }
});

Deno.test("shout() ends the connection when the rest of a line does not come", async () => {
  using time = new FakeTime(); // before connect(), whose timeouts it advances
  await using client = connect(shout);
  await client.write(bytes("hel"));
  await time.tickAsync(31_000);
  assertEquals((await client.ended).reason, "frame_timeout");
});

Deno.test("shout() ends the connection when its client does not read", async () => {
  using time = new FakeTime();
  await using client = connect(shout, { toClient: { capacity: 3 } });
  await client.write(bytes("hello\n"));
  await time.tickAsync(31_000);
  const { reason, bytesWritten } = await client.ended;
  assertEquals([reason, bytesWritten], ["write_timeout", 3]);
});
