/** A server inside TLS withstands clients of every kind. @module */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import {
  type Connection,
  connection,
  type EndRecord,
  framed,
  lines,
  ProtocolError,
  relay,
  type Relayed,
  serve,
  type Server,
  type ServeTcpOptions,
  type TlsInfo,
} from "../../mod.ts";
import { BEHIND, proxied } from "../support/balancer.ts";
import { catchFrom } from "../support/caught.ts";
import { server as certificate } from "../support/certificates.ts";
import { type Needs, netTest } from "../support/needs.ts";
import { assertPattern, assertReadsPattern, fillPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import {
  connectResettable,
  dial,
  LOOPBACK,
  readAll,
  readExactly,
  resettablePair,
  writeAll,
} from "../support/peers.ts";
import { turn, turns, until } from "../support/wait.ts";
import { Program } from "../support/program.ts";
import { clientHello, CrudeClient, dialTls, goOverToTls } from "../support/tls_peers.ts";
import { noteEnds } from "../support/noting.ts";
import { echo } from "../support/handlers.ts";

/** Options to serve with, and the records of ended connections. */
interface Scene {
  readonly place: ServeTcpOptions;
  readonly ended: EndRecord[];
}

/** Registers a test of a server that records how its connections end. */
function behaviour(name: string, run: (scene: Scene) => Promise<void>, needs: Needs = {}): void {
  netTest(name, () => {
    const { ended, onEnd } = noteEnds();
    return run({ place: { ...LOOPBACK, ...certificate, onEnd }, ended });
  }, needs);
}

const readOne = (conn: Connection) => conn.read(new Uint8Array(1));

/** Waits until handshakes are complete on both sides: the clients' last flight takes a moment. */
function allEstablished(server: Server<Deno.NetAddr>, accepted: number): Promise<void> {
  return until(() => server.stats().accepted === accepted && server.stats().handshaking === 0);
}

/** Sends something, reads the echo and leaves: the server is well. */
async function assertEchoes(addr: Deno.NetAddr): Promise<void> {
  const client = await dialTls(addr);
  await writeAll(client, bytes`hello`);
  assertEquals(await readExactly(client, 5), bytes`hello`);
  await client.closeWrite();
  assertEquals(await readAll(client), new Uint8Array(0));
}

behaviour("what a client sends is answered, and the end is no error", async ({ place, ended }) => {
  const server = serve(place, echo);
  await assertEchoes(server.addr);
  await server.shutdown();
  assertEquals(ended.map(({ reason, error }) => [reason, error]), [["completed", undefined]]);
});

behaviour("bytes are counted as the handler sees them", async ({ place, ended }) => {
  const server = serve(place, async (conn) => {
    for await (const chunk of conn) {
      await conn.write(chunk);
      assertEquals(conn.bytesRead, conn.bytesWritten);
    }
  });
  const client = await dialTls(server.addr);
  await Promise.all([
    writeAll(client, pattern(0, 300_000)).then(() => client.closeWrite()),
    assertReadsPattern(client, 300_000),
  ]);
  client.close();
  await server.shutdown();
  const [{ bytesRead, bytesWritten }, ...more] = ended as [EndRecord];
  assertEquals([bytesRead, bytesWritten, more], [300_000, 300_000, []]);
  const stats = server.stats();
  assertEquals([stats.bytesRead, stats.bytesWritten], [300_000, 300_000]);
});

behaviour("the handler knows what TLS has settled", async ({ place }) => {
  const seen = Promise.withResolvers<TlsInfo | undefined>();
  await using server = serve({ ...place, alpnProtocols: ["one", "two"] }, (conn) => {
    seen.resolve(conn.tls);
    return echo(conn);
  });
  const client = await dialTls(server.addr, { alpnProtocols: ["two"] });
  const { version, cipher, ...rest } = (await seen.promise)!;
  client.close();
  assertEquals(rest, { alpnProtocol: "two", serverName: "localhost" });
  assertEquals(version, "TLSv1.3");
  assert(cipher!.startsWith("TLS_"), cipher);
});

behaviour("nothing is settled that the client did not ask for", async ({ place }) => {
  const seen = Promise.withResolvers<TlsInfo | undefined>();
  await using server = serve({ ...place, alpnProtocols: ["one"] }, (conn) => {
    seen.resolve(conn.tls);
    return echo(conn);
  });
  const client = await dialTls(server.addr);
  const tls = (await seen.promise)!;
  client.close();
  assertEquals(["alpnProtocol" in tls, "peerCertificate" in tls], [false, false]);
});

behaviour("a client of TLS 1.2 is served alike", async ({ place, ended }) => {
  const server = serve(place, echo);
  for (const isCut of [false, true]) {
    await using client = new CrudeClient(server.addr, { maxVersion: "TLSv1.2" });
    assertEquals(await client.secured, null);
    assertEquals(client.tls.getProtocol(), "TLSv1.2");
    const hearing = client.hearAll();
    hearing.catch(() => {});
    await client.say(pattern(0, 100_000));
    await until(() => server.stats().bytesWritten === (isCut ? 200_000 : 100_000));
    if (isCut) client.plain.end();
    else {
      client.tls.end();
      assertEquals(await hearing, pattern(0, 100_000));
    }
    await until(() => ended.length === (isCut ? 2 : 1));
  }
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["completed", "peer_closed_early"]);
});

