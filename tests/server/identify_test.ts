/** A handler sees the client that is served, and no other. @module */

import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { ServedConnection } from "../../lib/server/served_connection.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import { AccessRules } from "../../lib/server/access_rules.ts";
import { privateLimits } from "../../lib/server/private_limits.ts";
import { Handshaking } from "../../lib/server/handshaking.ts";
import { Slots } from "../../lib/server/slots.ts";
import { identify } from "../../lib/server/identify.ts";
import { Reporter } from "../../lib/server/reporter.ts";
import {
  type Connection,
  type EndRecord,
  type ProxyHeader,
  ProxyHeaderError,
  serve,
  type ServeSettings,
} from "../../mod.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import {
  arrived,
  BEHIND,
  dialSaying,
  dialTls,
  dialTlsSaying,
  headerOf,
  LOCAL,
  proxied,
  UNKNOWN,
} from "../support/balancer.ts";
import { byChance } from "../support/chance.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { Holding } from "../support/holding.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  connectAndReset,
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  writeAll,
} from "../support/peers.ts";
import { turn, until } from "../support/wait.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

/** Both ways into TLS. */
const OPEN_UNIX = { os: ["linux", "darwin"] as (typeof Deno.build.os)[] };

/** What a server has reported so far. */
class Seen {
  readonly ended: EndRecord[] = [];
  readonly reported: unknown[] = [];
  readonly served: Connection[] = [];

  /** The hooks of a server, which record here. */
  readonly hooks: ServeSettings = {
    onEnd: (record) => this.ended.push(record),
    onError: (error) => this.reported.push(error),
  };

  /** Sends everything back. */
  readonly echo = async (conn: Connection): Promise<void> => {
    this.served.push(conn);
    for await (const chunk of conn) await conn.write(chunk);
  };

  get reasons(): string[] {
    return this.ended.map(({ reason }) => reason);
  }
}

/** Half-closes and reads to the end; `""` also if it is reset. */
async function hear(client: Deno.Conn): Promise<string> {
  try {
    return text(await readAll(client));
  } catch (error) {
    assertInstanceOf(error, Deno.errors.ConnectionReset);
    client.close();
    return "";
  }
}

// The contents of the header.

for (const version of [1, 2] as const) {
  for (const hostname of ["192.0.2.7", "2001:db8::7"]) {
    netTest(`a PROXY header of version ${version} makes ${hostname} the client`, async () => {
      const seen = new Seen();
      await using server = serve({ ...LOOPBACK, ...BEHIND, ...seen.hooks }, seen.echo);
      const client = await dialSaying(server.addr, proxied(hostname, version), bytes`hello`);
      await client.closeWrite();
      assertEquals(await hear(client), "hello");

      const [conn] = seen.served as [Connection<Deno.NetAddr>];
      assertEquals(conn.proxy, headerOf(hostname, version));
      assertEquals(conn.remoteAddr, headerOf(hostname).source as Deno.NetAddr);
      assertEquals([conn.peerAddr.hostname, conn.localAddr], ["127.0.0.1", server.addr]);
      await until(() => seen.ended.length > 0);
      const [{ remoteAddr, peerAddr, bytesRead, bytesWritten }] = seen.ended as [EndRecord];
      assertEquals([remoteAddr, peerAddr], [conn.remoteAddr, conn.peerAddr]);
      // The header is not among the handler's bytes.
      assertEquals([bytesRead, bytesWritten], [5, 5]);
    });
  }
}

for (const [i, header] of [...UNKNOWN, LOCAL].entries()) {
  const name = ["UNKNOWN in version 1", "UNKNOWN in version 2", "LOCAL"][i];
  netTest(`a PROXY header with ${name} leaves the balancer's address`, async () => {
    const seen = new Seen();
    await using server = serve({ ...LOOPBACK, ...BEHIND }, seen.echo);
    const client = await dialSaying(server.addr, header, bytes`hello`);
    const { localAddr } = client;
    await client.closeWrite();
    assertEquals(await hear(client), "hello");
    const [conn] = seen.served as [Connection];
    assertEquals([conn.remoteAddr, conn.peerAddr], [localAddr, localAddr]);
    assertEquals([conn.proxy?.command, conn.proxy?.source], [i < 2 ? "PROXY" : "LOCAL", undefined]);
  });
}

