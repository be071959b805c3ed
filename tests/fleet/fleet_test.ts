import { assert, assertEquals, assertRejects } from "@std/assert";
import { fleet, type FleetOptions } from "../../lib/fleet/mod.ts";
import { bytes } from "../support/bytes.ts";
import { ca, renewed, server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { until } from "../support/wait.ts";
import { ask, Asker } from "./asking.ts";
import { programOf, SERVED } from "./programs.ts";

netTest("fleet() is fulfilled when every worker listens, on one port", async () => {
  await using running = await fleet(SERVED, { workers: 2 });
  assertEquals(running.workers.map(({ state }) => state), ["serving", "serving"]);
  assertEquals(running.addrs.length, 1);
  assert(running.addr.port > 0);
  assertEquals([running.state, running.accepting, running.waitingFor], ["running", true, null]);
});

netTest("fleet() spreads connections evenly over its workers", async () => {
  await using running = await fleet(SERVED, { workers: 2 });
  const askers = [];
  for (let i = 0; i < 20; i++) {
    const asker = await Asker.connect(running.addr);
    askers.push(asker);
    await asker.ask("who");
  }
  const [one, other] = running.workers.map(({ connections }) => connections);
  assertEquals(one! + other!, 20);
  assert(Math.abs(one! - other!) <= 4, `${one} and ${other}`);
  for (const asker of askers) asker[Symbol.dispose]();
});

netTest("the ids of a fleet's connections are unique", async () => {
  await using running = await fleet(SERVED, { workers: 2 });
  const ids = await Promise.all(Array.from({ length: 20 }, () => ask(running.addr, "id")));
  assertEquals(new Set(ids).size, 20);
});

netTest("stats() of a fleet is the sum over its workers", async () => {
  await using running = await fleet(SERVED, { workers: 2 });
  await Promise.all(Array.from({ length: 20 }, () => ask(running.addr, "who")));
  await until(() => running.stats().ended.completed === 20);
  const { accepted, active, ended } = running.stats();
  assertEquals([accepted, active], [20, 0]);
  assertEquals(Object.values(ended).reduce((sum, count) => sum + count), 20);
});

netTest("shutdown() of a fleet drains every worker and adds up their reports", async () => {
  const running = await fleet(SERVED, { workers: 2 });
  const askers = await Promise.all(Array.from({ length: 8 }, () => Asker.connect(running.addr)));
  const answers = await Promise.all(askers.map((asker) => asker.ask("who")));
  assertEquals(new Set(answers).size, 2);
  await running.shutdown();
  assertEquals(running.state, "stopped");
  assertEquals(running.report, {
    completed: 8,
    forced: 0,
    abandoned: 0,
    swept: 0,
    ms: running.report!.ms,
  });
  assertEquals(running.workers.map(({ state }) => state), ["stopped", "stopped"]);
  await assertRejects(() => ask(running.addr, "who"), Deno.errors.ConnectionRefused);
  for (const asker of askers) asker[Symbol.dispose]();
});

netTest("shutdown({ timeout: 0 }) of a fleet closes every connection at once", async () => {
  const running = await fleet(SERVED, { workers: 2 });
  const askers = await Promise.all(Array.from({ length: 4 }, () => Asker.connect(running.addr)));
  await Promise.all(askers.map((asker) => asker.ask("who")));
  await running.shutdown({ timeout: 0 });
  assertEquals(running.report?.forced, 4);
  for (const asker of askers) asker[Symbol.dispose]();
});

netTest("the signal of a fleet stops it at once", async () => {
  const abort = new AbortController();
  const running = await fleet(SERVED, { workers: 1, signal: abort.signal });
  using asker = await Asker.connect(running.addr);
  await asker.ask("who");
  abort.abort();
  await running.finished;
  assertEquals(running.report?.forced, 1);
});

netTest("pause() of a fleet leaves clients in the queue until resume()", async () => {
  await using running = await fleet(SERVED, { workers: 2 });
  running.pause();
  assertEquals([running.accepting, running.waitingFor], [false, "resume"]);
  running.resume();
  assert(await ask(running.addr, "who") !== null);
  assertEquals([running.accepting, running.waitingFor], [true, null]);
});

netTest("drainSignal of a fleet aborts when it drains, after the lame duck", async () => {
  const running = await fleet(SERVED, { workers: 1 });
  const stopped = running.shutdown({ lameDuck: 60_000 });
  assertEquals([running.state, running.drainSignal.aborted], ["draining", false]);
  assert(await ask(running.addr, "who") !== null);
  running.shutdown();
  assertEquals(running.drainSignal.aborted, true);
  await stopped;
});

netTest("shutdown() of a fleet refuses wrong options as that of a server does", async () => {
  await using running = await fleet(SERVED, { workers: 1 });
  await assertRejects(
    () => running.shutdown({ timeout: -1 }),
    RangeError,
    "Cannot shut down with 'timeout' of -1",
  );
  await assertRejects(
    () => running.restart({ lameDuck: 1 } as never),
    TypeError,
    "Cannot restart with an unknown option 'lameDuck': known here are timeout, spread",
  );
  assertEquals(running.state, "running");
});

/** What keeps a fleet from its start, and how it says so. */
const FAILURES: Record<string, { program: URL; options?: FleetOptions; message: string }> = {
  "that is not there": {
    program: new URL("./programs/missing.ts", import.meta.url),
    message: "missing.ts",
  },
  "that does not compile": {
    program: programOf(() => "const one = ;"),
    message: "Expression expected",
  },
  "that throws": {
    program: programOf(() => "throw new RangeError('no such day')"),
    message: "no such day",
  },
  "that never calls serve()": {
    program: programOf(() => "export {}"),
    message:
      "ended with exit code 0 before it called serve(), which a program of a fleet has to do",
  },
  "that takes longer than startTimeout": {
    program: programOf(() => "await new Promise(() => setInterval(() => {}, 1000))"),
    options: { startTimeout: 300 },
    message: "it did not call serve() within 'startTimeout', 300 ms",
  },
  "that serves at an address that this machine does not have": {
    program: programOf((usher) =>
      `import { serve } from "${usher}"; serve({ port: 0, hostname: "203.0.113.9" }, async () => {})`
    ),
    message: "203.0.113.9",
  },
  "whose serve() refuses an option": {
    program: programOf((usher) =>
      `import { serve } from "${usher}"; serve({ port: "80" }, async () => {})`
    ),
    message: "Cannot serve with 'port' of \"80\"",
  },
};

for (const [name, { program, options, message }] of Object.entries(FAILURES)) {
  netTest(`fleet() rejects for a program ${name}`, async () => {
    const error = await assertRejects(
      () => fleet(program, { workers: 2, ...options }),
      Error,
      "Cannot start a fleet of ",
    );
    assert(error.message.includes(message), error.message);
  });
}

netTest("fleet() rejects with the error of a program's serve(), its class and code", async () => {
  using taken = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = taken.addr;
  const program = programOf((usher) =>
    `import { serve } from "${usher}"; serve({ port: ${port}, hostname: "127.0.0.1" }, async () => {})`
  );
  const error = await assertRejects(
    () => fleet(program, { workers: 2 }),
    Deno.errors.AddrInUse,
    `Cannot listen on tcp://127.0.0.1:${port}`,
  );
  assertEquals((error as { code?: string }).code, "EADDRINUSE");
});

netTest("two fleets of one process cannot have one address", async () => {
  await using running = await fleet(SERVED, { workers: 1 });
  const { port } = running.addr;
  const program = programOf((usher) =>
    `import { serve } from "${usher}"; serve({ port: ${port}, hostname: "127.0.0.1" }, async () => {})`
  );
  await assertRejects(
    () => fleet(program, { workers: 1 }),
    Deno.errors.AddrInUse,
    "another fleet of this process has it",
  );
  assert(await ask(running.addr, "who") !== null);
});

netTest("two fleets that ask for port 0 have two ports", async () => {
  await using one = await fleet(SERVED, { workers: 1 });
  await using other = await fleet(SERVED, { workers: 1 });
  assert(one.addr.port !== other.addr.port);
});

netTest("a fleet listens on several addresses, each of port 0 with a port of its own", async () => {
  const program = programOf((usher) =>
    `import { serve } from "${usher}";
     const [port, hostname] = [0, "127.0.0.1"];
     serve({ listeners: [{ port, hostname, name: "one" }, { port, hostname, name: "two" }] }, (conn) =>
       conn.write(new TextEncoder().encode(conn.listenerName + "\\n")));`
  );
  await using running = await fleet(program, { workers: 2 });
  const names = await Promise.all(running.addrs.map((addr) => ask(addr, "")));
  assertEquals(names, ["one", "two"]);
});

netTest("a program that is no file can be a fleet's", async () => {
  const program = programOf((usher) =>
    `import { serve } from "${usher}"; serve({ port: 0, hostname: "127.0.0.1" }, async () => {})`
  );
  await using running = await fleet(program, { workers: 1 });
  assertEquals(running.workers.length, 1);
});

netTest(
  "workers make TLS handshakes behind PROXY headers, and reloadTls() reaches all of them",
  async () => {
    const { cert, key } = certificate;
    const program = programOf((usher) =>
      `import { serve } from "${usher}";
     const proxyProtocol = { trust: ["127.0.0.1"] };
     const tls = { cert: ${JSON.stringify(cert)}, key: ${JSON.stringify(key)} };
     serve({ port: 0, hostname: "127.0.0.1", proxyProtocol, ...tls }, (conn) =>
       conn.write(new TextEncoder().encode(conn.remoteAddr.hostname)));`
    );
    await using running = await fleet(program, { workers: 2 });
    await running.reloadTls(renewed);
    await assertRejects(() => running.reloadTls({ cert: "none", key }), TypeError, "Cannot");
    for (let i = 0; i < 4; i++) {
      const socket = await Deno.connect({ port: running.addr.port });
      await socket.write(bytes`${"PROXY TCP4 192.0.2.7 192.0.2.1 56324 7000\r\n"}`);
      const client = await Deno.startTls(socket, { hostname: "localhost", caCerts: [ca.cert] });
      assertEquals(await new Response(client.readable).text(), "192.0.2.7");
    }
  },
);
