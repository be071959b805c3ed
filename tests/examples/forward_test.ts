/** The next server gets the client's address. @module */

import { assertEquals } from "@std/assert";
import { forward } from "../../examples/forward.ts";
import { type Connection, connection, type Handler, type ProxyHeader, serve } from "../../mod.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK } from "../support/peers.ts";

/** All clients here. */
const proxyProtocol = { trust: ["127.0.0.1", "unix"] };

/** A server that expects a header, and the headers that came. */
class Backend implements AsyncDisposable {
  readonly headers: (ProxyHeader | undefined)[] = [];
  readonly server = serve({ ...LOOPBACK, proxyProtocol }, async (conn) => {
    this.headers.push(conn.proxy);
    for await (const chunk of conn) await conn.write(chunk);
  });

  /** The handler that forwards to it. */
  forward(version: ProxyHeader["version"]): Handler {
    const { hostname, port } = this.server.addr;
    return forward({ hostname, port }, version);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.shutdown();
  }
}

/** Sends something, reads the echo, and then the end. */
async function echo(client: Connection): Promise<void> {
  await client.write(bytes`hello`);
  await client.closeWrite();
  assertEquals(await client.readExactly(5), bytes`hello`);
  assertEquals(await client.readExactly(1), null);
}

for (const version of [1, 2] as const) {
  netTest(`forward() sends the client's address in version ${version}`, async () => {
    await using backend = new Backend();
    await using front = serve(LOOPBACK, backend.forward(version));
    await using client = connection(await dial(front.addr));
    await echo(client);
    const { localAddr: source, remoteAddr: destination } = client;
    assertEquals(backend.headers, [
      { version, command: "PROXY", source, destination } as ProxyHeader,
    ]);
  });
}

const TCP = {
  source: { transport: "tcp", hostname: "2001:db8::7", port: 4711 },
  destination: { transport: "tcp", hostname: "2001:db8::1", port: 443 },
} as const;

const UDP = {
  source: { transport: "udp", hostname: "192.0.2.7", port: 4711 },
  destination: { transport: "udp", hostname: "192.0.2.1", port: 443 },
} as const;

/** The header of a proxy before us, and the ones that are sent on in either version. */
const CHAINS: Record<string, { said: ProxyHeader; sent: [one: object, two: object] }> = {
  "a client": {
    said: { version: 1, command: "PROXY", ...TCP },
    sent: [{ command: "PROXY", ...TCP }, { command: "PROXY", ...TCP }],
  },
  "a client and TLVs": {
    said: { version: 2, command: "PROXY", ...TCP, tlvs: { authority: "example.com" } },
    sent: [
      { command: "PROXY", ...TCP },
      { command: "PROXY", ...TCP, tlvs: { authority: "example.com" } },
    ],
  },
  "a UDP client": {
    said: { version: 2, command: "PROXY", ...UDP },
    sent: [{ command: "PROXY" }, { command: "PROXY", ...UDP }],
  },
  "an unknown client": {
    said: { version: 1, command: "PROXY" },
    sent: [{ command: "PROXY" }, { command: "PROXY" }],
  },
  "the proxy itself": {
    said: { version: 2, command: "LOCAL" },
    sent: [{ command: "PROXY" }, { command: "LOCAL" }],
  },
};

for (const [what, { said, sent }] of Object.entries(CHAINS)) {
  netTest(`forward() passes on the header of a proxy before it: ${what}`, async () => {
    for (const [i, expected] of sent.entries()) {
      const version = i === 0 ? 1 : 2;
      await using backend = new Backend();
      await using front = serve({ ...LOOPBACK, proxyProtocol }, backend.forward(version));
      await using client = connection(await dial(front.addr));
      await client.write(encodeProxyHeader(said));
      await echo(client);
      assertEquals(backend.headers, [{ version, ...expected } as ProxyHeader]);
    }
  });
}

netTest(
  "forward() says to which Unix socket a client came, where that can be said",
  async () => {
    using place = new Directory();
    for (const [version, transport] of [[1, undefined], [2, "unix"]] as const) {
      await using backend = new Backend();
      const path = place.at("s");
      await using _front = serve({ path }, backend.forward(version));
      await using client = connection(await Deno.connect({ transport: "unix", path }));
      await echo(client);
      const [header] = backend.headers;
      assertEquals(header?.destination?.transport, transport);
      if (version === 2) assertEquals(header?.destination, { transport: "unix", path });
    }
  },
  { os: ["linux", "darwin"] },
);