behaviour("a client that half-closes gets all of what is pending", async ({ place, ended }) => {
  const server = serve(place, echo);
  const client = await dialTls(server.addr);
  await writeAll(client, pattern(0, 200_000));
  await client.closeWrite();
  await assertReadsPattern(client, 200_000);
  client.close();
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["completed"]);
});

behaviour("a FIN that TLS knows nothing of is an error, and no end", async ({ place, ended }) => {
  const failure = Promise.withResolvers<unknown[]>();
  const server = serve(place, async (conn) => {
    await conn.readExactly(5);
    const first = await readOne(conn).catch((error) => error);
    const second = await conn.readLine().catch((error) => error);
    failure.resolve([first, second]);
  });
  await using client = new CrudeClient(server.addr);
  assertEquals(await client.secured, null);
  await client.say(bytes`hello`);
  client.plain.end();
  const [first, second] = await failure.promise;
  assert(first instanceof Deno.errors.UnexpectedEof, `${first}`);
  assertEquals(second, first);
  await server.shutdown();
  assertEquals(ended.map(({ reason, error }) => [reason, error]), [["peer_closed_early", first]]);
});

behaviour("a stream of chunks that is cut off ends with an error", async ({ place, ended }) => {
  const server = serve(place, async (conn) => {
    for await (const _chunk of conn);
  });
  await using client = new CrudeClient(server.addr);
  await client.secured;
  await client.say(bytes`hello`);
  client.plain.end();
  await until(() => ended.length > 0);
  await server.shutdown();
  assertEquals(ended.map(({ reason, bytesRead }) => [reason, bytesRead]), [
    ["peer_closed_early", 5],
  ]);
});

behaviour("a reset is distinguished from an early end", async ({ place, ended }) => {
  const server = serve(place, async (conn) => {
    await conn.readExactly(5);
    await readOne(conn);
  });
  await using client = new CrudeClient(server.addr);
  await client.secured;
  await client.say(bytes`hello`);
  await until(() => server.stats().bytesRead === 5);
  client.plain.resetAndDestroy();
  await until(() => ended.length > 0);
  await server.shutdown();
  const [{ reason, error }, ...more] = ended as [EndRecord];
  assertEquals([reason, more], ["peer_reset", []]);
  assert(error instanceof Deno.errors.ConnectionReset, `${error}`);
});

behaviour("a client that sends no TLS in mid-stream is ended", async ({ place, ended }) => {
  const server = serve(place, echo);
  await using client = new CrudeClient(server.addr);
  await client.secured;
  client.plain.write("GET / HTTP/1.1\r\n\r\n");
  await until(() => ended.length > 0);
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["network_error"]);
  assert(ended[0]!.error instanceof Deno.errors.InvalidData);
});

/** A server in a process of its own that reports its memory. */
function held(handler: "echo" | "talk"): Program {
  const program = new URL("./programs/tls_held.ts", import.meta.url);
  return new Program(program, { args: [handler] });
}

/** Bytes that a client can send while nothing reads: the kernel buffers of both ends. */
const MOST_PUSHED = 16 << 20;

/** Bytes by which the server's process may grow meanwhile. */
const MOST_GROWTH = 32 << 20;

/** How often in a row a client must have sent nothing to count as stopped. */
const STANDSTILLS = 20;

