/** Refusals are reported together, and all of them. @module */

import { assertEquals, assertInstanceOf } from "@std/assert";
import { stub } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { Refusals } from "../../lib/server/refusals.ts";
import { Reporter } from "../../lib/server/reporter.ts";
import { RefusedError, serve } from "../../mod.ts";
import { BEHIND, dialSaying, proxied } from "../support/balancer.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";

/** Refusals whose reports are kept. */
function listening(): { refusals: Refusals; clock: CoarseClock; reports: RefusedError[] } {
  const reports: RefusedError[] = [];
  const clock = new CoarseClock(false);
  const reporter = new Reporter((error) => reports.push(error as RefusedError), clock);
  return { refusals: new Refusals(clock, reporter), clock, reports };
}

Deno.test("add() reports nothing, and ten seconds later all at once", () => {
  using time = new FakeTime();
  const { refusals, reports } = listening();
  for (let i = 0; i < 200; i++) refusals.add("peerLimit");
  time.tick(5000);
  for (let i = 0; i < 32; i++) refusals.add("full");
  for (let i = 0; i < 180; i++) refusals.add("peerLimit");
  time.tick(4900);
  assertEquals(reports, []);
  time.tick(100);
  assertEquals(reports.map(({ message }) => message), [
    "412 refused in 10 s: 380 per-peer limit, 32 full",
  ]);
  assertInstanceOf(reports[0], RefusedError);
  assertEquals(reports[0].counts, { peerLimit: 380, full: 32 });
  time.tick(60_000);
  assertEquals(reports.length, 1);
});

/** The part of a report about the peer with most. */
const ADVICE =
  "; most beyond the limit came from *: if that is a balancer or NAT, use 'proxyProtocol' " +
  "or raise 'maxConnectionsPerPeer'";

Deno.test("a report names the peer with most connections beyond the limit", () => {
  using time = new FakeTime();
  const { refusals, reports } = listening();
  const from = (hostname: string): Deno.NetAddr => ({ transport: "tcp", hostname, port: 1 });
  for (const hostname of ["192.0.2.1", "2001:db8::1", "192.0.2.2", "2001:db8::2"]) {
    refusals.add("peerLimit", from(hostname));
  }
  refusals.add("address", from("192.0.2.3"));
  time.tick(10_000);
  refusals.add("peerLimit", from("192.0.2.4"));
  time.tick(10_000);
  assertEquals(reports.map(({ message }) => message), [
    "5 refused in 10 s: 4 per-peer limit, 1 address not allowed" +
    ADVICE.replace("*", "2001:db8::/64"),
    "1 refused in 10 s: 1 per-peer limit" + ADVICE.replace("*", "192.0.2.4"),
  ]);
  assertEquals(reports.map(({ peer }) => peer), ["2001:db8::/64", "192.0.2.4"]);
});