netTest("the handler sees the TLVs of a balancer", async () => {
  const tlvs = { authority: "example.com", alpn: "h2" };
  await using server = serve({ ...LOOPBACK, ...BEHIND }, async (conn) => {
    await conn.write(bytes`${conn.proxy?.tlvs?.authority} ${conn.proxy?.tlvs?.alpn}`);
  });
  const header: ProxyHeader = { ...headerOf("192.0.2.7", 2), tlvs };
  const client = await dialSaying(server.addr, encodeProxyHeader(header, { crc32c: true }));
  assertEquals(await hear(client), "example.com h2");
});

for (const version of [1, 2] as const) {
  netTest(`a header of version ${version} may arrive in two parts, split anywhere`, async () => {
    const seen = new Seen();
    await using server = serve({ ...LOOPBACK, ...BEHIND, ...seen.hooks }, seen.echo);
    const header = proxied("192.0.2.7", version);
    for (let i = 1; i <= header.length; i++) {
      const client = await dialSaying(server.addr, header.subarray(0, i));
      await until(() => i < header.length ? arrived(server) === i : seen.served.length === i);
      await writeAll(client, new Uint8Array([...header.subarray(i), ...bytes`payload`]));
      await client.closeWrite();
      assertEquals(await hear(client), "payload", `split after ${i} bytes`);
      await until(() => seen.ended.length === i);
    }
    assert(seen.ended.every(({ reason, bytesRead }) => reason === "completed" && bytesRead === 7));
    assertEquals([seen.served.length, seen.reported.length], [header.length, 0]);
  });

  netTest(`a header of version ${version} may arrive byte by byte`, async () => {
    const seen = new Seen();
    await using server = serve({ ...LOOPBACK, ...BEHIND }, seen.echo);
    const client = await dial(server.addr);
    const header = proxied("2001:db8::7", version);
    for (const [i, byte] of header.entries()) {
      assertEquals(seen.served, []);
      await client.write(Uint8Array.of(byte));
      if (i + 1 < header.length) await until(() => arrived(server) === i + 1);
    }
    await until(() => seen.served.length === 1);
    client.close();
  });
}

/** Each way to read first, and what it gives of `one\ntwo`. */
const FIRST_READS: Record<string, (conn: Connection) => Promise<string>> = {
  "read()": async (conn) => {
    const p = new Uint8Array(100);
    return text(p.subarray(0, await conn.read(p) ?? 0));
  },
  "an iteration": async (conn) => {
    for await (const chunk of conn) return text(chunk);
    return "";
  },
  "readLine()": async (conn) => `${await conn.readLine()}\n${text(await conn.peek(3))}`,
  "readExactly()": async (conn) => text((await conn.readExactly(7))!),
  "peek()": async (conn) => text(await conn.peek(7)),
  "readable": async (conn) => {
    const { value } = await conn.readable.getReader().read();
    return text(value!);
  },
};

for (const [name, first] of Object.entries(FIRST_READS)) {
  netTest(`${name} gets what came in one segment with the header, and all of it`, async () => {
    const heard: [string, number][] = [];
    await using server = serve({ ...LOOPBACK, ...BEHIND }, async (conn) => {
      heard.push([await first(conn), conn.bytesRead]);
    });
    const stream = new Uint8Array([...proxied("192.0.2.7"), ...bytes`one\ntwo`]);
    using client = await dialSaying(server.addr, stream);
    await until(() => heard.length === 1);
    assertEquals(heard, [["one\ntwo", 7]]);
    assertEquals(await client.read(new Uint8Array(1)), null);
  });
}

netTest("a second header is the client's own bytes, which are not believed", async () => {
  const seen = new Seen();
  await using server = serve({ ...LOOPBACK, ...BEHIND }, seen.echo);
  const client = await dialSaying(server.addr, proxied("192.0.2.7"), proxied("10.0.0.1"));
  await client.closeWrite();
  assertEquals(await hear(client), text(proxied("10.0.0.1")));
  assertEquals((seen.served[0]!.remoteAddr as Deno.NetAddr).hostname, "192.0.2.7");
});

// Whose header counts.

netTest("a peer that is not trusted is refused, whatever it sends", async () => {
  const seen = new Seen();
  const proxyProtocol = { trust: ["10.0.0.0/8", "::1", "unix"] };
  await using server = serve({ ...LOOPBACK, proxyProtocol, ...seen.hooks }, seen.echo);
  for (const said of [proxied("10.0.0.1"), bytes`GET /`, bytes``]) {
    const client = await dial(server.addr);
    await client.write(said).catch(() => {});
    assertEquals(await hear(client), "");
  }
  await until(() => seen.ended.length === 3);
  assertEquals(seen.reasons, Array(3).fill("refused_address"));
  // Its address is its own.
  for (const { remoteAddr, peerAddr, bytesRead } of seen.ended) {
    assertEquals([remoteAddr, bytesRead], [peerAddr, 0]);
  }
  assertEquals([seen.served, server.stats().refused.address], [[], 3]);
});