behaviour("a client cannot fill the server's memory while nothing reads", async () => {
  await using program = held("echo");
  const addr = { ...LOOPBACK, transport: "tcp", port: Number(await program.line()) } as const;
  await assertEchoes(addr); // loads what TLS needs
  const before = Number(await program.ask("memory"));
  const client = await dialTls(addr);
  let pushed = 0;
  const pushing = catchFrom(async () => {
    for (const p = new Uint8Array(1 << 20); pushed < 200 << 20;) pushed += await client.write(p);
  });
  let most = before;
  for (let still = 0, last = -1; still < STANDSTILLS; still = pushed === last ? still + 1 : 0) {
    last = pushed;
    most = Math.max(most, Number(await program.ask("memory")));
  }
  assert(pushed < MOST_PUSHED, `${pushed} bytes were taken`);
  assert(most - before < MOST_GROWTH, `the process grew by ${most - before} bytes`);
  client.close();
  await pushing;
});

behaviour("writes made at once come out whole and in their order", async ({ place }) => {
  const size = 1 << 20;
  await using server = serve({ ...place, maxUnsent: 8 * size }, async (conn) => {
    await Promise.all(
      Array.from({ length: 8 }, (_, i) => conn.write(new Uint8Array(size).fill(i + 1))),
    );
  });
  const client = await dialTls(server.addr);
  for (let i = 1; i <= 8; i++) {
    const part = await readExactly(client, size);
    assert(part.every((byte) => byte === i), `part ${i} is not whole`);
  }
  assertEquals(await readAll(client), new Uint8Array(0));
});

behaviour("a slow reader gets 64 MiB whole", async ({ place, ended }) => {
  const length = 64 << 20;
  const server = serve(place, async (conn) => {
    const p = new Uint8Array(1 << 20);
    for (let at = 0; at < length; at += p.length) await conn.write(fillPattern(p, at));
  });
  const client = await dialTls(server.addr);
  await assertReadsPattern(client, length, 32_768, turn);
  client.close();
  await server.shutdown();
  assertEquals(ended.map(({ reason, bytesWritten }) => [reason, bytesWritten]), [
    ["completed", length],
  ]);
});

behaviour("a read that gives up loses nothing", async ({ place }) => {
  using time = new FakeTime();
  const gaveUp = Promise.withResolvers<unknown>();
  const whole = Promise.withResolvers<Uint8Array | null>();
  await using server = serve(place, async (conn) => {
    gaveUp.resolve(await conn.readExactly(10, { timeout: 1000 }).catch((error) => error));
    whole.resolve(await conn.readExactly(10));
  });
  using client = await dialTls(server.addr);
  await client.write(bytes`hell`);
  await until(() => server.stats().bytesRead === 4);
  time.tick(1200);
  assertEquals((await gaveUp.promise as DOMException).name, "TimeoutError");
  await client.write(bytes`o hell`);
  assertEquals(await whole.promise, bytes`hello hell`);
});

behaviour(
  "a read that was given up before its bytes came leaves them to the next",
  async (scene) => {
    using time = new FakeTime();
    const gaveUp = Promise.withResolvers<void>();
    const next = Promise.withResolvers<number | null>();
    await using server = serve(scene.place, async (conn) => {
      const p = new Uint8Array(5);
      await assertRejects(() => conn.read(p, { timeout: 1000 }), DOMException);
      gaveUp.resolve();
      next.resolve(await conn.read(p));
      assertEquals(p, bytes`hello`);
    });
    using client = await dialTls(server.addr);
    await allEstablished(server, 1);
    await turns();
    time.tick(1200);
    await gaveUp.promise;
    await client.write(bytes`hello`);
    assertEquals(await next.promise, 5);
  },
);

behaviour("a handler that returns first ends the stream as TLS wants it", async (scene) => {
  const server = serve(scene.place, async (conn) => {
    await conn.write(bytes`bye`);
  });
  const client = await dialTls(server.addr);
  // Deno's own client does not accept a FIN without close_notify as an end.
  assertEquals(text(await readAll(client)), "bye");
  await server.shutdown();
  assertEquals(scene.ended.map(({ reason }) => reason), ["completed"]);
});

behaviour("a handler that has answered to the end is said to have ended, too", async (scene) => {
  const server = serve(scene.place, async (conn) => {
    while (await readOne(conn) !== null);
  });
  const client = await dialTls(server.addr);
  await client.closeWrite();
  assertEquals(await readAll(client), new Uint8Array(0));
  await server.shutdown();
  assertEquals(scene.ended.map(({ reason }) => reason), ["completed"]);
});

