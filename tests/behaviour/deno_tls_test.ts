/** A server works with a listener of `Deno.listenTls`. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type EndRecord, serve, type Server, type ServeSettings, type TlsInfo } from "../../mod.ts";
import { bytes } from "../support/bytes.ts";
import { renewed, server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK, readAll, readExactly } from "../support/peers.ts";
import { dialTls } from "../support/tls_peers.ts";
import { until } from "../support/wait.ts";

/** The records of a server with Deno's TLS. */
class Seen {
  readonly tls: (TlsInfo | undefined)[] = [];
  readonly ended: EndRecord[] = [];

  serve(settings: ServeSettings = {}): Server {
    const listener = Deno.listenTls({ ...LOOPBACK, ...certificate, alpnProtocols: ["x"] });
    const onEnd = (record: EndRecord) => void this.ended.push(record);
    return serve({ ...settings, listeners: [listener], onEnd }, async (conn) => {
      this.tls.push(conn.tls);
      for await (const chunk of conn) await conn.write(chunk);
    });
  }
}

netTest("a handshake of Deno's own TLS is complete before the handler runs", async () => {
  const seen = new Seen();
  const server = seen.serve();
  const client = await dialTls(server.addr as Deno.NetAddr, { alpnProtocols: ["x"] });
  await client.write(bytes`hello`);
  assertEquals(await readExactly(client, 5), bytes`hello`);
  await client.closeWrite();
  assertEquals(await readAll(client), new Uint8Array(0));
  await server.shutdown();
  assertEquals(seen.tls, [{ alpnProtocol: "x" }]);
  assertEquals(seen.ended.map(({ reason, bytesRead }) => [reason, bytesRead]), [["completed", 5]]);
});

netTest("a silent client of Deno's own TLS is ended by handshakeTimeout", async () => {
  using time = new FakeTime();
  const seen = new Seen();
  const server = seen.serve({ handshakeTimeout: 5000 });
  const client = await dial(server.addr as Deno.NetAddr);
  await until(() => server.stats().handshaking === 1);
  time.tick(4900);
  assertEquals([server.stats().handshaking, seen.ended.length], [1, 0]);
  time.tick(300);
  await until(() => seen.ended.length === 1);
  client.close();
  await server.shutdown();
  assertEquals([seen.ended[0]!.reason, seen.tls], ["handshake_timeout", []]);
});

netTest("a client that speaks no TLS to Deno's own reaches no handler", async () => {
  const seen = new Seen();
  const server = seen.serve();
  const client = await dial(server.addr as Deno.NetAddr);
  await client.write(bytes`GET / HTTP/1.1\r\n\r\n`);
  await until(() => seen.ended.length === 1);
  client.close();
  await server.shutdown();
  const [{ reason, error }] = seen.ended as [EndRecord];
  assertEquals([reason, seen.tls], ["handshake_failed", []]);
  assert(error instanceof Deno.errors.InvalidData, `${error}`);
});

netTest("a listener of Deno's own TLS has no certificate that could be replaced", async () => {
  await using server = new Seen().serve();
  assertThrows(() => server.reloadTls(renewed), TypeError, "Cannot reload TLS of a server that");
});