netTest("a peer that is not trusted displaces no other", async () => {
  using directory = new Directory();
  const seen = new Seen();
  const path = directory.at("s");
  await using server = serve({
    listeners: [{ ...LOOPBACK, ...BEHIND }, { path, ...BEHIND }],
    maxHandshaking: 1,
    ...seen.hooks,
  }, seen.echo);
  using slow = await dial(server.addr as Deno.NetAddr);
  await until(() => server.stats().handshaking === 1);
  for (let i = 1; i <= 3; i++) {
    using _stranger = await Deno.connect({ transport: "unix", path });
    await until(() => seen.ended.length === i);
  }
  assertEquals(seen.reasons, Array(3).fill("refused_address"));
  await writeAll(slow, proxied("192.0.2.7"));
  await until(() => seen.served.length === 1);
}, OPEN_UNIX);

for (
  const [trust, peer] of [
    [["127.0.0.1"], "a TCP peer"],
    [["127.0.0.0/8"], "a range of TCP peers"],
    [["::ffff:127.0.0.1"], "a TCP peer as IPv6 writes it"],
    [["unix", "10.0.0.0/8", "127.0.0.1"], "a TCP peer among others"],
  ] as const
) {
  netTest(`trust takes ${peer}: ${trust.join(", ")}`, async () => {
    const seen = new Seen();
    for (const hostname of ["127.0.0.1", "::"]) {
      await using server = serve({ port: 0, hostname, proxyProtocol: { trust } }, seen.echo);
      const addr = { ...server.addr, hostname: "127.0.0.1" };
      const client = await dialSaying(addr, proxied("192.0.2.7"));
      await client.closeWrite();
      await hear(client);
    }
    assertEquals(seen.served.length, 2);
  }, { os: ["linux"] });
}

for (const trust of [["unix"], ["127.0.0.1", "unix"], ["0.0.0.0/0", "::/0"]]) {
  const trusted = trust.includes("unix");
  netTest(`a Unix peer is ${trusted ? "" : "not "}in ${trust.join(", ")}`, async () => {
    using directory = new Directory();
    const path = directory.at("s");
    const seen = new Seen();
    await using server = serve({ path, proxyProtocol: { trust }, ...seen.hooks }, seen.echo);
    const client = await Deno.connect({ transport: "unix", path });
    await client.write(proxied("192.0.2.7")).catch(() => {});
    await client.closeWrite().catch(() => {});
    await hear(client);
    await until(() => seen.ended.length === 1);
    assertEquals(seen.reasons, [trusted ? "completed" : "refused_address"]);
    const addrs = seen.served.map(({ remoteAddr }) => (remoteAddr as Deno.Addr as Deno.NetAddr));
    assertEquals(addrs.map(({ hostname }) => hostname), trusted ? ["192.0.2.7"] : []);
    assertEquals(server.stats().active, 0);
  }, OPEN_UNIX);
}

// Anything but a header.

/** First bytes of clients that expect another protocol. */
const NO_HEADERS: Record<string, Uint8Array> = {
  "an HTTP request": bytes`GET / HTTP/1.1\r\n`,
  "an HTTP request that begins as a header does": bytes`PUT / HTTP/1.1\r\n`,
  "a TLS ClientHello": Uint8Array.of(22, 3, 1, 2, 0, 1),
  "one byte": bytes`x`,
  "an unknown family": bytes`PROXY TCP5 1.2.3.4 5.6.7.8 9 10\r\n`,
  "an invalid address": bytes`PROXY TCP4 1.2.3.256 5.6.7.8 9 10\r\n`,
  "version 3": Uint8Array.of(...proxied("192.0.2.7", 2).subarray(0, 12), 0x31),
  "a header with one byte changed": (() => {
    const broken = encodeProxyHeader(headerOf("192.0.2.7", 2), { crc32c: true });
    broken[20]! ^= 1;
    return broken;
  })(),
};

for (const [name, said] of Object.entries(NO_HEADERS)) {
  netTest(`${name} in the place of a PROXY header ends the connection at once`, async () => {
    using _time = new FakeTime(); // that stands still
    const seen = new Seen();
    await using server = serve({ ...LOOPBACK, ...BEHIND, ...seen.hooks }, seen.echo);
    const client = await dialSaying(server.addr, said);
    assertEquals(await hear(client), "");
    await until(() => seen.ended.length === 1);
    const [{ reason, error, remoteAddr, peerAddr }] = seen.ended as [EndRecord];
    assertEquals([reason, remoteAddr], ["proxy_header_invalid", peerAddr]);
    assertInstanceOf(error, ProxyHeaderError);
    // A peer can trigger that at will.
    assertEquals([seen.reported, seen.served], [[], []]);
  });
}