behaviour(
  "a handler that fails ends its own connection, and what it wrote comes",
  async (scene) => {
    const errors: unknown[] = [];
    const onError = (error: unknown) => void errors.push(error);
    const server = serve({ ...scene.place, onError }, async (conn) => {
      await conn.write(bytes`bye`);
      throw new RangeError("division by cucumber");
    });
    const client = await dialTls(server.addr);
    assertEquals(text(await readExactly(client, 3)), "bye");
    const end = await client.read(new Uint8Array(1)).catch((error) => error);
    assert(end instanceof Deno.errors.UnexpectedEof, `${end}`);
    client.close();
    await server.shutdown();
    assertEquals(scene.ended.map(({ reason }) => reason), ["handler_error"]);
    assertEquals(errors, [scene.ended[0]!.error]);
  },
);

behaviour("a ProtocolError of the handler ends politely", async ({ place, ended }) => {
  const server = serve(place, async (conn) => {
    await conn.write(bytes`bye`);
    throw new ProtocolError("Cannot understand that");
  });
  const client = await dialTls(server.addr);
  assertEquals(text(await readAll(client)), "bye");
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["protocol_error"]);
});

behaviour("close() behind an awaited write is an end for the client", async ({ place, ended }) => {
  const server = serve(place, async (conn) => {
    await conn.write((await conn.readExactly(5))!);
    conn.close();
  });
  const client = await dialTls(server.addr);
  await client.write(bytes`hello`);
  assertEquals(text(await readAll(client)), "hello");
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["completed"]);
});

behaviour("close() with something unsent truncates the stream", async ({ place, ended }) => {
  const server = serve(place, async (conn) => {
    await conn.readExactly(5);
    conn.write(new Uint8Array(64 << 20)); // more than both kernels hold
    conn.close();
  });
  const client = await dialTls(server.addr);
  await client.write(bytes`hello`);
  await assertRejects(() => readAll(client), Deno.errors.UnexpectedEof);
  client.close();
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["completed"]);
});

behaviour("an end by force truncates the stream", async ({ place, ended }) => {
  const server = serve(place, async (conn) => {
    await conn.write(bytes`half of`);
    await readOne(conn);
  });
  const client = await dialTls(server.addr);
  assertEquals(text(await readExactly(client, 7)), "half of");
  await server.shutdown({ timeout: 0 });
  await assertRejects(() => readAll(client), Deno.errors.UnexpectedEof);
  client.close();
  assertEquals(ended.map(({ reason }) => reason), ["forced"]);
});

behaviour("a relay that fails does not look complete to the other side", async ({ place }) => {
  const [upstream, backend] = await resettablePair();
  const server = serve(place, (conn) => relay(conn, connection(upstream)));
  const client = await dialTls(server.addr);
  backend.write(bytes`half of`);
  assertEquals(text(await readExactly(client, 7)), "half of");
  await backend.reset();
  await assertRejects(() => readAll(client), Deno.errors.UnexpectedEof);
  client.close();
  await server.shutdown();
});

behaviour("a write before the handshake leaves inside TLS", async ({ place }) => {
  for (const [options, said] of [[{}, bytes``], [BEHIND, proxied("192.0.2.7", 2)]] as const) {
    await using server = serve({ ...place, ...options }, async (conn) => {
      await conn.write(bytes`, and from its handler`);
    });
    const plain = await dial(server.addr);
    await until(() => server.stats().handshaking === 1);
    for (const conn of server.connections) conn.write(bytes`to all`);
    await turns(5);
    await writeAll(plain, said);
    await turns(5);
    const inside = await goOverToTls(plain);
    assertEquals(text(await readAll(inside)), "to all, and from its handler");
  }
});

behaviour("the end of what a handler writes reaches a client that still reads", async (scene) => {
  const server = serve(scene.place, async (conn) => {
    await conn.write(bytes`bye`);
    await conn.closeWrite();
    await conn.readExactly(5);
  });
  const client = await dialTls(server.addr);
  assertEquals(await readExactly(client, 3), bytes`bye`);
  assertEquals(await client.read(new Uint8Array(1)), null);
  await client.write(bytes`hello`);
  client.close();
  await server.shutdown();
  assertEquals(scene.ended.map(({ reason, bytesRead }) => [reason, bytesRead]), [["completed", 5]]);
});

