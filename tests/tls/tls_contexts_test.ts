/** Each client gets the certificate of the name it asked for, before and after a reload. @module */

import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import type { SecureContext } from "node:tls";
import { alertOf } from "../../lib/tls/alert.ts";
import { type HandshakeOptions, TlsContexts } from "../../lib/tls/tls_contexts.ts";
import { completeTls, type TlsListenOptions } from "../../lib/tls/tls_options.ts";
import { TlsSocket } from "../../lib/tls/tls_socket.ts";
import {
  ca,
  client,
  mismatched,
  otherCa,
  renewed,
  server,
  stranger,
  wildcard,
} from "../support/certificates.ts";
import { shakeHands, showing, WELCOME } from "../support/handshakes.ts";
import { netTest } from "../support/needs.ts";
import { unhandledDuring } from "../support/unhandled.ts";

/** What clients see of the certificates: the name in it, and its serial number. */
const SERVER = "localhost 3", RENEWED = "localhost 4", WILDCARD = "*.example.test 5";

/** Options as they come from callers that do not check types. */
const untyped = (options: object) => options as TlsListenOptions;

function contexts(options: object): TlsContexts {
  return new TlsContexts("serve", completeTls("serve", options)!);
}

/** The certificate that a client sees when it sends a name, or none. */
async function shown(options: HandshakeOptions, servername?: string): Promise<string | undefined> {
  const { client } = await shakeHands(options, servername === undefined ? {} : { servername });
  return client.shown;
}

/** What `SNICallback` answers. */
function ask(options: HandshakeOptions, name: string): Promise<SecureContext | undefined> {
  return new Promise((resolve, reject) =>
    options.SNICallback!(
      name,
      (error, context) => error === null ? resolve(context) : reject(error),
    )
  );
}

netTest("a certificate without names is for every client", async () => {
  const options = contexts(server).socketOptions();
  assertEquals(options.SNICallback, undefined);
  for (const name of [undefined, "localhost", "other.test"]) {
    assertEquals(await shown(options, name), SERVER);
  }
});

netTest("each name has its certificate, and a wildcard one label", async () => {
  const options = contexts({
    ...server,
    tls: { serverNames: { "*.Example.test": wildcard, "api.example.test": renewed } },
  }).socketOptions();
  const expected: [name: string | undefined, shown: string][] = [
    ["www.example.test", WILDCARD],
    ["WWW.EXAMPLE.TEST", WILDCARD],
    ["api.example.test", RENEWED],
    ["Api.Example.Test", RENEWED],
    // A name without an entry gets the certificate in 'cert' and 'key', as a client without a name does.
    ["example.test", SERVER],
    ["a.www.example.test", SERVER],
    ["www.example.test.other", SERVER],
    [undefined, SERVER],
  ];
  for (const [name, certificate] of expected) {
    assertEquals(await shown(options, name), certificate, name);
  }
});

netTest(
  "without a default certificate, a client that asks for none of the names is refused",
  async () => {
    const options = contexts({ tls: { serverNames: { "localhost": server } } }).socketOptions();
    assertEquals(await shown(options, "localhost"), SERVER);
    const reason = "'tls.serverNames' has none, and there is no 'cert'";
    const refused: [name: string | undefined, message: string][] = [
      ["other.test", `Cannot find a certificate for "other.test": ${reason}`],
      [undefined, `Cannot find a certificate for a client that sends no name: ${reason}`],
    ];
    for (const [name, message] of refused) {
      const ends = await shakeHands(options, name === undefined ? {} : { servername: name });
      assertInstanceOf(ends.server.error, Deno.errors.InvalidData);
      assertEquals(ends.server.error.message, message);
      assertEquals(alertOf(ends.server.error), 112);
      assertEquals(ends.client.shown, undefined);
      assertEquals(ends.client.error?.message, "received fatal alert: UnrecognisedName");
    }
  },
);

netTest("a function gives certificates, at once or later", async () => {
  const asked: string[] = [];
  const options = contexts({
    ...server,
    tls: {
      serverNames: (name: string) => {
        asked.push(name);
        if (name === "now.test") return renewed;
        return Promise.resolve(name === "later.test" ? wildcard : null);
      },
    },
  }).socketOptions();
  assertEquals(await shown(options, "Now.test"), RENEWED);
  assertEquals(await shown(options, "later.test"), WILDCARD);
  assertEquals(await shown(options, "other.test"), SERVER);
  // Without a name there is nothing to ask for.
  assertEquals(await shown(options), SERVER);
  assertEquals(asked, ["now.test", "later.test", "other.test"]);
});