netTest("a stream that ends inside a header ends the connection, wherever that is", async () => {
  const seen = new Seen();
  await using server = serve({ ...LOOPBACK, ...BEHIND, ...seen.hooks }, seen.echo);
  let count = 0;
  for (const version of [1, 2] as const) {
    const header = proxied("192.0.2.7", version);
    for (let length = 1; length < header.length; length++) {
      const client = await dialSaying(server.addr, header.subarray(0, length));
      await client.closeWrite();
      assertEquals(await hear(client), "");
      await until(() => seen.ended.length > count);
      const { reason, error, bytesRead } = seen.ended[count++]!;
      assertEquals([reason, bytesRead], ["proxy_header_invalid", 0]);
      assertInstanceOf(error, Deno.errors.UnexpectedEof);
    }
  }
  assertEquals([seen.reported, seen.served], [[], []]);
});

netTest("a client that connects and leaves without a byte is a health check", async () => {
  const seen = new Seen();
  await using server = serve({ ...LOOPBACK, ...BEHIND, ...seen.hooks }, seen.echo);
  (await dial(server.addr)).close();
  await until(() => seen.ended.length === 1);
  assertEquals([seen.reasons, seen.ended[0]!.error], [["health_check"], undefined]);

  const resetting = await connectResettable(server.addr);
  await until(() => server.stats().handshaking === 1);
  await resetting.reset();
  await until(() => seen.ended.length === 2);
  assertEquals(seen.reasons, ["health_check", "health_check"]);

  // Gone before it is accepted, it may be no connection at all.
  await connectAndReset(server.addr);
  await until(() => seen.ended.length + server.stats().acceptFailures.aborted === 3);
  assert(seen.reasons.every((reason) => reason === "health_check"));
  assertEquals([seen.reported, seen.served], [[], []]);
});

netTest("a client that resets inside a header is no health check", async () => {
  const seen = new Seen();
  await using server = serve({ ...LOOPBACK, ...BEHIND, ...seen.hooks }, seen.echo);
  const client = await connectResettable(server.addr);
  client.write(bytes`PROXY`);
  await until(() => arrived(server) === 5);
  await client.reset();
  await until(() => seen.ended.length === 1);
  assertEquals([seen.reasons, seen.reported], [["peer_reset"], []]);
});

netTest("a header that trickles in must be complete in time", async () => {
  using time = new FakeTime();
  const seen = new Seen();
  await using server = serve({ ...LOOPBACK, ...BEHIND, ...seen.hooks }, seen.echo);
  const client = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  const header = proxied("192.0.2.7");
  for (let i = 0; i < 10; i++) {
    assertEquals(seen.ended, []);
    await client.write(header.subarray(i, i + 1));
    await until(() => arrived(server) === i + 1);
    time.tick(1000);
  }
  assertEquals(seen.ended, []); // not early
  time.tick(200);
  assertEquals(await hear(client), "");
  await until(() => seen.ended.length === 1);
  const [{ reason, error }] = seen.ended as [EndRecord];
  assertEquals(reason, "handshake_timeout");
  assert(error instanceof DOMException && error.name === "TimeoutError");
  assert(error.message.includes("'handshakeTimeout'"));
  assertEquals([seen.served, seen.reported, server.stats().handshaking], [[], [], 0]);
});

netTest("handshakeTimeout is over once the handler runs", async () => {
  using time = new FakeTime();
  const seen = new Seen();
  await using server = serve({ ...LOOPBACK, ...BEHIND, handshakeTimeout: 1000 }, seen.echo);
  using client = await dialSaying(server.addr, proxied("192.0.2.7"));
  await until(() => seen.served.length === 1);
  time.tick(60_000);
  await writeAll(client, bytes`still here`);
  assertEquals(text(await readExactly(client, 10)), "still here");
});

// The rules.

/** Access rules, and the end reason of a plain client on 127.0.0.1. */
const RULES: [ServeSettings, string][] = [
  [{ deny: ["127.0.0.1"] }, "refused_address"],
  [{ deny: ["10.0.0.0/8", "127.0.0.0/8"] }, "refused_address"],
  [{ deny: ["10.0.0.0/8", "::/0", "unix"] }, "completed"],
  [{ deny: [] }, "completed"],
  [{ allow: ["127.0.0.1"] }, "completed"],
  [{ allow: ["10.0.0.0/8", "::/0", "unix"] }, "refused_address"],
  [{ allow: ["127.0.0.1"], deny: ["127.0.0.0/8"] }, "refused_address"],
  [{ allow: ["127.0.0.0/8"], deny: ["127.0.0.2"] }, "completed"],
];