behaviour("a client that closes both ways at once was served to the end", async (scene) => {
  const server = serve(scene.place, echo);
  for (let i = 0; i < 20; i++) {
    const client = await dialTls(server.addr);
    await client.write(bytes`hello`);
    await readExactly(client, 5);
    client.close();
  }
  await until(() => scene.ended.length === 20);
  await server.shutdown();
  assertEquals(scene.ended.filter(({ reason }) => reason !== "completed"), []);
});

behaviour("the last bytes arrive even while the client is still sending", async (scene) => {
  using _time = new FakeTime(); // however slow the machine is, the graceful end waits
  const server = serve(scene.place, async (conn) => {
    await conn.readExactly(1);
    await conn.write(pattern(0, 1 << 20));
  });
  const client = await dialTls(server.addr);
  // More than fits into the buffers between the two.
  await Promise.all([
    writeAll(client, new Uint8Array(4 << 20)).then(() => client.closeWrite()),
    until(() => server.stats().bytesWritten === 1 << 20),
  ]);
  await assertReadsPattern(client, 1 << 20);
  client.close();
  await server.shutdown();
  assertEquals(scene.ended.map(({ reason }) => reason), ["completed"]);
});

behaviour("clients that say nothing are ended by handshakeTimeout", async ({ place, ended }) => {
  using time = new FakeTime();
  const server = serve({ ...place, handshakeTimeout: 5000 }, echo);
  const silent = await Promise.all([dial(server.addr), dial(server.addr)]);
  await silent[1].write((await clientHello()).subarray(0, 50)); // and no more
  await until(() => server.stats().handshaking === 2);
  time.tick(4900);
  assertEquals([server.stats().handshaking, ended.length], [2, 0]);
  time.tick(300);
  await server.shutdown();
  for (const client of silent) client.close();
  assertEquals(ended.map(({ reason, bytesRead }) => [reason, bytesRead]), [
    ["handshake_timeout", 0],
    ["handshake_timeout", 0],
  ]);
  for (const { error } of ended) assertEquals((error as DOMException).name, "TimeoutError");
  assertEquals(server.stats().ended.handshake_timeout, 2);
});

/** Clients that do not leave when they are ended: what they do until then. */
const STAYING: Record<string, (addr: Deno.NetAddr) => Promise<Deno.Conn>> = {
  "says nothing": dial,
  async "takes nothing"(addr) {
    const client = await dialTls(addr);
    await client.read(new Uint8Array(1)); // and no more of what is more than the kernel holds
    return client;
  },
};

for (const [what, connect] of Object.entries(STAYING)) {
  behaviour(`a client that ${what} holds no descriptor once it was ended`, async () => {
    await using program = held("talk");
    const addr = { ...LOOPBACK, transport: "tcp", port: Number(await program.line()) } as const;
    const before = Number(await program.ask("sockets"));
    using _client = await connect(addr);
    while (Number(await program.ask("sockets")) === before);
    assertEquals(Number(await program.ask("stop")), before - 1, "besides the listener");
  }, { os: ["linux"] });
}

behaviour(
  "a client that speaks no TLS reaches no handler, and no other client notices",
  async ({ place, ended }) => {
    let served = 0;
    const server = serve(place, (conn) => {
      served++;
      return echo(conn);
    });
    const before = await dialTls(server.addr);
    const plain = await dial(server.addr);
    await plain.write(bytes`GET / HTTP/1.1\r\n\r\n`);
    const [type, , , , , level] = await readAll(plain);
    assertEquals([type, level], [21, 2], "a fatal alert");
    await until(() => ended.length === 1);
    const [{ reason, error, bytesRead, bytesWritten }] = ended as [EndRecord];
    assertEquals([reason, bytesRead, bytesWritten], ["handshake_failed", 0, 0]);
    assert(error instanceof Deno.errors.InvalidData, `${error}`);

    await before.write(bytes`hello`);
    assertEquals(await readExactly(before, 5), bytes`hello`);
    before.close();
    await assertEchoes(server.addr);
    await server.shutdown();
    assertEquals([served, ended.length], [2, 3]);
  },
);

/** What a client has sent when it leaves. */
const BEGINNINGS = [0, 1, 50, Infinity];