Deno.test("a report names the options that the peer with most has exceeded", () => {
  const { refusals, reports } = listening();
  const addr: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.1", port: 1 };
  refusals.add("rate", addr);
  refusals.report();
  refusals.add("rate", addr);
  refusals.add("peerLimit", addr);
  refusals.report();
  const advice = (options: string) => ADVICE.replace("*", "192.0.2.1").replace(/'max.*/, options);
  assertEquals(reports.map(({ message }) => message), [
    "1 refused in 1 s: 1 per-peer rate" + advice("'maxRatePerPeer'"),
    "2 refused in 1 s: 1 per-peer rate, 1 per-peer limit" +
    advice("'maxConnectionsPerPeer' and 'maxRatePerPeer'"),
  ]);
});

Deno.test("add() begins to count anew after a report, with what was refused since", () => {
  using time = new FakeTime();
  const { refusals, reports } = listening();
  refusals.add("address");
  time.tick(10_000);
  refusals.add("handshaking");
  time.tick(9900);
  assertEquals(reports.length, 1);
  time.tick(100);
  time.tick(100_000);
  refusals.add("full");
  time.tick(10_000);
  assertEquals(reports.map(({ message }) => message), [
    "1 refused in 10 s: 1 address not allowed",
    "1 refused in 10 s: 1 displaced in the handshake",
    "1 refused in 10 s: 1 full",
  ]);
  assertEquals(reports[1]!.counts, { handshaking: 1 });
});

Deno.test("report() reports at once what was not reported, and nothing where nothing was", () => {
  using time = new FakeTime();
  const { refusals, clock, reports } = listening();
  refusals.report();
  for (let i = 0; i < 3; i++) refusals.add("address");
  refusals.report();
  refusals.report();
  refusals.add("full");
  time.tick(3600);
  refusals.report();
  assertEquals(reports.map(({ message }) => message), [
    "3 refused in 1 s: 3 address not allowed",
    "1 refused in 4 s: 1 full",
  ]);
  const { now } = clock;
  time.tick(60_000);
  assertEquals([reports.length, clock.now], [2, now]); // and the clock may rest
});

Deno.test("a report names the causes in order, the most frequent first", () => {
  const { refusals, reports } = listening();
  for (const cause of ["full", "handshaking", "address", "address", "handshaking"] as const) {
    refusals.add(cause);
  }
  for (let i = 0; i < 5; i++) refusals.add("peerLimit");
  refusals.report();
  assertEquals(
    reports[0]!.message,
    "10 refused in 1 s: 5 per-peer limit, 2 displaced in the handshake, 2 address not allowed, " +
      "1 full",
  );
});

Deno.test("the default onError writes a report as one line that blames no source", () => {
  using _time = new FakeTime();
  using written = stub(console, "error");
  const clock = new CoarseClock(false);
  const refusals = new Refusals(clock, new Reporter(undefined, clock));
  for (let i = 0; i < 12; i++) refusals.add("address");
  refusals.report();
  assertEquals(written.calls.map(({ args }) => args), [
    ["usher: 12 refused in 1 s: 12 address not allowed"],
  ]);
  clock.stop();
});

netTest("a server reports refusals together, without a connection", async () => {
  using time = new FakeTime();
  const held = new Holding();
  const reports: unknown[][] = [];
  const server = serve({
    ...LOOPBACK,
    ...BEHIND,
    maxConnections: 2,
    maxConnectionsPerPeer: 1,
    whenFull: "refuse",
    deny: ["192.0.2.9"],
    onError: (...args) => reports.push(args),
  }, held.handler);
  using _client = await dialSaying(server.addr, proxied("192.0.2.7"));
  await until(() => held.served === 1);
  for (const [i, hostname] of ["192.0.2.7", "192.0.2.9", "192.0.2.7"].entries()) {
    await readAll(await dialSaying(server.addr, proxied(hostname))).catch(() => {});
    await until(() => server.stats().active === 1 && server.stats().accepted === i + 2);
  }
  assertEquals(reports, []);
  time.tick(10_100);
  const [[error, ...more]] = reports as [unknown[]];
  assertInstanceOf(error, RefusedError);
  assertEquals(
    error.message,
    "3 refused in 10 s: 2 per-peer limit, 1 address not allowed" + ADVICE.replace("*", "192.0.2.7"),
  );
  assertEquals([more, reports.length], [[], 1]);

  // Later refusals are reported by the stop, and not before.
  using _second = await dialSaying(server.addr, proxied("192.0.2.8"));
  await until(() => held.served === 2);
  assertEquals(await readAll(await dial(server.addr)), bytes``);
  await until(() => server.stats().refused.full === 1);
  assertEquals(reports.length, 1);
  held.letAllGo();
  await server.shutdown({ timeout: 0 });
  assertEquals(reports.map(([error]) => (error as Error).message).slice(1), [
    "1 refused in 1 s: 1 full",
  ]);
  assertEquals(server.stats().refused, {
    full: 1,
    peerLimit: 2,
    address: 1,
    handshaking: 0,
    rate: 0,
    admit: 0,
  });
});

netTest("a server that refused no connection reports nothing when it stops", async () => {
  const reports: unknown[] = [];
  const server = serve(
    { ...LOOPBACK, whenFull: "refuse", onError: (error) => reports.push(error) },
    async () => {},
  );
  await readAll(await dial(server.addr));
  await server.shutdown();
  assertEquals(reports, []);
});
