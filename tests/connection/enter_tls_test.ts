/** Tests what becomes of a connection in its TLS handshake, usher's or Deno's own. @module */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ByteReader } from "../../lib/connection/byte_reader.ts";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { enterTls } from "../../lib/connection/enter_tls.ts";
import { Rooms } from "../../lib/connection/rooms.ts";
import { Lifeline } from "../../lib/connection/lifeline.ts";
import { DEFAULT_LIMITS } from "../../lib/connection/limits.ts";
import { TlsContexts } from "../../lib/tls/tls_contexts.ts";
import { completeTlsAlone } from "../../lib/tls/tls_options.ts";
import type { TlsInfo } from "../../lib/tls/handshake.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, socketPair } from "../support/peers.ts";
import { clientHello, goOverToTls } from "../support/tls_peers.ts";

const contexts = () =>
  new TlsContexts("test", completeTlsAlone("test", { ...certificate, alpnProtocols: ["x"] }));

/** A connection in its handshake, and the plain socket of its client. */
interface Scene extends Disposable {
  readonly life: Lifeline;
  readonly client: Deno.TcpConn;
  /** Shakes hands. */
  enter(): Promise<TlsInfo>;
}

function scene(socket: Deno.Conn, client: Deno.TcpConn, own?: TlsContexts): Scene {
  const life = new Lifeline(socket, new CoarseClock(false), DEFAULT_LIMITS);
  return {
    life,
    client,
    enter: () => enterTls(life, new ByteReader(life, new Rooms()), own),
    [Symbol.dispose]: () => life.close(),
  };
}

/** Both ways into TLS. */
const WAYS: Record<string, () => Promise<Scene>> = {
  async "usher's TLS"() {
    const [socket, client] = await socketPair();
    return scene(socket, client, contexts());
  },
  async "Deno's TLS"() {
    using listener = Deno.listenTls({ ...LOOPBACK, ...certificate, alpnProtocols: ["x"] });
    const addr = listener.addr as Deno.NetAddr;
    const [socket, client] = await Promise.all([listener.accept(), dial(addr)]);
    return scene(socket, client);
  },
};

for (const [name, make] of Object.entries(WAYS)) {
  netTest(`enterTls() reports the negotiated protocol of ${name}`, async () => {
    using it = await make();
    const client = Deno.startTls(it.client, {
      hostname: "localhost",
      caCerts: [ca.cert],
      alpnProtocols: ["x"],
    });
    const { alpnProtocol, version } = await it.enter();
    const isOurs = name === "usher's TLS";
    assertEquals([alpnProtocol, version], ["x", isOurs ? "TLSv1.3" : undefined]);
    assertEquals([it.life.reason, it.life.bytesRead, it.life.bytesWritten], [undefined, 0, 0]);
    (await client).close();
  });

  netTest(`enterTls() reports no protocol of ${name} where the client offers none`, async () => {
    using it = await make();
    const [info, client] = await Promise.all([it.enter(), goOverToTls(it.client)]);
    assertEquals("alpnProtocol" in info, false);
    client.close();
  });

  netTest(`enterTls() ends the connection when a handshake of ${name} fails`, async () => {
    using it = await make();
    await it.client.write(bytes`HELO localhost\r\n`);
    const error = await assertRejects(() => it.enter(), Deno.errors.InvalidData);
    assertEquals([it.life.closed, it.life.reason], [true, "handshake_failed"]);
    assertEquals(it.life.error, error);
    assert(Lifeline.produced(error), "a handler that rethrows it is not to blame");
    const [type, , , , , level] = await readAll(it.client);
    assertEquals([type, level], [21, 2], "a fatal alert");
  });

  netTest(`enterTls() rejects with what else has ended a connection of ${name}`, async () => {
    using it = await make();
    await it.client.write((await clientHello()).subarray(0, 20));
    const entering = it.enter();
    it.life.endHandshake();
    const error = await assertRejects(() => entering, DOMException, "'handshakeTimeout'");
    assertEquals([it.life.reason, it.life.error], ["handshake_timeout", error]);
    it.client.close();
  });

  netTest(`enterTls() blames no handshake of ${name} for a close() of our own`, async () => {
    using it = await make();
    const entering = it.enter();
    it.life.close();
    const error = await assertRejects(() => entering, Deno.errors.Interrupted);
    assertEquals([it.life.reason, it.life.error], [undefined, undefined]);
    assert(Lifeline.produced(error), "a handler that rethrows it is not to blame");
    it.client.close();
  });
}

netTest("enterTls() takes what was read before as the beginning of the handshake", async () => {
  const [socket, plain] = await socketPair();
  const life = new Lifeline(socket, new CoarseClock(false), DEFAULT_LIMITS);
  const reader = new ByteReader(life, new Rooms());
  const shaking = goOverToTls(plain);
  await reader.peek(100);
  await enterTls(life, reader, contexts());
  const client = await shaking;
  assertEquals(reader.length, 0);
  await client.write(bytes`hello`);
  assertEquals(await reader.readExactly(5), bytes`hello`);
  client.close();
  life.close();
});