behaviour("a client that leaves in the handshake reaches no handler", async ({ place, ended }) => {
  const server = serve(place, () => Promise.reject(new Error("there is no client")));
  const hello = await clientHello();
  for (const [i, length] of BEGINNINGS.entries()) {
    const client = await dial(server.addr);
    if (length > 0) await client.write(hello.subarray(0, length));
    await client.closeWrite();
    await until(() => ended.length === i + 1);
    client.close();
  }
  await server.shutdown();
  for (const { reason, error } of ended) {
    assertEquals(reason, "handshake_failed");
    assert(error instanceof Deno.errors.UnexpectedEof, `${error}`);
  }
});

behaviour("a client that resets in the handshake reaches no handler", async ({ place, ended }) => {
  const server = serve(place, () => Promise.reject(new Error("there is no client")));
  const hello = await clientHello();
  for (const [i, length] of BEGINNINGS.entries()) {
    const client = await connectResettable(server.addr);
    if (length > 0) client.write(hello.subarray(0, length));
    await until(() => server.stats().handshaking === 1);
    await turns();
    await client.reset();
    await until(() => ended.length === i + 1);
  }
  await server.shutdown();
  for (const { reason, error } of ended) {
    assertEquals(reason, "handshake_failed");
    assert(error instanceof Deno.errors.ConnectionReset, `${error}`);
  }
});

behaviour("a client that does not trust us is a handshake that failed", async (scene) => {
  const server = serve(scene.place, () => Promise.reject(new Error("there is no client")));
  await assertRejects(() => dialTls(server.addr, { caCerts: [] }), Deno.errors.InvalidData);
  await until(() => scene.ended.length === 1);
  await server.shutdown();
  const [{ reason, error }] = scene.ended as [EndRecord];
  assertEquals(reason, "handshake_failed");
  assert(error instanceof Deno.errors.InvalidData, `${error}`);
});

behaviour("without a protocol in common no client is served", async ({ place, ended }) => {
  const server = serve({ ...place, alpnProtocols: ["one"] }, echo);
  await assertRejects(() => dialTls(server.addr, { alpnProtocols: ["two"] }));
  await until(() => ended.length === 1);
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["handshake_failed"]);
});

behaviour("a client that is idle inside TLS is ended", async ({ place, ended }) => {
  using time = new FakeTime();
  const server = serve({ ...place, idleTimeout: 5000 }, readOne);
  using _client = await dialTls(server.addr);
  await allEstablished(server, 1);
  await turns();
  time.tick(4900);
  await turns();
  assertEquals(ended.length, 0);
  time.tick(300);
  await until(() => ended.length === 1);
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["idle_timeout"]);
});

behaviour("a client that takes nothing inside TLS is ended", async ({ place, ended }) => {
  using time = new FakeTime();
  const server = serve(place, (conn) => conn.write(new Uint8Array(64 << 20)));
  using _client = await dialTls(server.addr);
  await allEstablished(server, 1);
  // The kernel's buffers take some megabytes first, each kilobyte of which is progress.
  while (ended.length === 0) {
    time.tick(10_000);
    await turns();
  }
  await server.shutdown();
  const [{ reason, bytesWritten }, ...more] = ended as [EndRecord];
  assertEquals([reason, more], ["write_timeout", []]);
  assert(bytesWritten > 0 && bytesWritten < 32 << 20, `${bytesWritten} bytes were taken`);
});

behaviour("a handshake under way when the server stops is finished and served", async (scene) => {
  const server = serve(scene.place, async (conn) => {
    await conn.write((await conn.readExactly(5))!);
  });
  const plain = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  const stopped = server.shutdown();
  const client = await goOverToTls(plain);
  await client.write(bytes`hello`);
  assertEquals(await readAll(client), bytes`hello`);
  await stopped;
  assertEquals(scene.ended.map(({ reason }) => reason), ["completed"]);
  assertEquals(server.report!.completed, 1);
});

behaviour("a stop by force settles the handshakes, too", async ({ place, ended }) => {
  let served = 0;
  const server = serve(place, (conn) => {
    served++;
    return echo(conn);
  });
  const [mute, begun, inside] = await Promise.all([
    dial(server.addr),
    dial(server.addr),
    dialTls(server.addr),
  ]);
  await begun.write((await clientHello()).subarray(0, 50));
  await until(() => server.stats().handshaking === 2 && served === 1);
  await server.shutdown({ timeout: 0 });
  assertEquals(ended.map(({ reason }) => reason), ["forced", "forced", "forced"]);
  const { accepted, active, handshaking } = server.stats();
  assertEquals([accepted, active, handshaking, served], [3, 0, 0, 1]);
  for (const client of [mute, begun, inside]) client.close();
});