netTest("a function that gives null refuses, where there is no default certificate", async () => {
  for (const nothing of [null, Promise.resolve(null)]) {
    const options = contexts({ tls: { serverNames: () => nothing } }).socketOptions();
    const { server: side, client } = await shakeHands(options, { servername: "a.test" });
    assertInstanceOf(side.error, Deno.errors.InvalidData);
    assertEquals(client.error?.message, "received fatal alert: UnrecognisedName");
  }
});

netTest("a function that fails ends that handshake and nothing else", async () => {
  const find = 'Cannot find the certificate for "a.test"';
  const wanted = "use an object with 'cert' and 'key', or null";
  const failure = new RangeError("the store is gone");
  const failures: [give: () => unknown, message: string, cause?: unknown][] = [
    [
      () => {
        throw failure;
      },
      `${find}: 'tls.serverNames' failed with the store is gone`,
      failure,
    ],
    [
      () => Promise.reject(failure),
      `${find}: 'tls.serverNames' failed with the store is gone`,
      failure,
    ],
    [() => Promise.reject("no"), `${find}: 'tls.serverNames' failed with no`, "no"],
    [() => undefined, `${find} with 'tls.serverNames()' of undefined: ${wanted}`],
    [() => Promise.resolve(5), `${find} with 'tls.serverNames()' of 5: ${wanted}`],
    [
      () => ({}),
      `${find} without 'tls.serverNames().cert': give it beside 'tls.serverNames().key'`,
    ],
    [
      () => ({ cert: "a.pem", key: server.key }),
      `${find} with 'tls.serverNames().cert' of ` +
      '"a.pem": use the PEM text itself, as Deno.readTextFileSync reads it',
    ],
    [
      () => Promise.resolve(mismatched),
      `${find} with a 'tls.serverNames().key' that is not the ` +
      "key of 'tls.serverNames().cert': use the one that was made for CN=localhost",
    ],
    [
      () => ({
        get then() {
          throw failure;
        },
      }),
      `${find}: 'tls.serverNames' failed with the store is gone`,
      failure,
    ],
  ];
  let give: () => unknown = () => null;
  const options = contexts({ ...server, tls: { serverNames: () => give() } }).socketOptions();
  const unhandled = await unhandledDuring(async () => {
    for (const [fails, message, cause] of failures) {
      give = fails;
      const ends = await shakeHands(options, { servername: "a.test" });
      assertInstanceOf(ends.server.error, TypeError);
      assertEquals(ends.server.error.message, message);
      assertStrictEquals(ends.server.error.cause, cause);
      assertEquals(ends.client.error?.message, "received fatal alert: HandshakeFailure");
      give = () => renewed;
      assertEquals(await shown(options, "a.test"), RENEWED);
    }
  });
  assertEquals(unhandled, []);
});

netTest("a function that settles when the handshake is over does no harm", async () => {
  for (const settle of ["resolve", "reject", "never"] as const) {
    const asked = Promise.withResolvers<void>();
    const answer = Promise.withResolvers<null>();
    const serverNames = () => (asked.resolve(), answer.promise);
    const options = contexts({ ...server, tls: { serverNames } }).socketOptions();
    const unhandled = await unhandledDuring(async () => {
      using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
      const { port } = listener.addr;
      const raw = await Deno.connect({ hostname: "127.0.0.1", port });
      using client = await Deno.startTls(raw, { hostname: "a.test", caCerts: [ca.cert] });
      const socket = new TlsSocket(await listener.accept(), new Uint8Array(0), {
        isServer: true,
        socketOptions: () => options,
      });
      const refused = assertRejects(() => client.handshake());
      const ended = assertRejects(() => socket.handshake(), Deno.errors.Interrupted);
      await asked.promise;
      // As the server does when the time for the handshake is up.
      socket.close();
      await Promise.all([ended, refused]);
      if (settle === "resolve") answer.resolve(null);
      if (settle === "reject") answer.reject(new RangeError("too late"));
    });
    assertEquals(unhandled, [], settle);
  }
});

