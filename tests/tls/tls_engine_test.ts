/** Tests two TLS engines with nothing between them but bytes. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { createSecureContext } from "node:tls";
import { requireTlsEngine, TlsEngine, type TlsEvents } from "../../lib/tls/tls_engine.ts";
import { ca, server } from "../support/certificates.ts";
import { assertPattern, pattern } from "../support/pattern.ts";
import { bytes, text } from "../support/bytes.ts";
import { turns } from "../support/wait.ts";

/** Keeps what it is called with. */
class Notes implements TlsEvents {
  secure = false;
  isEnded = false;
  readonly errors: string[] = [];

  ended(): void {
    this.isEnded = true;
  }
  handshakeComplete(): void {
    this.secure = true;
  }
  failed(error: Error): void {
    this.errors.push(error.message);
  }
}

/** One end and its notes. */
interface End extends Disposable {
  readonly engine: TlsEngine;
  readonly notes: Notes;
}

function serverEnd(): End {
  return end({ isServer: true, secureContext: createSecureContext(server) });
}

function clientEnd(): End {
  return end({
    isServer: false,
    secureContext: createSecureContext({ ca: ca.cert }),
    servername: "localhost",
  } as { isServer: boolean });
}

function end(options: ConstructorParameters<typeof TlsEngine>[0]): End {
  const notes = new Notes();
  const engine = new TlsEngine(options, notes);
  return { engine, notes, [Symbol.dispose]: () => engine.destroy() };
}

/** Carries bytes to and fro until neither end has any left. */
function shakeHands(a: End, b: End): void {
  for (let quiet = 0; quiet < 2; quiet++) {
    for (const [from, to] of [[a, b], [b, a]] as const) {
      const sent = from.engine.take();
      if (sent.length > 0) {
        to.engine.feed(sent);
        quiet = 0;
      }
    }
  }
}

Deno.test("TlsEngine speaks with another one, and says when", async () => {
  using a = serverEnd();
  using b = clientEnd();
  shakeHands(a, b);
  assertEquals([a.notes.secure, b.notes.secure], [true, true]);
  assertEquals(text(b.engine.feed(a.engine.encrypt(bytes`hello`))), "hello");
  assertEquals(b.engine.feed(a.engine.end()).length, 0);
  assertEquals([a.notes.isEnded, b.notes.isEnded], [false, true]);
  assertEquals(text(a.engine.feed(b.engine.encrypt(bytes`and you`))), "and you");
  await turns(); // Deno starts a TLSSocket in the next turn; it must find nothing left to do.
  assertEquals([...a.notes.errors, ...b.notes.errors], []);
});

Deno.test("TlsEngine encrypts 48 KiB at once, and no byte of it stays behind", async () => {
  using a = serverEnd();
  using b = clientEnd();
  shakeHands(a, b);
  const sent = pattern(0, 49_152);
  const ciphertext = a.engine.encrypt(sent);
  assert(ciphertext.length > sent.length);
  assertEquals(a.engine.take().length, 0);
  let received = 0;
  for (let at = 0; at < ciphertext.length; at += 1000) {
    const cleartext = b.engine.feed(ciphertext.subarray(at, at + 1000));
    assertPattern(cleartext, received);
    received += cleartext.length;
  }
  assertEquals(received, sent.length);
  await turns();
});

Deno.test("TlsEngine decrypts what it is fed at once, however much, and the end behind it", async () => {
  using a = serverEnd();
  using b = clientEnd();
  shakeHands(a, b);
  const ciphertext = [];
  for (let at = 0; at < 245_760; at += 49_152) {
    ciphertext.push(...a.engine.encrypt(pattern(at, 49_152)));
  }
  const cleartext = b.engine.feed(new Uint8Array([...ciphertext, ...a.engine.end()]));
  assertEquals(cleartext.length, 245_760);
  assertPattern(cleartext, 0);
  assertEquals(b.notes.isEnded, true);
  await turns();
});

Deno.test("TlsEngine.feed() gives the cleartext of its own connection beside others", async () => {
  using a = serverEnd();
  using b = clientEnd();
  using c = serverEnd();
  using d = clientEnd();
  shakeHands(a, b);
  shakeHands(c, d);
  const [toA, toC] = [b.engine.encrypt(bytes`first`), d.engine.encrypt(bytes`second`)];
  const half = toA.subarray(0, 10);
  assertEquals(a.engine.feed(half).length, 0);
  assertEquals(text(c.engine.feed(toC)), "second");
  assertEquals(text(a.engine.feed(toA.subarray(10))), "first");
  await turns();
});

Deno.test("TlsEngine says what is wrong, and has the alert for it", async () => {
  using a = serverEnd();
  a.engine.feed(bytes`GET / HTTP/1.1\r\n\r\n`);
  assertEquals(a.notes.errors.length, 1);
  const [type, , , , , level] = a.engine.take();
  assertEquals([type, level], [21, 2]);
  await turns();
});

Deno.test("requireTlsEngine() passes where node:tls has what an engine uses", () => {
  requireTlsEngine("serve");
});

Deno.test("requireTlsEngine() names what node:tls lacks, and the versions that have it", () => {
  using _lacking = lacking("drainEncOut", "shutdown");
  const { message } = assertThrows(() => requireTlsEngine("serve"), Deno.errors.NotSupported);
  assertEquals(
    message,
    `Cannot serve: TLS needs parts of 'node:tls' that Deno ${Deno.version.deno} lacks ` +
      "(drainEncOut, shutdown); use Deno 2.9.5 or a later 2.9",
  );
});

/** Has each new `TLSSocket` lack these parts of its handle. */
function lacking(...names: string[]): Disposable {
  const { getBuiltinModule } = process;
  const tls = getBuiltinModule("node:tls");
  class Lacking extends tls.TLSSocket {
    constructor(...args: ConstructorParameters<typeof tls.TLSSocket>) {
      super(...args);
      const { _handle } = this as unknown as { _handle: Record<string, unknown> };
      for (const name of names) Object.defineProperty(_handle, name, { value: undefined });
    }
  }
  process.getBuiltinModule =
    ((id: string) =>
      id === "node:tls"
        ? { ...tls, TLSSocket: Lacking }
        : getBuiltinModule(id)) as typeof process.getBuiltinModule;
  return { [Symbol.dispose]: () => void (process.getBuiltinModule = getBuiltinModule) };
}
