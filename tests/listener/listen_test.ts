/** `listen()` listens at the address in its options. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { listen } from "../../mod.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readExactly, writeAll } from "../support/peers.ts";

/** Asserts that a client reaches the listener's acceptor. */
async function assertServes(
  listener: Deno.Listener,
  connect: () => Promise<Deno.Conn>,
): Promise<void> {
  using client = await connect();
  using conn = await listener.accept();
  await writeAll(client, bytes`ping`);
  assertEquals(text(await readExactly(conn, 4)), "ping");
  await writeAll(conn, bytes`pong`);
  assertEquals(text(await readExactly(client, 4)), "pong");
}

for (const hostname of ["127.0.0.1", "::1", "[::1]"]) {
  netTest(`listen() takes clients on ${hostname}`, async () => {
    using listener = listen({ port: 0, hostname });
    assertEquals(listener.addr.hostname, hostname.replace(/[[\]]/g, ""));
    await assertServes(listener, () => dial(listener.addr));
  });
}

netTest("listen() takes the first address of a host name", async () => {
  using listener = listen({ port: 0, hostname: "localhost" });
  await assertServes(listener, () => dial(listener.addr));
});

netTest("listen() takes IPv4 clients on every address without a hostname", async () => {
  using listener = listen({ port: 0 });
  assertEquals(listener.addr.hostname, "0.0.0.0");
  await assertServes(listener, () => dial({ ...listener.addr, hostname: "127.0.0.1" }));
});

netTest('listen() takes IPv4 clients on "::" too, and shows them as IPv6', async () => {
  using listener = listen({ port: 0, hostname: "::" });
  await assertServes(listener, () => dial({ ...listener.addr, hostname: "::1" }));
  using _client = await dial({ ...listener.addr, hostname: "127.0.0.1" });
  using conn = await listener.accept();
  assertEquals((conn.remoteAddr as Deno.NetAddr).hostname, "::ffff:127.0.0.1");
}, { os: ["linux"] });

netTest("listen() gives the port it got for port 0, another one each time", () => {
  using first = listen(LOOPBACK);
  using second = listen(LOOPBACK);
  for (const { addr } of [first, second]) {
    assertEquals([addr.transport, addr.hostname], ["tcp", "127.0.0.1"]);
  }
  assertEquals(new Set([0, first.addr.port, second.addr.port]).size, 3);
});

netTest("listen() can bind the port again as soon as it was closed", () => {
  const { port } = (() => {
    using listener = listen(LOOPBACK);
    return listener.addr;
  })();
  using again = listen({ ...LOOPBACK, port });
  assertEquals(again.addr.port, port);
});

netTest("listen() can bind the port again once a pending accept has rejected", async () => {
  const first = listen(LOOPBACK);
  const { port } = first.addr;
  const pending = first.accept();
  first.close();
  await pending.catch(() => {});
  using second = listen({ ...LOOPBACK, port });
  await assertServes(second, () => dial(second.addr));
});

netTest("listen() takes clients on a Unix socket", async () => {
  using directory = new Directory();
  const path = directory.at("app.sock");
  using listener = listen({ path });
  await assertServes(listener, () => Deno.connect({ transport: "unix", path }));
}, { os: ["linux", "darwin"] });

netTest("listen() leaves nothing open when it throws", () => {
  using taken = listen(LOOPBACK);
  // The sanitizer would find a socket.
  for (let i = 0; i < 3; i++) {
    assertThrows(() => listen({ ...LOOPBACK, port: taken.addr.port }), Deno.errors.AddrInUse);
  }
});

Deno.test("listen() is typed by its address", () => {
  // Never called: compiling it is the test.
  const _typed = () => {
    const tcp: Deno.TcpListener = listen({ port: 0 });
    const unix: Deno.UnixListener = listen({ path: "app.sock" });
    return [tcp.addr.port, unix.addr.path];
  };
});
