/**
 * TLS over an open socket says the truth, whatever the peer does, and costs no more than asked.
 *
 * @module
 */

import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import fc from "fast-check";
import { connect as connectPlain } from "node:net";
import { type ConnectionOptions, createSecureContext } from "node:tls";
import type { TlsSide } from "../../lib/tls/handshake.ts";
import { TlsSocket } from "../../lib/tls/tls_socket.ts";
import { TlsContexts } from "../../lib/tls/tls_contexts.ts";
import type { HandshakeOptions } from "../../lib/tls/tls_contexts.ts";
import { completeTlsAlone, type TlsListenOptions } from "../../lib/tls/tls_options.ts";
import { ca, client as clientPair, server, stranger } from "../support/certificates.ts";
import { catchFrom } from "../support/caught.ts";
import { netTest } from "../support/needs.ts";
import { assertReadsPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import { LOOPBACK, readAll, readExactly, socketPair, writeAll } from "../support/peers.ts";
import { turn, turns } from "../support/wait.ts";
import { clientHello, CrudeClient } from "../support/tls_peers.ts";
import { unhandledDuring } from "../support/unhandled.ts";

const NOTHING = new Uint8Array(0);

/** What a handshake takes, from what a user gives. */
function handshakeOptions(options: Partial<TlsListenOptions> = {}): HandshakeOptions {
  const complete = completeTlsAlone("test", { ...server, ...options });
  return new TlsContexts("test", complete).socketOptions();
}

/** A server that makes each handshake with these options. */
function sideOf(options: HandshakeOptions): TlsSide {
  return { isServer: true, socketOptions: () => options };
}

/** A Deno client that trusts our authority, in the middle of its handshake. */
interface Pair extends AsyncDisposable {
  readonly socket: TlsSocket;
  readonly client: Deno.TlsConn;
}

/** Both ends, the handshake complete. */
async function tlsPair(
  options: HandshakeOptions = handshakeOptions(),
  wrap: (raw: Deno.Conn) => Deno.Conn = (raw) => raw,
): Promise<Pair> {
  const [raw, plain] = await socketPair();
  const socket = new TlsSocket(wrap(raw), NOTHING, sideOf(options));
  const client = await Deno.startTls(plain, { hostname: "localhost", caCerts: [ca.cert] });
  await Promise.all([socket.handshake(), client.handshake()]);
  return {
    socket,
    client,
    [Symbol.asyncDispose]() {
      socket[Symbol.dispose]();
      client[Symbol.dispose]();
      return Promise.resolve();
    },
  };
}

/** A server end and its node:tls client; the handshake is the test's. */
async function withNodeClient(
  options: HandshakeOptions,
  clientOptions: ConnectionOptions,
  run: (socket: TlsSocket, client: CrudeClient) => Promise<void>,
): Promise<void> {
  using listener = Deno.listen(LOOPBACK);
  await using client = new CrudeClient(listener.addr, clientOptions);
  using socket = new TlsSocket(await listener.accept(), NOTHING, sideOf(options));
  await run(socket, client);
}

/** A socket over another, of which a test changes what it must. */
class Through implements Deno.Conn {
  readonly inner: Deno.Conn;
  constructor(inner: Deno.Conn) {
    this.inner = inner;
  }
  get localAddr(): Deno.Addr {
    return this.inner.localAddr;
  }
  get remoteAddr(): Deno.Addr {
    return this.inner.remoteAddr;
  }
  get readable() {
    return this.inner.readable;
  }
  get writable() {
    return this.inner.writable;
  }
  read(p: Uint8Array): Promise<number | null> {
    return this.inner.read(p);
  }
  write(p: Uint8Array): Promise<number> {
    return this.inner.write(p);
  }
  closeWrite(): Promise<void> {
    return this.inner.closeWrite();
  }
  ref(): void {
    this.inner.ref();
  }
  unref(): void {
    this.inner.unref();
  }
  close(): void {
    this.inner.close();
  }
  [Symbol.dispose](): void {
    this.inner[Symbol.dispose]();
  }
}

/** Gives and takes a set number of bytes at a time. */
class Crumbs extends Through {
  readonly #size: () => number;
  constructor(inner: Deno.Conn, size: () => number) {
    super(inner);
    this.#size = size;
  }
  override read(p: Uint8Array): Promise<number | null> {
    return super.read(p.subarray(0, this.#size()));
  }
  override write(p: Uint8Array): Promise<number> {
    return super.write(p.subarray(0, this.#size()));
  }
}

/** Counts what is read, and waits before each read until it may. */
class Gated extends Through {
  reads = 0;
  bytesRead = 0;
  gate: Promise<void> = Promise.resolve();
  override async read(p: Uint8Array): Promise<number | null> {
    this.reads++;
    await this.gate;
    const n = await super.read(p);
    this.bytesRead += n ?? 0;
    return n;
  }
}

async function echoAll(socket: TlsSocket): Promise<void> {
  const p = new Uint8Array(65536);
  for (let n; (n = await socket.read(p)) !== null;) await writeAll(socket, p.subarray(0, n));
  await socket.closeWrite();
}

netTest("handshake() resolves with what was negotiated", async () => {
  await withNodeClient(
    handshakeOptions({ alpnProtocols: ["one", "two"] }),
    { ALPNProtocols: ["two", "three"] },
    async (socket, client) => {
      const info = await socket.handshake();
      assertEquals(await client.secured, null);
      assertEquals(info, {
        serverName: "localhost",
        alpnProtocol: "two",
        version: "TLSv1.3",
        cipher: "TLS_AES_256_GCM_SHA384",
      });
      assertEquals(await socket.handshake(), info);
    },
  );
});

netTest("handshake() speaks TLS 1.2 with a client that knows nothing newer", async () => {
  await withNodeClient(handshakeOptions(), { maxVersion: "TLSv1.2" }, async (socket, client) => {
    const { version, cipher } = await socket.handshake();
    assertEquals(await client.secured, null);
    assertEquals([version, cipher], ["TLSv1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"]);
    client.tls.write("hello");
    assertEquals(text(await readExactly(socket, 5)), "hello");
    await socket.closeWrite();
    client.tls.end();
    assertEquals(await socket.read(new Uint8Array(1)), null);
  });
});

netTest("handshake() reports a client's certificate, and whether it is valid", async () => {
  const options = handshakeOptions({
    tls: { clientCa: ca.cert, clientCertificate: "requested" },
  });
  const seen: unknown[] = [];
  for (const shown of [clientPair, stranger, undefined]) {
    await withNodeClient(options, { ...shown }, async (socket) => {
      const { peerCertificate, authorized, authorizationError } = await socket.handshake();
      seen.push([peerCertificate?.subject.CN, authorized, typeof authorizationError]);
    });
  }
  assertEquals(seen, [
    ["client1", true, "undefined"],
    ["stranger", false, "string"],
    [undefined, false, "string"],
  ]);
});

netTest("read() and write() do the handshake themselves", async () => {
  const [raw, plain] = await socketPair();
  using socket = new TlsSocket(raw, NOTHING, sideOf(handshakeOptions()));
  using client = await Deno.startTls(plain, { hostname: "localhost", caCerts: [ca.cert] });
  const reading = readExactly(client, 5);
  await writeAll(socket, bytes`hello`);
  assertEquals(text(await reading), "hello");
});

netTest("read() fills as much as there is room for and keeps the rest", async () => {
  await using pair = await tlsPair();
  const { socket, client } = pair;
  await client.write(bytes`hello`);
  const p = new Uint8Array(3);
  assertEquals(await socket.read(NOTHING), 0);
  assertEquals([await socket.read(p), text(p)], [3, "hel"]);
  assertEquals([await socket.read(p), text(p.subarray(0, 2))], [2, "lo"]);
});

netTest(
  "read() gives null at a clean end, again and again, and the other way goes on",
  async () => {
    await using pair = await tlsPair();
    const { socket, client } = pair;
    await client.closeWrite();
    const p = new Uint8Array(8);
    assertEquals([await socket.read(p), await socket.read(p)], [null, null]);
    await writeAll(socket, bytes`still here`);
    assertEquals(text(await readExactly(client, 10)), "still here");
    await socket.closeWrite();
    await socket.closeWrite();
    assertEquals(await client.read(p), null);
  },
);

netTest("a second read() while one is pending is refused", async () => {
  await using pair = await tlsPair();
  const first = pair.socket.read(new Uint8Array(5));
  await assertRejects(() => pair.socket.read(new Uint8Array(5)), Deno.errors.Busy);
  await pair.client.write(bytes`hello`);
  assertEquals(await first, 5);
});

netTest("a peer that has said its last gets everything that is still to come", async () => {
  await using pair = await tlsPair();
  const { socket, client } = pair;
  const sent = pattern(0, 200_000);
  const echoing = echoAll(socket);
  await Promise.all([
    writeAll(client, sent).then(() => client.closeWrite()),
    assertReadsPattern(client, sent.length),
    echoing,
  ]);
});

netTest("streams of megabytes come through both ways at once", async () => {
  await using pair = await tlsPair();
  const { socket, client } = pair;
  const sent = pattern(0, 4_000_003);
  await Promise.all([
    writeAll(client, sent).then(() => client.closeWrite()),
    writeAll(socket, sent).then(() => socket.closeWrite()),
    assertReadsPattern(client, sent.length),
    assertReadsPattern(socket, sent.length, 100_000),
  ]);
});

netTest("a FIN that TLS knows nothing of is an error, each time", async () => {
  await withNodeClient(handshakeOptions(), {}, async (socket, client) => {
    await socket.handshake();
    assertEquals(await client.secured, null);
    client.tls.write("hello", () => client.plain.end());
    const p = new Uint8Array(8);
    assertEquals(await socket.read(p), 5);
    await assertRejects(() => socket.read(p), Deno.errors.UnexpectedEof, "close_notify");
    await assertRejects(() => socket.read(p), Deno.errors.UnexpectedEof, "close_notify");
  });
});

netTest("a reset is Deno's own error, in reads and in writes", async () => {
  await withNodeClient(handshakeOptions(), {}, async (socket, client) => {
    await socket.handshake();
    assertEquals(await client.secured, null);
    const reading = catchFrom(() => socket.read(new Uint8Array(8)));
    client.plain.resetAndDestroy();
    const { kind, code } = await reading;
    assertEquals([kind, code], ["ConnectionReset", "ECONNRESET"]);
    assertEquals((await catchFrom(() => socket.read(new Uint8Array(8)))).kind, "ConnectionReset");
    const { kind: written } = await catchFrom(() => socket.write(bytes`hello`));
    assert(["BrokenPipe", "ConnectionReset"].includes(written), written);
    assertEquals((await catchFrom(() => socket.write(bytes`hello`))).kind, written);
    await socket.closeWrite();
  });
});

netTest(
  "bytes that are no TLS in mid-stream are an error, and the peer gets an alert",
  async () => {
    await withNodeClient(handshakeOptions(), {}, async (socket, client) => {
      await socket.handshake();
      assertEquals(await client.secured, null);
      const alerted = new Promise((resolve) => client.tls.once("error", resolve));
      client.plain.write("GET / HTTP/1.1\r\n\r\n");
      await assertRejects(() => socket.read(new Uint8Array(8)), Deno.errors.InvalidData, "corrupt");
      await assertRejects(() => socket.read(new Uint8Array(8)), Deno.errors.InvalidData, "corrupt");
      assertStringIncludes(String(await alerted), "fatal alert");
    });
  },
);

netTest("bytes that are no TLS fail the read at once, though the peer takes no alert", async () => {
  class Stuck extends Through {
    stuck = false;
    override read(p: Uint8Array): Promise<number | null> {
      if (!this.stuck) return super.read(p);
      p.set(bytes`GET / HTTP/1.1\r\n\r\n`);
      return Promise.resolve(18);
    }
    override write(p: Uint8Array): Promise<number> {
      return this.stuck ? new Promise(() => {}) : super.write(p);
    }
  }
  let raw!: Stuck;
  await using pair = await tlsPair(handshakeOptions(), (inner) => raw = new Stuck(inner));
  raw.stuck = true;
  pair.socket.write(bytes`hello`);
  await assertRejects(() => pair.socket.read(new Uint8Array(8)), Deno.errors.InvalidData);
});

netTest("a write of what is no bytes is a TypeError, and nothing has happened", async () => {
  await using pair = await tlsPair();
  const { socket, client } = pair;
  await assertRejects(() => socket.write("hello" as unknown as Uint8Array), TypeError);
  await writeAll(socket, bytes`hello`);
  assertEquals(text(await readExactly(client, 5)), "hello");
});

netTest("close() ends what is pending, and everything after it is refused", async () => {
  await using pair = await tlsPair();
  const { socket } = pair;
  const reading = catchFrom(() => socket.read(new Uint8Array(8)));
  const writing = catchFrom(async () => {
    for (;;) await socket.write(new Uint8Array(65536));
  });
  await turns(50);
  socket.close();
  assertEquals((await reading).kind, "Interrupted");
  assertEquals((await writing).kind, "Interrupted");
  for (
    const use of [
      () => socket.read(new Uint8Array(1)),
      () => socket.write(new Uint8Array(1)),
      () => socket.closeWrite(),
      () => socket.close(),
    ]
  ) assertEquals((await catchFrom(use)).kind, "BadResource");
  socket[Symbol.dispose]();
});

netTest("close() ends a handshake that hangs", async () => {
  const [raw, plain] = await socketPair();
  using _plain = plain;
  const socket = new TlsSocket(raw, NOTHING, sideOf(handshakeOptions()));
  const shaking = catchFrom(() => socket.handshake());
  await turns();
  socket.close();
  assertEquals((await shaking).kind, "Interrupted");
  assertEquals((await catchFrom(() => socket.handshake())).kind, "Interrupted");
  const unused = new TlsSocket(
    await socketPair().then(([a, b]) => (b.close(), a)),
    NOTHING,
    sideOf({}),
  );
  unused.close();
  assertEquals((await catchFrom(() => unused.handshake())).kind, "BadResource");
});

netTest("close() without closeWrite() looks cut off to the peer, with it complete", async () => {
  for (const polite of [true, false]) {
    await using pair = await tlsPair();
    const { socket, client } = pair;
    await writeAll(socket, bytes`hello`);
    if (polite) await socket.closeWrite();
    socket.close();
    if (polite) assertEquals(text(await readAll(client)), "hello");
    else await assertRejects(() => readAll(client), Deno.errors.UnexpectedEof);
  }
});

netTest("write() stays pending while the peer does not read", async () => {
  await using pair = await tlsPair();
  const { socket } = pair;
  let written = 0;
  const writing = catchFrom(async () => {
    for (const p = new Uint8Array(1 << 20); written < 64 << 20;) written += await socket.write(p);
  });
  for (let before = -1; before !== written;) {
    before = written;
    await turns(200);
  }
  assert(written < 16 << 20, `${written} bytes went into nowhere`);
  socket.close();
  assertEquals((await writing).kind, "Interrupted");
});

netTest("write() in bytes of many calls goes out in the order of the calls", async () => {
  await using pair = await tlsPair();
  const { socket, client } = pair;
  const parts = Array.from({ length: 20 }, (_, i) => pattern(i * 1000, 1000));
  await Promise.all([
    ...parts.map((part) => socket.write(part)),
    socket.closeWrite(),
    assertReadsPattern(client, 20_000),
  ]);
  await assertRejects(() => socket.write(bytes`late`), Deno.errors.BrokenPipe);
});

netTest(
  "write() of a record goes out whole before the next, however little is taken at once",
  async () => {
    await using pair = await tlsPair(handshakeOptions(), (raw) => new Crumbs(raw, () => 7));
    const { socket, client } = pair;
    const parts = Array.from({ length: 20 }, (_, i) => pattern(i * 100, 100));
    await Promise.all([
      ...parts.map((part) => socket.write(part)),
      socket.closeWrite(),
      assertReadsPattern(client, 2000),
    ]);
  },
);

netTest("a write that failed is the last: the peer may have a part of it", async () => {
  class Failing extends Through {
    readonly error = new Deno.errors.NetworkUnreachable("for once");
    failures = 0;
    override write(p: Uint8Array): Promise<number> {
      return this.failures-- > 0 ? Promise.reject(this.error) : super.write(p);
    }
  }
  let raw!: Failing;
  await using pair = await tlsPair(handshakeOptions(), (inner) => raw = new Failing(inner));
  raw.failures = 1;
  const { socket } = pair;
  for (const use of [() => socket.write(bytes`a`), () => socket.write(bytes`b`)]) {
    assertEquals(await use().catch((error) => error), raw.error);
  }
  await assertRejects(() => socket.closeWrite(), Deno.errors.NetworkUnreachable);
});

netTest("closeWrite() is a FIN as well, once", async () => {
  class Finished extends Through {
    fins = 0;
    override closeWrite(): Promise<void> {
      this.fins++;
      return super.closeWrite();
    }
  }
  let raw!: Finished;
  await using pair = await tlsPair(handshakeOptions(), (inner) => raw = new Finished(inner));
  await pair.socket.closeWrite();
  await pair.socket.closeWrite();
  assertEquals(raw.fins, 1);
});

netTest("read() waits in little memory, and takes more at a time of a stream", async () => {
  class Rooms extends Through {
    readonly sizes: number[] = [];
    override read(p: Uint8Array): Promise<number | null> {
      this.sizes.push(p.length);
      return super.read(p);
    }
  }
  let raw!: Rooms;
  await using pair = await tlsPair(handshakeOptions(), (inner) => raw = new Rooms(inner));
  const { socket, client } = pair;
  const most = Math.max(...raw.sizes);
  const sent = pattern(0, 1_000_000);
  await Promise.all([writeAll(client, sent), readExactly(socket, sent.length)]);
  assertEquals([most, Math.max(...raw.sizes)], [2048, 65_536]);
  for (let i = 0; i < 3; i++) {
    await client.write(bytes`a`);
    await readExactly(socket, 1);
  }
  assertEquals(raw.sizes.at(-1), 2048);
});

netTest(
  "the memory of ciphertext is free once all of it was sent, and not before",
  async () => {
    class Slow extends Through {
      readonly written: Uint8Array[] = [];
      override write(p: Uint8Array): Promise<number> {
        this.written.push(p);
        return super.write(p.subarray(0, 10_000));
      }
    }
    let raw!: Slow;
    await using pair = await tlsPair(handshakeOptions(), (inner) => raw = new Slow(inner));
    const { socket, client } = pair;
    raw.written.length = 0;
    const reading = assertReadsPattern(client, 40_000);
    assertEquals(await socket.write(pattern(0, 40_000)), 40_000);
    assertEquals(raw.written.map((p) => p.buffer.byteLength), [0, 0, 0, 0, 0]);
    await socket.closeWrite();
    await reading;
  },
);

netTest("a peer that keeps sending while nothing reads fills the kernel and not us", async () => {
  let raw!: Gated;
  await using pair = await tlsPair(handshakeOptions(), (inner) => raw = new Gated(inner));
  const { socket, client } = pair;
  const reads = raw.reads;
  let pushed = 0;
  const pushing = catchFrom(async () => {
    for (const p = new Uint8Array(1 << 20); pushed < 200 << 20;) pushed += await client.write(p);
  });
  for (let before = -1; before !== pushed;) {
    before = pushed;
    await turns(200);
  }
  assert(pushed < 16 << 20, `${pushed} bytes were taken`);
  assertEquals(raw.reads, reads);
  // One byte is asked for: no more is read for it than one read of the socket brings.
  const { bytesRead } = raw;
  assertEquals(await socket.read(new Uint8Array(1)), 1);
  assert(raw.bytesRead - bytesRead < 100_000, `${raw.bytesRead - bytesRead} bytes were read`);
  socket.close();
  client.close();
  await pushing;
});

netTest(
  "a client that speaks no TLS gets an alert, with or without names to choose from",
  async () => {
    const named = handshakeOptions({ tls: { serverNames: { "a.test": server } } });
    for (const options of [handshakeOptions(), named]) {
      const [raw, plain] = await socketPair();
      using socket = new TlsSocket(raw, NOTHING, sideOf(options));
      await plain.write(bytes`GET / HTTP/1.1\r\nHost: localhost\r\n\r\n`);
      await assertRejects(() => socket.handshake(), Deno.errors.InvalidData, "byte 71");
      await assertRejects(() => socket.read(new Uint8Array(1)), Deno.errors.InvalidData);
      await assertRejects(() => socket.write(new Uint8Array(1)), Deno.errors.InvalidData);
      socket.close();
      const [type, , , , , level] = await readAll(plain);
      assertEquals([type, level], [21, 2], "a fatal alert");
    }
  },
);

netTest("without a protocol in common the client gets an alert", async () => {
  const named = { serverNames: { "localhost": server } };
  for (const tls of [undefined, named]) {
    const options = handshakeOptions({ alpnProtocols: ["one"], ...(tls && { tls }) });
    await withNodeClient(options, { ALPNProtocols: ["two"] }, async (socket, client) => {
      await assertRejects(() => socket.handshake(), Deno.errors.InvalidData, "known protocol");
      socket.close();
      assertStringIncludes(String(await client.secured), "NoApplicationProtocol");
    });
  }
});

netTest("without a version in common the client gets an alert", async () => {
  const secureContext = createSecureContext({ ...server, minVersion: "TLSv1.3" });
  const options = { ...handshakeOptions(), secureContext };
  await withNodeClient(options, { maxVersion: "TLSv1.2" }, async (socket, client) => {
    await assertRejects(() => socket.handshake(), Deno.errors.InvalidData);
    socket.close();
    assertStringIncludes(String(await client.secured), "ProtocolVersion");
  });
});

netTest("a client without a required certificate, or with a wrong one, is refused", async () => {
  const options = handshakeOptions({ tls: { clientCa: ca.cert, clientCertificate: "required" } });
  for (const shown of [undefined, stranger]) {
    await withNodeClient(options, { ...shown }, async (socket, client) => {
      const { promise: failure, resolve } = Promise.withResolvers<unknown>();
      client.tls.once("error", resolve).once("close", resolve);
      client.tls.write("let me in");
      await assertRejects(() => socket.handshake(), Deno.errors.InvalidData);
      await assertRejects(() => socket.read(new Uint8Array(9)), Deno.errors.InvalidData);
      socket.close();
      if (shown === undefined) assertStringIncludes(String(await failure), "CertificateRequired");
      else await failure;
    });
  }
});

netTest("a client that does not trust our certificate is understood", async () => {
  await withNodeClient(handshakeOptions(), { ca: stranger.cert }, async (socket, client) => {
    const outcome = await Promise.allSettled([socket.handshake(), client.secured]);
    assertEquals(outcome[1].status, "fulfilled");
  });
  const [raw, plain] = await socketPair();
  using socket = new TlsSocket(raw, NOTHING, sideOf(handshakeOptions()));
  const client = await Deno.startTls(plain, { hostname: "localhost" });
  const shaking = catchFrom(() => client.handshake());
  await assertRejects(() => socket.handshake(), Deno.errors.InvalidData, "UnknownCA");
  assertEquals((await shaking).kind, "InvalidData");
  client.close();
});

netTest(
  "a client that leaves in the handshake is UnexpectedEof, one that resets is a reset",
  async () => {
    const hello = await clientHello();
    for (const begun of [NOTHING, hello.subarray(0, 50), hello]) {
      const [raw, plain] = await socketPair();
      using socket = new TlsSocket(raw, NOTHING, sideOf(handshakeOptions()));
      if (begun.length > 0) await plain.write(begun);
      await plain.closeWrite();
      await assertRejects(() => socket.handshake(), Deno.errors.UnexpectedEof, "handshake");
      plain.close();
    }
    using listener = Deno.listen(LOOPBACK);
    const { promise: gone, resolve } = Promise.withResolvers<void>();
    const peer = connectPlain({ port: listener.addr.port, host: LOOPBACK.hostname }, () => {
      peer.write(hello.subarray(0, 50));
    });
    peer.on("error", () => {}).once("close", () => resolve());
    using socket = new TlsSocket(await listener.accept(), NOTHING, sideOf(handshakeOptions()));
    const shaking = catchFrom(() => socket.handshake());
    await turns();
    peer.resetAndDestroy();
    await gone;
    assertEquals((await shaking).kind, "ConnectionReset");
  },
);

netTest("bytes that were read before are the first that TLS sees", async () => {
  for (const count of [1, 100, 4096]) {
    const [raw, plain] = await socketPair();
    using client = await Deno.startTls(plain, { hostname: "localhost", caCerts: [ca.cert] });
    const shaking = client.handshake();
    const p = new Uint8Array(count);
    const n = await raw.read(p);
    using socket = new TlsSocket(raw, p.subarray(0, n!), sideOf(handshakeOptions()));
    await Promise.all([socket.handshake(), shaking]);
    await client.write(bytes`hello`);
    assertEquals(text(await readExactly(socket, 5)), "hello");
  }
});

netTest(
  "bytes that come together with the end of the handshake are the first to be read",
  async () => {
    const [inner, plain] = await socketPair();
    const raw = new Gated(inner);
    using socket = new TlsSocket(raw, NOTHING, sideOf(handshakeOptions()));
    using client = await Deno.startTls(plain, { hostname: "localhost", caCerts: [ca.cert] });
    const shaking = socket.handshake();
    await turn();
    const { promise, resolve } = Promise.withResolvers<void>();
    raw.gate = promise;
    // Sent by the kernel before the gate opens: the last message of the handshake, and two records.
    await client.handshake();
    await client.write(bytes`hel`);
    await client.write(bytes`lo`);
    await client.closeWrite();
    resolve();
    await shaking;
    const { reads } = raw;
    const p = new Uint8Array(8);
    assertEquals([await socket.read(p), text(p.subarray(0, 5))], [5, "hello"]);
    assertEquals(await socket.read(p), null);
    assertEquals(raw.reads, reads);
  },
);

netTest("records may come and go in crumbs of any size", async () => {
  const sizes = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(fc.oneof(sizes, fc.constant([1])), async (sizes) => {
      let i = 0;
      const size = () => sizes[i++ % sizes.length]!;
      await using pair = await tlsPair(handshakeOptions(), (raw) => new Crumbs(raw, size));
      const { socket, client } = pair;
      const sent = pattern(0, 3000);
      await Promise.all([
        writeAll(client, sent).then(() => client.closeWrite()),
        assertReadsPattern(client, sent.length),
        echoAll(socket),
      ]);
    }),
    { numRuns: 15 },
  );
});

netTest("the certificate may take its time, and nothing is read meanwhile", async () => {
  const { promise, resolve } = Promise.withResolvers<{ cert: string; key: string }>();
  const asked: string[] = [];
  const options = handshakeOptions({
    tls: {
      serverNames: (name) => {
        asked.push(name);
        return promise;
      },
    },
  });
  const [inner, plain] = await socketPair();
  const raw = new Gated(inner);
  using socket = new TlsSocket(raw, NOTHING, sideOf(options));
  using client = await Deno.startTls(plain, { hostname: "localhost", caCerts: [ca.cert] });
  const shaking = [socket.handshake(), client.handshake()];
  while (asked.length === 0) await turn();
  await turns();
  assertEquals(raw.reads, 1);
  resolve(server);
  await Promise.all(shaking);
  assertEquals(asked, ["localhost"]);
});

netTest(
  "a failure to choose a certificate is passed on unchanged, and not to the client",
  async () => {
    const options = handshakeOptions({
      tls: {
        serverNames: () => {
          throw new TypeError("no such file");
        },
      },
    });
    const throwing = { ...options, SNICallback: () => void JSON.parse("{") };
    for (const [given, fault] of [[options, TypeError], [throwing, SyntaxError]] as const) {
      await withNodeClient(given, {}, async (socket, client) => {
        await assertRejects(() => socket.handshake(), fault);
        socket.close();
        assertStringIncludes(String(await client.secured), "fatal alert");
      });
    }
  },
);

netTest("close() while a certificate is being chosen ends the handshake", async () => {
  const asked = Promise.withResolvers<void>();
  const options = handshakeOptions({
    tls: { serverNames: () => (asked.resolve(), new Promise<never>(() => {})) },
  });
  const [raw, plain] = await socketPair();
  const socket = new TlsSocket(raw, NOTHING, sideOf(options));
  const client = await Deno.startTls(plain, { hostname: "localhost", caCerts: [ca.cert] });
  const failing = [catchFrom(() => socket.handshake()), catchFrom(() => client.handshake())];
  await asked.promise;
  socket.close();
  assertEquals((await failing[0]!).kind, "Interrupted");
  assertEquals((await failing[1]!).kind, "UnexpectedEof");
  client.close();
});

netTest("a name without a certificate is refused with the alert for it", async () => {
  const tls = { serverNames: { "elsewhere.test": server } };
  const options = new TlsContexts("test", completeTlsAlone("test", { tls })).socketOptions();
  await withNodeClient(options, {}, async (socket, client) => {
    await assertRejects(() => socket.handshake(), Deno.errors.InvalidData, "localhost");
    socket.close();
    assertStringIncludes(String(await client.secured), "UnrecognisedName");
  });
});

netTest(
  "a ClientHello of many kilobytes is taken, read before or not, by name or not",
  async () => {
    const ALPNProtocols = Array.from({ length: 100 }, (_, i) => `${i}`.padStart(100, "p"));
    for (const tls of [undefined, { serverNames: { localhost: server } }]) {
      for (const ahead of [NOTHING, new Uint8Array(10_000)]) {
        const options = handshakeOptions({
          alpnProtocols: [ALPNProtocols[0]!],
          ...(tls && { tls }),
        });
        using listener = Deno.listen(LOOPBACK);
        await using client = new CrudeClient(listener.addr, { ALPNProtocols });
        const raw = await listener.accept();
        ahead.set(await readExactly(raw, ahead.length));
        using socket = new TlsSocket(raw, ahead, sideOf(options));
        const [{ alpnProtocol }] = await Promise.all([socket.handshake(), client.secured]);
        assertEquals(alpnProtocol, ALPNProtocols[0]);
      }
    }
  },
);

netTest("no failure of a peer is left unhandled when nothing awaits it", async () => {
  const hello = await clientHello();
  const reasons = await unhandledDuring(async () => {
    for (const said of [NOTHING, hello, hello.subarray(0, 9), bytes`GET / HTTP/1.1\r\n\r\n`]) {
      const [raw, plain] = await socketPair();
      const socket = new TlsSocket(raw, NOTHING, sideOf(handshakeOptions()));
      socket.handshake();
      if (said.length > 0) await plain.write(said);
      plain.close();
      await turns();
      socket.close();
    }
  });
  assertEquals(reasons, []);
});

netTest("addresses are the socket's, and there are no streams", async () => {
  await using pair = await tlsPair();
  const { socket, client } = pair;
  const ports = ({ localAddr, remoteAddr }: Deno.Conn) =>
    [localAddr, remoteAddr].map((addr) => (addr as Deno.NetAddr).port);
  assertEquals(ports(socket), ports(client).reverse());
  socket.unref();
  socket.ref();
  assertThrows(() => socket.readable, Deno.errors.NotSupported, "read()");
  assertThrows(() => socket.writable, Deno.errors.NotSupported, "write()");
});

netTest("a client that asks to shake hands again gets an answer: no", async () => {
  using listener = Deno.listen(LOOPBACK);
  const child = new Deno.Command("openssl", {
    args: ["s_client", "-connect", `127.0.0.1:${listener.addr.port}`, "-tls1_2", "-brief"],
    stdin: "piped",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  using socket = new TlsSocket(await listener.accept(), NOTHING, sideOf(handshakeOptions()));
  const { version } = await socket.handshake();
  const input = child.stdin.getWriter();
  await input.write(bytes`hello\n`);
  assertEquals([version, text(await readExactly(socket, 6))], ["TLSv1.2", "hello\n"]);
  const reading = catchFrom(() => socket.read(new Uint8Array(8)));
  await input.write(bytes`R\n`);
  assertStringIncludes(await new Response(child.stderr).text(), "no renegotiation");
  await Promise.all([child.status, input.close().catch(() => {}), reading]);
}, { programs: ["openssl"] });

/** Counts the engines that are made meanwhile. */
function countingEngines(): Disposable & { made: number } {
  const { getBuiltinModule } = process;
  const tls = getBuiltinModule("node:tls");
  class Counted extends tls.TLSSocket {
    constructor(...args: ConstructorParameters<typeof tls.TLSSocket>) {
      super(...args);
      counter.made++;
    }
  }
  const counter = {
    made: 0,
    [Symbol.dispose]: () => void (process.getBuiltinModule = getBuiltinModule),
  };
  process.getBuiltinModule =
    ((id: string) =>
      id === "node:tls"
        ? { ...tls, TLSSocket: Counted }
        : getBuiltinModule(id)) as typeof getBuiltinModule;
  return counter;
}

netTest("no engine is made for a peer that says nothing, or no TLS", async () => {
  const options = handshakeOptions();
  using engines = countingEngines();
  const hello = await clientHello();
  const said = [
    NOTHING,
    bytes`GET / HTTP/1.1\r\n\r\n`,
    hello.subarray(0, 1),
    hello.subarray(0, 99),
  ];
  for (const bytes of said) {
    const [raw, plain] = await socketPair();
    using socket = new TlsSocket(raw, NOTHING, sideOf(options));
    const shaking = assertRejects(() => socket.handshake());
    if (bytes.length > 0) await plain.write(bytes);
    await turns(10);
    plain.close();
    await shaking;
  }
  assertEquals(engines.made, 0);
  await using _pair = await tlsPair(options);
  assertEquals(engines.made, 1);
});

/** Bytes of TLS records, each cut into records of one byte. */
function finelyCut(records: Uint8Array): Uint8Array<ArrayBuffer> {
  const cut: number[] = [];
  for (let at = 0; at < records.length;) {
    const length = records[at + 3]! << 8 | records[at + 4]!;
    for (const byte of records.subarray(at + 5, at + 5 + length)) {
      cut.push(...records.subarray(at, at + 3), 0, 1, byte);
    }
    at += 5 + length;
  }
  return new Uint8Array(cut);
}

for (const [count, names] of [[1, "a choice of names"], [60, "a choice of names"], [60, "no"]]) {
  netTest(
    `a ClientHello with ${count} long protocols in records of one byte, and ${names}`,
    async () => {
      const alpnProtocols = [
        "last",
        ...Array.from({ length: count as number }, (_, i) => String(i).padStart(255, "x")),
      ].toReversed();
      const options = handshakeOptions({
        alpnProtocols: ["last"],
        ...(names !== "no" && { tls: { serverNames: { localhost: server } } }),
      });
      const [raw, carrier] = await socketPair();
      const [far, plain] = await socketPair();
      using socket = new TlsSocket(raw, NOTHING, sideOf(options));
      const client = await Deno.startTls(plain, {
        hostname: "localhost",
        caCerts: [ca.cert],
        alpnProtocols,
      });
      const shaking = client.handshake();
      const hello = await clientHelloOf(far);
      await writeAll(carrier, finelyCut(hello));
      const carrying = Promise.allSettled([
        far.readable.pipeTo(carrier.writable),
        carrier.readable.pipeTo(far.writable),
      ]);
      assertEquals((await socket.handshake()).alpnProtocol, "last");
      assertEquals((await shaking).alpnProtocol, "last");
      client.close();
      socket.close();
      await carrying;
    },
  );
}

/** A whole ClientHello, which says how long it is. */
async function clientHelloOf(conn: Deno.Conn): Promise<Uint8Array> {
  const head = await readExactly(conn, 9);
  const records: Uint8Array[] = [head];
  const length = head[6]! << 16 | head[7]! << 8 | head[8]!;
  const inRecord = (record: Uint8Array) => record[3]! << 8 | record[4]!;
  let missing = length + 4 - inRecord(head);
  records.push(await readExactly(conn, inRecord(head) - 4));
  while (missing > 0) {
    const next = await readExactly(conn, 5);
    records.push(next, await readExactly(conn, inRecord(next)));
    missing -= inRecord(next);
  }
  return new Uint8Array(records.flatMap((record) => [...record]));
}
