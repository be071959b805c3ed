/** A set decides about each new connection by what it holds at that moment. @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { addressSet, type EndRecord, peerKey, serve } from "../../mod.ts";
import { dialSaying, proxied } from "../support/balancer.ts";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { noteEnds } from "../support/noting.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";

netTest("deny and allow follow their sets while the server runs", async () => {
  const [allow, deny] = [addressSet(), addressSet()];
  await using server = serve(
    { ...LOOPBACK, allow, deny, onError: () => {} },
    (conn) => conn.write(bytes`hello`),
  );
  const answer = async () => text(await readAll(await dial(server.addr)));
  assertEquals(await answer(), "");
  allow.add("127.0.0.0/8");
  assertEquals(await answer(), "hello");
  deny.add("127.0.0.1");
  assertEquals(await answer(), "");
  deny.delete("127.0.0.1");
  assertEquals(await answer(), "hello");
  assertEquals(server.stats().refused.address, 2);
});

netTest("a range that has expired denies nothing any more", async () => {
  using time = new FakeTime();
  const deny = addressSet();
  deny.add("127.0.0.1", { expireIn: 60_000 });
  await using server = serve(
    { ...LOOPBACK, deny, onError: () => {} },
    (conn) => conn.write(bytes`hello`),
  );
  const answer = async () => text(await readAll(await dial(server.addr)));
  assertEquals(await answer(), "");
  time.tick(60_000);
  assertEquals(await answer(), "hello");
});

netTest("proxyProtocol.trust follows its set, in which a new balancer is added", async () => {
  const trust = addressSet(["192.0.2.0/24"]);
  await using server = serve(
    { ...LOOPBACK, proxyProtocol: { trust }, onError: () => {} },
    (conn) => conn.write(bytes`hello, ${conn.remoteAddr.hostname}`),
  );
  const answer = async () =>
    text(await readAll(await dialSaying(server.addr, proxied("198.51.100.7"))));
  assertEquals(await answer(), "");
  trust.add("127.0.0.1");
  assertEquals(await answer(), "hello, 198.51.100.7");
});

netTest("three protocol errors within ten minutes are a ban for an hour", async () => {
  using time = new FakeTime();
  const { ended, onEnd: note } = noteEnds();
  const bans = addressSet();
  const strikes = [addressSet(), addressSet(), bans];
  // The five lines of the documentation.
  const onEnd = (record: EndRecord) => {
    note(record);
    const { reason, remoteAddr } = record;
    if (reason !== "protocol_error" || remoteAddr.transport !== "tcp") return;
    const set = strikes.find((set) => !set.has(remoteAddr.hostname));
    const expireIn = set === bans ? 3_600_000 : 600_000;
    set?.add(peerKey(remoteAddr.hostname), { expireIn });
  };
  const trust = ["127.0.0.1"];
  await using server = serve(
    { ...LOOPBACK, proxyProtocol: { trust }, deny: bans, onEnd, onError: () => {} },
    (conn) => conn.readLine({ limit: 10 }),
  );
  const come = async (hostname: string, said = bytes`this line is too long\n`) => {
    const { length } = ended;
    await readAll(await dialSaying(server.addr, proxied(hostname), said));
    await until(() => ended.length > length);
    return ended.at(-1)!.reason;
  };
  const peer = "2001:db8::1";
  assertEquals(await come(peer), "protocol_error");
  assertEquals(await come(peer), "protocol_error");
  time.tick(600_000); // long enough between them
  for (let i = 0; i < 3; i++) assertEquals(await come(peer), "protocol_error");
  for (const one of [peer, "2001:db8::2"]) assertEquals(await come(one), "refused_address");
  assertEquals(await come("192.0.2.7", bytes`fine\n`), "completed");
  time.tick(3_600_000);
  assertEquals(await come(peer, bytes`fine\n`), "completed");
  assertEquals(strikes.map(({ size }) => size), [0, 0, 0]);
});