for (const [rules, reason] of RULES) {
  netTest(`a client on 127.0.0.1 ends as ${reason} with ${JSON.stringify(rules)}`, async () => {
    const seen = new Seen();
    for (const hostname of ["127.0.0.1", "::"]) {
      await using server = serve({ port: 0, hostname, ...rules, ...seen.hooks }, seen.echo);
      const client = await dial({ ...server.addr, hostname: "127.0.0.1" });
      await client.closeWrite().catch(() => {});
      assertEquals(await hear(client), "");
      await until(() => server.stats().ended[reason as "completed"] === 1);
      // No connection counts as handshaking on a plain port.
      assertEquals(server.stats().refused.address, reason === "completed" ? 0 : 1);
    }
    assertEquals(seen.served.length, reason === "completed" ? 2 : 0);
  }, { os: ["linux"] });
}

netTest("allow and deny match Unix peers by name", async () => {
  using directory = new Directory();
  for (
    const [rules, reason] of [
      [{ deny: ["unix"] }, "refused_address"],
      [{ allow: ["0.0.0.0/0", "::/0"] }, "refused_address"],
      [{ allow: ["unix"] }, "completed"],
      [{ deny: ["0.0.0.0/0", "::/0"] }, "completed"],
    ] as const
  ) {
    const seen = new Seen();
    const path = directory.at("s");
    await using _server = serve({ path, ...rules, ...seen.hooks }, seen.echo);
    const client = await Deno.connect({ transport: "unix", path });
    await client.closeWrite().catch(() => {});
    await hear(client);
    await until(() => seen.ended.length === 1);
    assertEquals(seen.reasons, [reason], JSON.stringify(rules));
  }
}, OPEN_UNIX);

netTest("behind a balancer the rules are about the client, not about the balancer", async () => {
  const seen = new Seen();
  await using server = serve({
    ...LOOPBACK,
    ...BEHIND,
    allow: ["192.0.2.0/24", "2001:db8::/32"],
    deny: ["127.0.0.1", "192.0.2.66"],
    ...seen.hooks,
  }, seen.echo);
  const expected: [string, string][] = [
    ["192.0.2.7", "completed"],
    ["192.0.2.66", "refused_address"], // deny wins
    ["2001:db8::1", "completed"],
    ["2001:db9::1", "refused_address"],
    ["127.0.0.1", "refused_address"], // as the header says
    ["198.51.100.1", "refused_address"],
  ];
  for (const [i, [hostname, reason]] of expected.entries()) {
    const client = await dialSaying(server.addr, proxied(hostname, i % 2 === 0 ? 1 : 2));
    await client.closeWrite().catch(() => {});
    await hear(client);
    await until(() => seen.ended.length > i);
    const record = seen.ended[i]!;
    assertEquals([record.reason, record.remoteAddr], [reason, headerOf(hostname).source!]);
  }
  assertEquals([seen.served.length, server.stats().refused.address], [2, 4]);
});

netTest("a balancer that connects for itself is exempt from the rules", async () => {
  const seen = new Seen();
  await using server = serve({
    ...LOOPBACK,
    ...BEHIND,
    allow: ["192.0.2.0/24"],
    deny: ["127.0.0.1"],
    ...seen.hooks,
  }, seen.echo);
  const client = await dialSaying(server.addr, LOCAL, bytes`alive?`);
  await client.closeWrite();
  assertEquals(await hear(client), "alive?");
});

/** Clients whose address a balancer does not give, each with its header. */
const UNNAMED: Record<string, Uint8Array> = {
  "UNKNOWN in version 1": UNKNOWN[0]!,
  "no address in version 2": UNKNOWN[1]!,
  "an unspecified transport": Uint8Array.from([
    ...proxied("192.0.2.7", 2).subarray(0, 13),
    0x10, // INET, with an unspecified transport
    ...proxied("192.0.2.7", 2).subarray(14),
  ]),
  "a Unix socket": encodeProxyHeader({
    version: 2,
    command: "PROXY",
    source: { transport: "unix", path: "/run/client.sock" },
    destination: { transport: "unix", path: "/run/server.sock" },
  }),
};

/** Rules that need an address, which would let every one of these clients in. */
const NEEDING: ServeSettings[] = [
  { deny: ["192.0.2.9"] },
  { allow: ["127.0.0.1", "192.0.2.7", "unix"] },
  { maxConnectionsPerPeer: 5 },
];

