/** Is a connection shown as it is? @module */

import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { pair, scriptedListener } from "../../lib/testing/mod.ts";
import { CELLS, type Row, row } from "../../lib/watch/row.ts";
import { encodeProxyHeader, type ProxyTlvs } from "../../lib/wire/mod.ts";
import { serve } from "../../mod.ts";
import { Holding } from "../support/holding.ts";
import { server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { BEHIND } from "../support/balancer.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK, readExactly } from "../support/peers.ts";
import { turns, until } from "../support/wait.ts";

/** The only row of a server. */
function only(server: { connections: ReadonlySet<unknown> }): Row {
  assertEquals(server.connections.size, 1);
  return row([...server.connections][0] as Parameters<typeof row>[0]);
}

Deno.test("row() has every cell", async () => {
  const [client, socket] = pair();
  const server = serve({ listeners: [scriptedListener([socket])] }, (conn) => conn.readLine());
  await turns(1);
  const { age: _, ...cells } = only(server);
  assertEquals(cells, {
    id: 1,
    state: "reading",
    client: "tcp://192.0.2.2:40007",
    peer: "",
    idle: 0,
    received: 0,
    sent: 0,
    unsent: 0,
    tls: "",
    name: "",
  });
  assertEquals(Object.keys(only(server)), Object.keys(CELLS));
  client.close();
  await server.shutdown();
});

Deno.test("row() tells idle time, and begins anew when a byte comes", async () => {
  using time = new FakeTime();
  const [client, socket] = pair();
  const server = serve({ listeners: [scriptedListener([socket])] }, (conn) => conn.readLine());
  await time.tickAsync(5000);
  assertEquals(only(server).idle, 5000);
  await client.write(bytes`x`);
  await time.tickAsync(200);
  assertEquals([only(server).idle, only(server).received], [200, 1]);
  client.close();
  await server.shutdown({ timeout: 0 });
});

Deno.test("row() tells what a connection does", async () => {
  const [client, socket] = pair({ toFirst: { capacity: 1 } });
  const held = new Holding();
  const server = serve({ listeners: [scriptedListener([socket])] }, async (conn) => {
    await conn.readExactly(1);
    await held.handler(conn);
    await conn.write(bytes`ab`);
    await held.handler(conn);
  });
  server.pause();
  await turns(1);
  assertEquals(only(server).state, "waiting");
  server.resume();
  await turns(1);
  assertEquals(only(server).state, "reading");
  await client.write(bytes`x`);
  await until(() => held.served === 1);
  assertEquals(only(server).state, "working");
  held.letGo();
  await turns(1);
  assertEquals([only(server).state, only(server).unsent], ["writing", 1]);
  await client.read(new Uint8Array(1));
  await client.read(new Uint8Array(1));
  await until(() => held.served === 2);
  assertEquals([only(server).state, only(server).sent], ["working", 2]);
  held.letGo();
  await turns(1);
  assertEquals(only(server).state, "closing");
  client.close();
  await server.shutdown();
});

netTest("row() tells handshakes, and what TLS has settled", async () => {
  const { cert, key } = certificate;
  const tls = { route: "flexible" } as const;
  await using server = serve(
    { ...LOOPBACK, cert, key, tls },
    (conn) => conn.readLine(),
  );
  const client = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  assertEquals([only(server).state, only(server).tls], ["handshaking", ""]);
  client.close();
  await until(() => server.connections.size === 0);
});

netTest(
  "row() shows client and balancer, and what the balancer says, on one line each",
  async () => {
    const tlvs: ProxyTlvs = { authority: "<script>alert(1)</script>\r\nX: y\u202e" };
    await using server = serve({ ...LOOPBACK, ...BEHIND }, async (conn) => {
      await conn.write(bytes`.`);
      await conn.readLine();
    });
    const client = await dial(server.addr);
    const source = { transport: "tcp", hostname: "2001:db8::7", port: 4711 } as const;
    const destination = { transport: "tcp", hostname: "2001:db8::1", port: 443 } as const;
    await client.write(
      encodeProxyHeader({ version: 2, command: "PROXY", source, destination, tlvs }),
    );
    await readExactly(client, 1);
    const { client: shown, peer, name } = only(server);
    assertEquals(shown, "tcp://[2001:db8::7]:4711");
    assertEquals(peer, `tcp://127.0.0.1:${(client.localAddr as Deno.NetAddr).port}`);
    assertEquals(name, "<script>alert(1)</script>\\u000d\\u000aX: y\u202e");
    client.close();
  },
);

Deno.test("row() prefers what is sure to what is only said", () => {
  const about = (facts: unknown) => {
    const conn = facts as Parameters<typeof CELLS.name>[0];
    return [CELLS.tls(conn), CELLS.name(conn)];
  };
  const ssl = { ssl: true, version: "TLSv1.2", commonName: "ada" };
  assertEquals(about({}), ["", ""]);
  assertEquals(about({ tls: { route: "native" } }), ["TLS", ""]);
  assertEquals(about({ proxy: { tlvs: { ssl } } }), ["TLSv1.2", "ada"]);
  assertEquals(about({ proxy: { tlvs: { ssl: { ssl: true }, authority: "a.example" } } }), [
    "TLS",
    "a.example",
  ]);
  const tls = { route: "flexible", version: "TLSv1.3", serverName: "b.example" };
  assertEquals(about({ tls, proxy: { tlvs: { ssl } } }), ["TLSv1.3", "b.example"]);
});
