/** A stream that is given up loses no byte and leaves no read pending, over every kind of socket. @module */

import { assertEquals, assertRejects } from "@std/assert";
import { pair } from "../../lib/testing/pair.ts";
import { type Connection, connection, serve } from "../../mod.ts";
import { bytes, text } from "../support/bytes.ts";
import { server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { dial, LOOPBACK, socketPair } from "../support/peers.ts";
import { dialTls } from "../support/tls_peers.ts";
import { turns } from "../support/wait.ts";

type Use = (conn: Connection, peer: Deno.Conn) => Promise<void>;

/** A connection and its peer, over each kind of socket. */
const OVER: Record<string, (use: Use) => Promise<void>> = {
  async "TCP"(use) {
    const [socket, peer] = await socketPair();
    using conn = connection(socket);
    await use(conn, peer);
    peer.close();
  },
  async "TLS"(use) {
    const { promise, resolve } = Promise.withResolvers<Connection>();
    const done = Promise.withResolvers<void>();
    await using server = serve({ ...LOOPBACK, ...certificate }, async (conn) => {
      resolve(conn);
      await done.promise;
    });
    using peer = await dialTls(server.addr);
    await use(await promise, peer);
    done.resolve();
  },
  async "memory"(use) {
    const [peer, socket] = pair();
    using conn = connection(socket);
    await use(conn, peer);
    peer.close();
  },
};

/** Begins to read the stream and gives up, the read still pending. */
const GIVEN_UP: Record<string, (conn: Connection) => Promise<void>> = {
  async "its reader cancels"({ readable }) {
    const reader = readable.getReader();
    const reading = reader.read();
    await turns();
    await reader.cancel();
    assertEquals((await reading).done, true);
  },
  async "its reader with a buffer of its own cancels"({ readable }) {
    const reader = readable.getReader({ mode: "byob" });
    const reading = reader.read(new Uint8Array(100));
    await turns();
    await reader.cancel();
    assertEquals((await reading).done, true);
  },
  async "the pipe is aborted"({ readable }) {
    const controller = new AbortController();
    const { signal } = controller;
    const piping = readable.pipeTo(new WritableStream(), { signal });
    await turns();
    controller.abort();
    await assertRejects(() => piping, DOMException);
  },
  async "the destination fails"({ readable }) {
    let destination: WritableStreamDefaultController;
    const piping = readable.pipeTo(
      new WritableStream({
        start(controller) {
          destination = controller;
        },
      }),
    );
    await turns();
    destination!.error(new RangeError("full"));
    await assertRejects(() => piping, RangeError, "full");
  },
};

for (const [kind, over] of Object.entries(OVER)) {
  for (const [way, giveUp] of Object.entries(GIVEN_UP)) {
    netTest(
      `no byte is lost and no read is pending when ${way}, over ${kind}`,
      () =>
        over(async (conn, peer) => {
          await giveUp(conn);
          const line = conn.readLine({ timeout: 60_000 });
          await peer.write(bytes`hello\n`);
          assertEquals(await line, "hello");
          await peer.write(bytes`again\nand again\n`);
          assertEquals(await conn.readLine(), "again");
          assertEquals(await conn.readLine(), "and again");
        }),
    );
  }
}

netTest("what came before a stream was given up is read in other ways, in order", async () => {
  const [socket, client] = await socketPair();
  using conn = connection(socket);
  using _client = client;
  const reader = conn.readable.getReader();
  await client.write(bytes`one`);
  assertEquals(text((await reader.read()).value!), "one");
  const reading = reader.read();
  await turns();
  const cancelling = reader.cancel();
  await client.write(bytes`two\n`); // on its way while the read gives up
  await cancelling;
  await reading;
  assertEquals(await conn.readLine(), "two");
});

netTest(
  "cancelling a stream that reads nothing leaves another read of the connection alone",
  async () => {
    await using server = serve(LOOPBACK, async (conn) => {
      const line = conn.readLine();
      await conn.readable.cancel();
      await conn.write(bytes`${await line ?? ""}!`);
    });
    using client = await dial(server.addr);
    await turns();
    await client.write(bytes`hello\n`);
    const p = new Uint8Array(10);
    assertEquals(text(p.subarray(0, await client.read(p) ?? 0)), "hello!");
  },
);