behaviour("each client has one record, however it went", async ({ place, ended }) => {
  using time = new FakeTime();
  const server = serve(place, echo);
  await assertEchoes(server.addr);
  {
    await using cut = new CrudeClient(server.addr);
    await cut.secured;
    await allEstablished(server, 2);
    cut.plain.end();
    await using reset = new CrudeClient(server.addr);
    await reset.secured;
    await allEstablished(server, 3);
    reset.plain.resetAndDestroy();
    await until(() => ended.length === 3);
  }
  using plain = await dial(server.addr);
  await plain.write(bytes`GET / HTTP/1.1\r\n\r\n`);
  await until(() => ended.length === 4);
  using _silent = await dial(server.addr);
  await until(() => server.stats().handshaking === 1);
  time.tick(10_200);
  await until(() => ended.length === 5);
  using _inside = await dialTls(server.addr);
  await allEstablished(server, 6);
  await server.shutdown({ timeout: 0 });
  assertEquals(ended.map(({ reason }) => reason).toSorted(), [
    "completed",
    "forced",
    "handshake_failed",
    "handshake_timeout",
    "peer_closed_early",
    "peer_reset",
  ]);
  assertEquals(new Set(ended.map(({ id }) => id)).size, 6);
});

behaviour("the streams of a connection go through TLS", async ({ place, ended }) => {
  const server = serve(place, (conn) => conn.readable.pipeTo(conn.writable));
  const client = await dialTls(server.addr);
  await Promise.all([
    writeAll(client, pattern(0, 100_000)).then(() => client.closeWrite()),
    assertReadsPattern(client, 100_000),
  ]);
  client.close();
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["completed"]);
});

behaviour("frames go through TLS", async ({ place, ended }) => {
  const server = serve(place, async (conn) => {
    const spoken = framed(conn, lines());
    for await (const line of spoken) spoken.send(line.toUpperCase());
  });
  const client = await dialTls(server.addr);
  const sent = Array.from({ length: 1000 }, (_, i) => `line ${i}\n`).join("");
  await writeAll(client, bytes`${sent}`);
  await client.closeWrite();
  assertEquals(text(await readAll(client)), sent.toUpperCase());
  await server.shutdown();
  assertEquals(ended.map(({ reason }) => reason), ["completed"]);
});

behaviour("what comes inside TLS goes on in clear, and back", async ({ place, ended }) => {
  const went: Relayed[] = [];
  await using backend = serve(LOOPBACK, echo);
  const server = serve(place, async (conn) => {
    await using upstream = connection(await dial(backend.addr));
    went.push(await relay(conn, upstream));
  });
  const client = await dialTls(server.addr);
  await Promise.all([
    writeAll(client, pattern(0, 1 << 20)).then(() => client.closeWrite()),
    assertReadsPattern(client, 1 << 20),
  ]);
  client.close();
  await server.shutdown();
  assertEquals(went, [{ aToB: 1 << 20, bToA: 1 << 20 }]);
  assertEquals(ended.map(({ reason }) => reason), ["completed"]);
});

behaviour("reads of every kind see the same bytes inside TLS", async ({ place }) => {
  const seen = Promise.withResolvers<unknown[]>();
  await using server = serve(place, async (conn) => {
    const line = await conn.readLine();
    const peeked = text((await conn.peek(3)).slice());
    const p = new Uint8Array(2);
    const n = await conn.read(p);
    const word = text((await conn.readUntil(";"))!);
    const chunks: Uint8Array[] = [];
    for await (const chunk of conn) chunks.push(chunk);
    const rest = new Uint8Array(await new Blob(chunks as Uint8Array<ArrayBuffer>[]).arrayBuffer());
    seen.resolve([line, peeked, n, text(p), word, rest.length]);
    assertPattern(rest, 0);
  });
  const client = await dialTls(server.addr);
  await writeAll(client, bytes`one line\r\nabcdef;`);
  await writeAll(client, pattern(0, 100_000));
  await client.closeWrite();
  await readAll(client);
  assertEquals(await seen.promise, ["one line", "abc", 2, "ab", "cdef", 100_000]);
});
