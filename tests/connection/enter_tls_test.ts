/** What becomes of a connection in its handshake, whoever does the work? @module */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { ByteReader } from "../../lib/connection/byte_reader.ts";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { enterTls, finishNativeTls, type TlsInfo } from "../../lib/connection/enter_tls.ts";
import { Lifeline } from "../../lib/connection/lifeline.ts";
import { TlsContexts } from "../../lib/tls/tls_contexts.ts";
import { completeTlsAlone } from "../../lib/tls/tls_options.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, socketPair } from "../support/peers.ts";
import { clientHello, goOverToTls } from "../support/tls_peers.ts";

const contexts = () =>
  new TlsContexts(completeTlsAlone("test", { ...certificate, alpnProtocols: ["x"] }, "the test"));

/** A connection in its handshake, and the plain socket of its client. */
interface Scene extends Disposable {
  readonly life: Lifeline;
  readonly client: Deno.TcpConn;
  /** Shakes hands. */
  enter(): Promise<TlsInfo>;
}

function scene(
  socket: Deno.Conn,
  client: Deno.TcpConn,
  enter: (life: Lifeline) => Promise<TlsInfo>,
): Scene {
  const life = new Lifeline(socket, new CoarseClock(false), Infinity);
  return { life, client, enter: () => enter(life), [Symbol.dispose]: () => life.close() };
}

/** Both ways into TLS. */
const WAYS: Record<string, () => Promise<Scene>> = {
  async enterTls() {
    const [socket, client] = await socketPair();
    return scene(socket, client, (life) => enterTls(life, new ByteReader(life), contexts()));
  },
  async finishNativeTls() {
    using listener = Deno.listenTls({ ...LOOPBACK, ...certificate, alpnProtocols: ["x"] });
    const addr = listener.addr as Deno.NetAddr;
    const [socket, client] = await Promise.all([listener.accept(), dial(addr)]);
    return scene(socket, client, finishNativeTls);
  },
};

for (const [name, make] of Object.entries(WAYS)) {
  netTest(`${name}() tells the protocol that was agreed on, and which route it is`, async () => {
    using it = await make();
    const client = Deno.startTls(it.client, {
      hostname: "localhost",
      caCerts: [ca.cert],
      alpnProtocols: ["x"],
    });
    const { route, alpnProtocol } = await it.enter();
    assertEquals([route, alpnProtocol], [name === "enterTls" ? "flexible" : "native", "x"]);
    assertEquals([it.life.reason, it.life.bytesRead, it.life.bytesWritten], [undefined, 0, 0]);
    (await client).close();
  });

  netTest(`${name}() tells no protocol where none was asked for`, async () => {
    using it = await make();
    const [info, client] = await Promise.all([it.enter(), goOverToTls(it.client)]);
    assertEquals("alpnProtocol" in info, false);
    client.close();
  });

  netTest(`${name}() ends the connection when the handshake fails, and says why`, async () => {
    using it = await make();
    await it.client.write(bytes`HELO localhost\r\n`);
    const error = await assertRejects(() => it.enter(), Deno.errors.InvalidData);
    assertEquals([it.life.closed, it.life.reason], [true, "handshake_failed"]);
    assertEquals(it.life.error, error);
    assert(Lifeline.produced(error), "a handler that rethrows it is not to blame");
    const [type, , , , , level] = await readAll(it.client);
    assertEquals([type, level], [21, 2], "a fatal alert");
  });

  netTest(`${name}() is told what else has ended the connection`, async () => {
    using it = await make();
    await it.client.write((await clientHello()).subarray(0, 20));
    const entering = it.enter();
    it.life.endHandshake();
    const error = await assertRejects(() => entering, DOMException, "'handshakeTimeout'");
    assertEquals([it.life.reason, it.life.error], ["handshake_timeout", error]);
    it.client.close();
  });

  netTest(`${name}() blames no handshake for a close() of our own`, async () => {
    using it = await make();
    const entering = it.enter();
    it.life.close();
    const error = await assertRejects(() => entering, Deno.errors.Interrupted);
    assertEquals([it.life.reason, it.life.error], [undefined, undefined]);
    assert(Lifeline.produced(error), "a handler that rethrows it is not to blame");
    it.client.close();
  });
}

netTest("enterTls() takes what was read before for the beginning of the handshake", async () => {
  const [socket, plain] = await socketPair();
  const life = new Lifeline(socket, new CoarseClock(false), Infinity);
  const reader = new ByteReader(life);
  const shaking = goOverToTls(plain);
  await reader.peek(100);
  const { route } = await enterTls(life, reader, contexts());
  const client = await shaking;
  // What the handler could read is what is counted.
  assertEquals([route, reader.length, life.bytesRead], ["flexible", 0, 0]);
  await client.write(bytes`hello`);
  assertEquals(await reader.readExactly(5), bytes`hello`);
  assertEquals(life.bytesRead, 5);
  client.close();
  life.close();
});