for (const [name, header] of Object.entries(UNNAMED)) {
  netTest(`a client with ${name} in its header passes no rules about addresses`, async () => {
    for (const rules of NEEDING) {
      for (const unknown of [undefined, "allow"] as const) {
        const seen = new Seen();
        const proxyProtocol = { ...BEHIND.proxyProtocol, ...(unknown && { unknown }) };
        const options = { ...LOOPBACK, proxyProtocol, ...rules, ...seen.hooks };
        await using server = serve(options, seen.echo);
        const client = await dialSaying(server.addr, header);
        await client.closeWrite().catch(() => {});
        await hear(client);
        await until(() => seen.ended.length === 1);
        assertEquals(seen.reasons, [unknown === "allow" ? "completed" : "refused_address"]);
      }
    }
  });
}

netTest(
  "clients of unknown address count for the balancer where the limit is the default",
  async () => {
    const held = new Holding();
    await using server = serve(
      { ...LOOPBACK, ...BEHIND, maxConnections: 1000, onError: () => {} },
      held.handler,
    );
    const all: Deno.TcpConn[] = [];
    for (let i = 0; i < 500; i++) all.push(await dialSaying(server.addr, UNKNOWN[i % 2]!));
    await until(() => held.served === 500);
    const refused = await dialSaying(server.addr, UNKNOWN[0]!);
    assertEquals(await hear(refused), "");
    all.push(await dialSaying(server.addr, proxied("192.0.2.7")));
    all.push(await dialSaying(server.addr, LOCAL));
    await until(() => held.served === 502);
    assertEquals(server.stats().refused.peerLimit, 1);
    for (const client of all) client.close();
    held.letAllGo();
  },
);

// TLS.

netTest("rules come before the TLS handshake", async () => {
  const seen = new Seen();
  await using server = serve({
    ...LOOPBACK,
    ...certificate,
    deny: ["127.0.0.1"],
    ...seen.hooks,
  }, seen.echo);
  const client = await dialTls(server.addr);
  await assertRejects(() => client.handshake());
  client.close();
  await until(() => seen.ended.length === 1);
  assertEquals([seen.reasons, seen.ended[0]!.bytesRead], [["refused_address"], 0]);
  assertEquals([seen.served, server.stats().handshaking], [[], 0]);
});

netTest("a client that is closed in the middle of a TLS handshake gets an end", async () => {
  using time = new FakeTime();
  const seen = new Seen();
  await using server = serve({
    ...LOOPBACK,
    ...certificate,

    ...seen.hooks,
  }, seen.echo);
  using client = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  time.tick(11_000);
  await until(() => seen.ended.length === 1);
  assertEquals(seen.reasons, ["handshake_timeout"]);
  let hears = false;
  const reading = client.read(new Uint8Array(1)).then(() => hears = true, () => {});
  for (let i = 0; i < 1000 && !hears; i++) await turn();
  client.close();
  await reading;
  assert(hears, "the connection stays open for as long as the client likes");
});

netTest("TLS comes after the header, and only its bytes are counted", async () => {
  const seen = new Seen();
  await using server = serve(
    { ...LOOPBACK, ...BEHIND, ...certificate, ...seen.hooks },
    seen.echo,
  );
  const client = await dialTlsSaying(server.addr, proxied("192.0.2.7", 2));
  await writeAll(client, bytes`hello`);
  assertEquals(text(await readExactly(client, 5)), "hello");
  client.close();
  await until(() => seen.ended.length === 1);
  const [conn] = seen.served as [Connection];
  assertEquals([conn.tls?.version, conn.proxy], ["TLSv1.3", headerOf("192.0.2.7", 2)]);
  const [{ remoteAddr, bytesRead, bytesWritten }] = seen.ended as [EndRecord];
  assertEquals(remoteAddr, headerOf("192.0.2.7").source!);
  assertEquals([bytesRead, bytesWritten], [5, 5]);
});