netTest("the first protocol of the server's that the client knows is agreed on", async () => {
  for (const tls of [{}, { serverNames: { "localhost": server } }]) {
    const options = contexts({ ...server, alpnProtocols: ["a", "b"], tls }).socketOptions();
    const both = await shakeHands(options, { ALPNProtocols: ["c", "b", "a"] });
    assertEquals([both.server.info?.alpnProtocol, both.client.alpn], ["a", "a"]);
    // A client without ALPN is accepted, as Deno.listenTls does.
    const none = await shakeHands(options);
    assertEquals([none.server.info?.alpnProtocol, none.client.heard], [undefined, WELCOME]);
    const refused = await shakeHands(options, { ALPNProtocols: ["c"] });
    assertInstanceOf(refused.server.error, Deno.errors.InvalidData);
    assert(refused.server.error.message.endsWith("peer doesn't support any known protocol"));
    assertEquals(refused.client.error?.message, "received fatal alert: NoApplicationProtocol");
    assertEquals(refused.client.heard, "");
  }
});

netTest("clients need their certificate whatever name they ask for", async () => {
  const names = {
    map: { "a.test": renewed, "*.example.test": wildcard },
    function: (name: string) => name === "a.test" ? renewed : null,
  };
  for (const serverNames of Object.values(names)) {
    const options = contexts({ ...server, tls: { serverNames, clientCa: ca.cert } })
      .socketOptions();
    for (const servername of ["a.test", "www.example.test", "other.test"]) {
      const good = await shakeHands(options, { servername, ...showing(client) });
      assertEquals(good.server.info?.authorized, true);
      for (const other of [{}, showing(stranger)]) {
        const bad = await shakeHands(options, { servername, ...other });
        assert(bad.server.error !== undefined, servername);
        assertEquals(bad.client.heard, "");
      }
    }
  }
});

netTest("prepare() is for the next handshake; one that has begun goes on", async () => {
  const asked = Promise.withResolvers<void>();
  const answer = Promise.withResolvers<null>();
  const both = contexts({
    ...server,
    tls: { serverNames: () => (asked.resolve(), answer.promise) },
  });
  const begun = shown(both.socketOptions(), "a.test");
  await asked.promise;
  both.prepare({ ...renewed })();
  assertEquals(await shown(both.socketOptions()), RENEWED);
  answer.resolve(null);
  assertEquals(await begun, SERVER);
  assertEquals(await shown(both.socketOptions(), "a.test"), RENEWED);
});

netTest("prepare() leaves what it is not given", async () => {
  const all = contexts({
    ...server,
    alpnProtocols: ["a"],
    tls: { serverNames: { "*.example.test": wildcard }, clientCa: ca.cert },
  });
  all.prepare({ ...renewed })();
  const seen = await shakeHands(all.socketOptions(), { ALPNProtocols: ["a"], ...showing(client) });
  assertEquals([seen.client.shown, seen.client.alpn], [RENEWED, "a"]);
  assertEquals(seen.server.info?.authorized, true);
  assert((await shakeHands(all.socketOptions(), showing(stranger))).server.error !== undefined);
  assertEquals(await shown(all.socketOptions(), "www.example.test"), WILDCARD);

  all.prepare({ tls: { clientCa: otherCa.cert } })();
  const options = all.socketOptions();
  assertEquals((await shakeHands(options, showing(stranger))).server.info?.authorized, true);
  assert((await shakeHands(options, showing(client))).server.error !== undefined);
  assertEquals(await shown(options, "www.example.test"), WILDCARD);

  all.prepare({ alpnProtocols: ["b"], tls: { serverNames: { "a.test": server } } })();
  const last = await shakeHands(all.socketOptions(), {
    servername: "www.example.test",
    ALPNProtocols: ["a", "b"],
    ...showing(stranger),
  });
  assertEquals([last.client.shown, last.server.info?.alpnProtocol], [RENEWED, "b"]);
  assertEquals(await shown(all.socketOptions(), "a.test"), SERVER);
});

