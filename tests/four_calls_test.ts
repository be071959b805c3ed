/**
 * The README's table of the four socket calls is true. Each row has a test of its name.
 *
 * @module
 */

import { assertEquals, assertMatch, assertThrows } from "@std/assert";
import { connection, listen, serve } from "../mod.ts";
import { netTest } from "./support/needs.ts";
import { bytes, text } from "./support/bytes.ts";
import { readAll } from "./support/peers.ts";

const hostname = "127.0.0.1";

netTest("socket(AF_INET, SOCK_STREAM, 0): the options choose IPv4, IPv6 or Unix", async () => {
  using v4 = listen({ port: 0, hostname });
  using v6 = listen({ port: 0, hostname: "::1" });
  assertEquals([v4.addr.transport, v4.addr.hostname], ["tcp", "127.0.0.1"]);
  assertEquals([v6.addr.transport, v6.addr.hostname], ["tcp", "::1"]);
  const directory = await Deno.makeTempDir();
  {
    using unix = listen({ path: `${directory}/s` });
    assertEquals(unix.addr, { transport: "unix", path: `${directory}/s` });
  }
  await Deno.remove(directory);
}, { os: ["linux", "darwin"] });

netTest(
  "sockaddr_in, htons(port), htonl(INADDR_ANY): a number, a text, and a default",
  async () => {
    using listener = listen({ port: 0 });
    assertEquals(listener.addr.hostname, "0.0.0.0");
    using client = await Deno.connect({ hostname, port: listener.addr.port });
    using socket = await listener.accept();
    assertEquals(client.remoteAddr, socket.localAddr);
  },
);

Deno.test("sockaddr_in, htons(port), htonl(INADDR_ANY): checked before any call", () => {
  // Without permissions a call would throw NotCapable.
  assertThrows(() => listen({ port: 65536 }), RangeError, "0 to 65535");
  assertThrows(() => listen({ port: 1.5 }), RangeError, "0 to 65535");
  assertThrows(() => listen({ port: "80" as unknown as number }), TypeError, "0 to 65535");
  assertThrows(() => listen({ port: 0, hostname: "" }), TypeError, "IP address");
});

netTest("bind(fd, &addr, len) == -1: thrown at once, with the address and the way out", () => {
  using taken = listen({ port: 0, hostname });
  const { port } = taken.addr;
  for (
    const call of [
      () => listen({ port, hostname }),
      () => serve({ port, hostname }, () => Promise.resolve()),
    ]
  ) {
    const error = assertThrows(call, Deno.errors.AddrInUse, `tcp://127.0.0.1:${port}`);
    assertMatch(error.message, /use another port/);
    assertEquals((error as { code?: string }).code, "EADDRINUSE");
  }
  assertThrows(
    () => listen({ port: 0, hostname: "203.0.113.9" }),
    Deno.errors.AddrNotAvailable,
    "use one of its own",
  );
});

netTest("listen(fd, 5) == -1: the kernel gets the queue length as it was asked", async () => {
  using listener = listen({ port: 0, hostname, tcpBacklog: 5 });
  const { stdout } = await new Deno.Command("ss", {
    args: ["-Hltn", `sport = :${listener.addr.port}`],
  }).output();
  // State, connections in the queue, its length, the address.
  assertMatch(text(stdout), new RegExp(`^LISTEN +0 +5 +127\\.0\\.0\\.1:${listener.addr.port} `));
}, { os: ["linux"], programs: ["ss"] });

netTest("accept(fd, &addr, &len): the next client, and its address", async () => {
  await using server = serve({ port: 0, hostname }, async (conn) => {
    await conn.write(bytes`${conn.remoteAddr.hostname} ${conn.remoteAddr.port}`);
  });
  const client = await Deno.connect({ hostname, port: server.addr.port });
  const { port } = client.localAddr;
  assertEquals(text(await readAll(client)), `127.0.0.1 ${port}`);
});

netTest(
  "the listening socket and the client's are two: each closes without the other",
  async () => {
    const listener = listen({ port: 0, hostname });
    const address = { hostname, port: listener.addr.port };
    {
      using _client = await Deno.connect(address);
      using first = connection(await listener.accept());
      first.close();
    }
    const client = await Deno.connect(address);
    await using second = connection(await listener.accept());
    listener.close();
    await second.write(bytes`still here`);
    await second.closeWrite();
    assertEquals(text(await readAll(client)), "still here");
  },
);