netTest("a balancer that connects to a TLS port and leaves is a health check", async () => {
  const seen = new Seen();
  await using server = serve(
    { ...LOOPBACK, ...BEHIND, ...certificate, ...seen.hooks },
    seen.echo,
  );
  const polite = await dialSaying(server.addr, LOCAL);
  polite.close();
  await until(() => seen.ended.length === 1);

  const resetting = await connectResettable(server.addr);
  resetting.write(LOCAL);
  await until(() => [...server.connections].at(-1)?.proxy?.command === "LOCAL");
  await resetting.reset();
  await until(() => seen.ended.length === 2);
  assertEquals(seen.reasons, ["health_check", "health_check"]);

  const secured = await dialTlsSaying(server.addr, LOCAL);
  await writeAll(secured, bytes`hello`);
  assertEquals(text(await readExactly(secured, 5)), "hello");
  secured.close();
  await until(() => seen.ended.length === 3);
  assertEquals(seen.served.map(({ proxy }) => proxy?.command), ["LOCAL"]);

  // Any other client that leaves before the end of the handshake has aborted it.
  (await dialSaying(server.addr, proxied("192.0.2.7"))).close();
  await until(() => seen.ended.length === 4);
  assertEquals(seen.reasons[3], "handshake_failed");
  assertEquals(seen.reported, []);
});

netTest(
  "a function that chooses certificates and fails is reported, and a client that asks for more is not",
  async () => {
    const seen = new Seen();
    const failure = new RangeError("no such shelf");
    await using server = serve({
      ...LOOPBACK,
      ...seen.hooks,
      tls: {
        serverNames: (name) => {
          if (name === "localhost") throw failure;
          return null;
        },
      },
    }, seen.echo);
    const tries = ["localhost", "nobody.test"];
    for (const [i, hostname] of tries.entries()) {
      const raw = await dial(server.addr);
      const client = await Deno.startTls(raw, { hostname, caCerts: [ca.cert] });
      await assertRejects(() => client.handshake());
      client.close();
      await until(() => seen.ended.length > i);
    }
    assertEquals(seen.reasons, ["handshake_failed", "handshake_failed"]);
    const [reported] = seen.reported as [Error];
    assertEquals([seen.reported.length, reported.cause], [1, failure]);
  },
);

netTest("nothing that a peer sends instead of TLS is reported", async () => {
  await byChance(async (chance) => {
    const seen = new Seen();
    const expected = { ...certificate, ...seen.hooks } as const;
    await using server = serve({ ...LOOPBACK, ...expected }, seen.echo);
    for (let i = 1; i <= 60; i++) {
      const noise = new Uint8Array(chance.from(1, 600)).map(() => chance.from(0, 255));
      // Every other one begins as a ClientHello does.
      if (i % 2 === 0) noise.set([22, 3, 1, 0, chance.from(0, 255), 1, 0].slice(0, noise.length));
      const client = await dialSaying(server.addr, noise);
      await client.closeWrite().catch(() => {});
      await hear(client);
      await until(() => seen.ended.length === i);
    }
    assertEquals(new Set(seen.reasons), new Set(["handshake_failed"]));
    assertEquals([seen.reported, seen.served], [[], []]);
  });
});

// Stopping and pausing.

/** Ways to be in mid-handshake, and to complete it. */
const MIDDLES: Record<string, {
  options: Record<string, unknown>;
  begin: (addr: Deno.NetAddr) => Promise<Deno.TcpConn>;
  finish: (client: Deno.TcpConn) => Promise<Deno.Conn>;
  /** Whether the client sees an end when it is closed. */
  hears?: boolean;
}> = {
  "a PROXY header": {
    options: BEHIND,
    begin: (addr) => dialSaying(addr, proxied("192.0.2.7").subarray(0, 10)),
    finish: async (client) => {
      await writeAll(client, proxied("192.0.2.7").subarray(10));
      return client;
    },
  },
  "a TLS handshake": { options: { ...certificate }, begin: dial, finish: secure },
  "a TLS handshake behind a PROXY header": {
    options: { ...BEHIND, ...certificate },
    begin: (addr) => dialSaying(addr, proxied("192.0.2.7")),
    finish: secure,
  },
};

async function secure(client: Deno.TcpConn): Promise<Deno.TlsConn> {
  return await Deno.startTls(client, { hostname: "127.0.0.1", caCerts: [ca.cert] });
}