netTest("prepare() refuses what is wrong, and changes nothing itself", async () => {
  const kept = contexts({ ...server, tls: { serverNames: { "*.example.test": wildcard } } });
  const before = kept.socketOptions();
  const rows: [options: unknown, message: string][] = [
    [null, "Cannot reload TLS with null as options: use an object"],
    [{}, "Cannot reload TLS with nothing new: give cert, key, passphrase, alpnProtocols, tls"],
    [
      { port: 1 },
      "Cannot reload TLS with an unknown option 'port': known here are cert, key, passphrase, " +
      "alpnProtocols, tls",
    ],
    [{ cert: renewed.cert }, "Cannot reload TLS without 'key': give it beside 'cert'"],
    [{ key: renewed.key }, "Cannot reload TLS without 'cert': give it beside 'key'"],
    [
      { ...mismatched },
      "Cannot reload TLS with a 'key' that is not the key of 'cert': use the " +
      "one that was made for CN=localhost",
    ],
    [
      { ...renewed, tls: { serverNames: { "a.test": mismatched } } },
      "Cannot reload TLS with a " +
      `'tls.serverNames["a.test"].key' that is not the key of 'tls.serverNames["a.test"].cert': ` +
      "use the one that was made for CN=localhost",
    ],
    [{ ...renewed, tls: 5 }, "Cannot reload TLS with 'tls' of 5: use an object"],
    [
      { ...renewed, alpnProtocols: [""] },
      `Cannot reload TLS with 'alpnProtocols[0]' of "": use ` +
      'a name, such as "h2"',
    ],
  ];
  for (const [options, message] of rows) {
    const run = () => kept.prepare(untyped(options as object))();
    assertEquals(assertThrows(run, TypeError).message, message);
    assertStrictEquals(kept.socketOptions(), before);
  }
  assertEquals(await shown(kept.socketOptions()), SERVER);
  // Nor does what is made ready, until it is asked to.
  const ready = kept.prepare({ ...renewed });
  assertEquals(await shown(kept.socketOptions()), SERVER);
  ready();
  assertEquals(await shown(kept.socketOptions()), RENEWED);
  // What was refused leaves no trace in what a later one keeps.
  kept.prepare({ ...renewed })();
  assertEquals(await shown(kept.socketOptions(), "a.test"), RENEWED);
  assertEquals(await shown(kept.socketOptions(), "www.example.test"), WILDCARD);
});

netTest("new TlsContexts() refuses at once what would fail each handshake", () => {
  const cut = { cert: server.cert.slice(0, 200), key: server.key };
  const start = "Cannot serve with 'tls.serverNames[\"a.test\"].cert', which holds a certificate";
  const rows: [options: object, start: string][] = [
    [mismatched, "Cannot serve with a 'key' that is not the key of 'cert'"],
    [cut, "Cannot serve with 'cert', which holds a certificate that cannot be read"],
    [{ ...server, tls: { serverNames: { "a.test": cut } } }, start],
    [{ ...server, tls: { clientCa: cut.cert } }, "Cannot serve with 'tls.clientCa', which holds"],
  ];
  for (const [options, start] of rows) {
    const { message } = assertThrows(() => contexts(options), TypeError);
    assert(message.startsWith(start), message);
  }
});

netTest(
  "a context is made once for a certificate, whatever gives it and however often",
  async () => {
    const both = contexts({
      ...server,
      tls: { serverNames: { "a.test": { ...server }, "b.test": { ...renewed } } },
    }).socketOptions();
    assertStrictEquals(await ask(both, "a.test"), both.secureContext);
    assertStrictEquals(await ask(both, "b.test"), await ask(both, "b.test"));
    assert(await ask(both, "b.test") !== both.secureContext);

    const { key } = server;
    let number = 0;
    // A certificate of its own for each number, as far as their text goes.
    const numbered = () => ({ cert: `${number}\n${server.cert}`, key });
    const asking = contexts({ tls: { serverNames: numbered } }).socketOptions();
    const first = await ask(asking, "a.test");
    assertStrictEquals(await ask(asking, "b.test"), first);
    for (number = 1; number < 1000; number++) await ask(asking, "a.test");
    number = 0;
    assertStrictEquals(await ask(asking, "a.test"), first);
    // Not without bound: there may be a certificate for each of a million names.
    number = 1000;
    await ask(asking, "a.test");
    number = 0;
    assert(await ask(asking, "a.test") !== first);
  },
);

netTest("a certificate that keeps its text and gets another key is looked at again", async () => {
  let given = server;
  const options = contexts({ tls: { serverNames: () => given } }).socketOptions();
  await ask(options, "a.test");
  given = mismatched;
  const { server: side } = await shakeHands(options, { servername: "a.test" });
  assert(side.error?.message.includes("is not the key of"));
});