for (const [name, { options, begin, finish, hears = true }] of Object.entries(MIDDLES)) {
  netTest(`shutdown() has a client in ${name} finish it, and serves it`, async () => {
    const seen = new Seen();
    const server = serve({ ...LOOPBACK, ...options, ...seen.hooks }, seen.echo);
    const raw = await begin(server.addr);
    await until(() => server.stats().handshaking === 1);
    const stopped = server.shutdown();
    const client = await finish(raw);
    await writeAll(client, bytes`hello`);
    assertEquals(text(await readExactly(client, 5)), "hello");
    await until(() => seen.served[0]!.draining);
    client.close();
    await stopped;
    assertEquals([seen.ended.length, server.report!.forced, server.stats().handshaking], [1, 0, 0]);
  });

  netTest(`a forced stop ends a connection in ${name}`, async () => {
    using _time = new FakeTime(); // no handler is abandoned after a second
    const seen = new Seen();
    const server = serve({ ...LOOPBACK, ...options, ...seen.hooks }, seen.echo);
    const client = await begin(server.addr);
    await until(() => server.stats().handshaking === 1);
    await server.shutdown({ timeout: 0 });
    if (hears) assertEquals(await hear(client), "");
    else client.close();
    const [{ reason, error }] = seen.ended as [EndRecord];
    assertEquals([reason, seen.served, seen.reported], ["forced", [], []]);
    assertInstanceOf(error, Deno.errors.Interrupted);
    assertEquals([server.stats().handshaking, server.report!.forced], [0, 1]);
  });

  netTest(`handshakeTimeout ends a connection that stays in ${name}`, async () => {
    using time = new FakeTime();
    const seen = new Seen();
    await using server = serve(
      { ...LOOPBACK, ...options, maxConnections: 1, handshakeTimeout: 3000, ...seen.hooks },
      seen.echo,
    );
    const client = await begin(server.addr);
    await until(() => server.stats().handshaking === 1);
    time.tick(3000);
    assertEquals(seen.ended, []);
    time.tick(200);
    await until(() => seen.ended.length === 1);
    if (hears) assertEquals(await hear(client), "");
    else client.close();
    assertEquals([seen.reasons, seen.reported], [["handshake_timeout"], []]);
    // Its slot is free again.
    const next = await finish(await begin(server.addr));
    await until(() => seen.served.length === 1);
    next.close();
  });

  netTest(`a pause does not stop a connection in ${name}`, async () => {
    const seen = new Seen();
    await using server = serve({ ...LOOPBACK, ...options }, seen.echo);
    const raw = await begin(server.addr);
    await until(() => server.stats().handshaking === 1);
    server.pause();
    const client = await finish(raw);
    await writeAll(client, bytes`hello`);
    assertEquals(text(await readExactly(client, 5)), "hello");
    client.close();
    server.resume();
  });
}

netTest(
  "a connection that is forced as it waits for a slot is not identified any more",
  async () => {
    const held = new Holding();
    const seen = new Seen();
    const server = serve({ ...LOOPBACK, ...BEHIND, ...seen.hooks }, held.handler);
    using _first = await dialSaying(server.addr, proxied("192.0.2.7"));
    await until(() => held.served === 1);
    server.maxConnections = 1;
    using _second = await dialSaying(server.addr, proxied("192.0.2.8"));
    await until(() => server.connections.size === 2);
    // Without a slot its header is not read.
    assertEquals(server.stats().handshaking, 0);
    const stopped = server.shutdown({ timeout: 0 });
    held.letGo();
    await stopped;
    assertEquals(seen.reasons, ["forced", "forced"]);
  },
);

// The function by itself.

Deno.test("identify() admits no connection when something fails that has not ended the connection", async () => {
  const clock = new CoarseClock(false);
  const socket = new ScriptedSocket();
  const conn = new ServedConnection(1, socket, socket.localAddr, clock, DEFAULT_LIMITS);
  const error = new RangeError("a bug");
  socket.arrive(proxied("192.0.2.7"));
  const handshaking = new Handshaking(clock, 1000, () => 1);
  const rules = {
    isAllowed: () => {
      throw error;
    },
  };
  const limits = privateLimits({ maxConnections: 1 });
  const access = new AccessRules(rules, new Slots(limits.slots), limits);
  const reporter = new Reporter(() => {}, clock);
  const service = { access, handshaking, reporter };
  const identifying = identify(conn, { isTrusted: () => true }, service);
  assertEquals(handshaking.size, 1);
  await identifying;
  assertEquals([conn.life.closed, conn.life.error, handshaking.size], [true, error, 0]);
});

Deno.test("identify() returns no promise where nothing is expected", () => {
  const clock = new CoarseClock(false);
  for (const isAllowed of [undefined, () => true, () => false]) {
    const socket = new ScriptedSocket();
    const conn = new ServedConnection(1, socket, socket.localAddr, clock, DEFAULT_LIMITS);
    const handshaking = new Handshaking(clock, 1000, () => 1);
    const limits = privateLimits({ maxConnections: 1 });
    const access = new AccessRules(
      { isAllowed, maxConnectionsPerPeer: 1 },
      new Slots(limits.slots),
      limits,
    );
    const reporter = new Reporter(() => {}, clock);
    assertEquals(identify(conn, {}, { access, handshaking, reporter }), undefined);
    assertEquals([conn.life.closed, handshaking.size], [isAllowed?.() === false, 0]);
  }
});
