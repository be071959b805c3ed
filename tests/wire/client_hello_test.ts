/** A ClientHello is read from any records and any chunks, and what is not one is refused early. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { ProtocolError } from "../../lib/errors.ts";
import { everySplit } from "../../lib/testing/mod.ts";
import { type ClientHello, clientHello } from "../../lib/wire/client_hello.ts";
import { type Hello, message, records } from "./client_hellos.ts";
import { bytes } from "../support/bytes.ts";
import { propertyTest } from "./property.ts";

const HELLO: Hello = {
  others: [[0x1a1a, new Uint8Array()], [10, Uint8Array.of(0, 2, 0, 29)]],
  names: [[0, "Example.COM"]],
  alpn: ["h2", "http/1.1"],
  versions: [0x5a5a, 0x0304, 0x0303],
};

const FACTS: ClientHello = {
  serverName: "example.com",
  alpnProtocols: ["h2", "http/1.1"],
  versions: ["TLSv1.3", "TLSv1.2"],
};

/** Reads as a proxy does, from as many bytes as are asked for; also counts the calls. */
function peeked(stream: Uint8Array): { facts: ClientHello | "more is needed"; calls: number } {
  let need = 0;
  for (let calls = 1;; calls++) {
    const facts = clientHello(stream.subarray(0, need));
    if (!("need" in facts)) return { facts, calls };
    assert(facts.need > need, "a need that is met already");
    if (facts.need > stream.length) return { facts: "more is needed", calls };
    need = facts.need;
  }
}

/** The error for these bytes, which is the same however many are asked for. */
function refusal(stream: Uint8Array): string {
  const { message } = assertThrows(() => clientHello(stream), ProtocolError);
  assertEquals(assertThrows(() => peeked(stream), ProtocolError).message, message);
  return message;
}

Deno.test("clientHello() reads server name, protocols and versions, without GREASE", () => {
  assertEquals(clientHello(records(message(HELLO))), FACTS);
  const hellos: [Hello, ClientHello][] = [
    [{}, { alpnProtocols: [], versions: ["TLSv1.2"] }],
    [{ extended: false, version: 0x0301 }, { alpnProtocols: [], versions: ["TLSv1"] }],
    [{ version: 0x0300 }, { alpnProtocols: [], versions: ["SSLv3"] }],
    [{ versions: [0x7f1c, 0x0302] }, { alpnProtocols: [], versions: ["0x7f1c", "TLSv1.1"] }],
    [{ versions: [0x0a0a] }, { alpnProtocols: [], versions: [] }],
    [{ alpn: ["\x1a\x1a", "\xff", "h2"] }, {
      alpnProtocols: ["\xff", "h2"],
      versions: ["TLSv1.2"],
    }],
    [{ names: [[7, "other"], [0, "a_b.example."]] }, {
      serverName: "a_b.example.",
      alpnProtocols: [],
      versions: ["TLSv1.2"],
    }],
    [{ names: [[7, ""]] }, { alpnProtocols: [], versions: ["TLSv1.2"] }],
  ];
  for (const [hello, facts] of hellos) {
    assertEquals(clientHello(records(message(hello))), facts);
  }
});

Deno.test("clientHello() needs the head of a record, then the record", () => {
  const stream = records(message(HELLO));
  assertEquals(clientHello(new Uint8Array()), { need: 5 });
  for (const size of [1, 2, 4]) {
    assertEquals(clientHello(stream.subarray(0, size)), { need: 5 });
  }
  for (const size of [5, 6, 9, stream.length - 1]) {
    assertEquals(clientHello(stream.subarray(0, size)), { need: stream.length });
  }
  assertEquals(peeked(stream), { facts: FACTS, calls: 3 });
});

Deno.test("clientHello() reads a message over several records, one call for each", () => {
  const whole = message(HELLO);
  for (const sizes of [[1], [4], [3, 1], [60], [60, 1, 1, 1], [1, 1, 1, 1, 1]]) {
    const { facts, calls } = peeked(records(whole, sizes));
    assertEquals(facts, FACTS);
    assert(calls <= 2 * (sizes.length + 1) + 1, `${calls} for ${sizes}`);
  }
  const fine = records(whole, new Array(whole.length).fill(1));
  assertEquals(peeked(fine).facts, FACTS);
});

Deno.test("clientHello() leaves what follows alone", () => {
  const stream = records(message(HELLO));
  assertEquals(clientHello(Uint8Array.of(...stream, 23, 9, 9)), FACTS);
});

Deno.test("clientHello() reads the same at every split, and asks for no more than there is", () => {
  const whole = message({ names: [[0, "a.b"]], alpn: ["h2"], versions: [0x0304] });
  const stream = records(whole, [2, 50]);
  const facts = clientHello(stream);
  everySplit(stream, (pieces) => {
    let bytes = new Uint8Array();
    let need = 1;
    for (const piece of pieces) {
      bytes = Uint8Array.of(...bytes, ...piece);
      const found = clientHello(bytes);
      if (bytes.length === stream.length) assertEquals(found, facts);
      else assert("need" in found && found.need > bytes.length && found.need <= stream.length);
      if ("need" in found) need = Math.max(need, found.need);
    }
    assert(need <= stream.length);
  });
});

Deno.test("clientHello() refuses what is not a ClientHello as soon as that is certain", () => {
  const begins: [string | Uint8Array, string][] = [
    ["G", "a record of type 71, at byte 0"],
    ["PROXY TCP4", "a record of type 80, at byte 0"],
    [Uint8Array.of(0x80, 0x2e, 1), "a record of type 128, at byte 0"],
    [Uint8Array.of(22, 2), "a record of version 2, at byte 1"],
    [Uint8Array.of(22, 3, 1, 0, 0), "a record of 0 bytes, at byte 3"],
    [Uint8Array.of(22, 3, 1, 0x40, 1), "a record of 16385 bytes, at byte 3"],
    [Uint8Array.of(22, 3, 1, 0, 9, 2), "a handshake message of type 2"],
    [Uint8Array.of(22, 3, 1, 0, 9, 1, 1, 0, 0), "65540 bytes, which is more than 16384"],
    [Uint8Array.of(22, 3, 1, 0, 9, 1, 0, 0, 4), "its record goes on after it"],
    [Uint8Array.of(22, 3, 1, 0, 1, 1, 23), "a record of type 23, at byte 6"],
  ];
  for (const [begin, message] of begins) {
    const stream = typeof begin === "string" ? bytes`${begin}` : begin;
    assertEquals(
      assertThrows(() => clientHello(stream), ProtocolError).message,
      `Cannot read a ClientHello: ${message}`,
    );
  }
  const long = message({ others: [[21, new Uint8Array(2000)]] });
  assertThrows(
    () => peeked(records(long, new Array(300).fill(1))),
    ProtocolError,
    "it is spread over more than 256 records",
  );
});

Deno.test("clientHello() refuses a malformed message, and says what is wrong", () => {
  const hellos: [Hello, string][] = [
    [{ names: [] }, "an empty list of server names"],
    [{ names: [[0, ""]] }, "a host name of 0 bytes instead of 1 to 255"],
    [{ names: [[0, "a".repeat(256)]] }, "a host name of 256 bytes instead of 1 to 255"],
    [{ names: [[0, "a\0b"]] }, "a host name that is not ASCII"],
    [{ names: [[0, "bücher"]] }, "a host name that is not ASCII"],
    [{ names: [[0, "a b"]] }, "a host name that is not ASCII"],
    [{ names: [[0, "a"], [0, "b"]] }, "a second host name"],
    [{ alpn: [] }, "an empty list of protocols"],
    [{ alpn: [""] }, "a protocol name of 0 bytes instead of 1 to 255"],
    [{ versions: [] }, "an empty list of versions"],
    [{ ...HELLO, others: [[43, Uint8Array.of(2, 3, 4)]] }, "a second extension of type 43"],
  ];
  for (const [hello, what] of hellos) {
    assertEquals(refusal(records(message(hello))), `Cannot read a ClientHello: ${what}`);
  }
  const extensions: [number, string, RegExp][] = [
    [0, "", /^Cannot read 2 bytes of a ClientHello at byte \d+: 0 are left$/],
    [0, "0004 00 0002 61", /^Cannot read 2 bytes of a ClientHello at byte \d+: 1 is left$/],
    [0, "0004 00 0001 61 00", /^Cannot read the end of a ClientHello/],
    [16, "0003 0361 62", /^Cannot read 3 bytes of a ClientHello/],
    [43, "03 030403", /^Cannot read 2 bytes of a ClientHello/],
  ];
  for (const [type, digits, pattern] of extensions) {
    const data = Uint8Array.fromHex(digits.replaceAll(" ", ""));
    const text = refusal(records(message({ others: [[type, data]] })));
    assert(pattern.test(text), text);
  }
});

Deno.test("clientHello() refuses a message that is cut, or whose lengths are wrong", () => {
  const whole = message(HELLO);
  for (let size = 4; size < whole.length; size++) {
    const cut = whole.slice(0, size);
    cut.set([(size - 4) >> 8, (size - 4) & 255], 2);
    // Right behind the compression methods, a message without extensions ends.
    if (size === 4 + 2 + 32 + 33 + 6 + 2) clientHello(records(cut));
    else refusal(records(cut));
  }
});

propertyTest(
  "clientHello() reads any names in any records, and asks for no byte that is not needed",
  [
    fc.record({
      names: fc.array(
        fc.tuple(fc.constant(0), fc.stringMatching(/^[A-Za-z0-9.-]{1,20}$/)),
        { minLength: 1, maxLength: 1 },
      ),
      alpn: fc.array(fc.stringMatching(/^[a-z0-9./]{1,9}$/), { minLength: 1, maxLength: 4 }),
      versions: fc.array(fc.constantFrom(0x0303, 0x0304, 0x0302), { minLength: 1, maxLength: 4 }),
    }, { requiredKeys: [] }),
    fc.array(fc.integer({ min: 1, max: 80 }), { maxLength: 9 }),
  ],
  (hello, sizes) => {
    const stream = records(message(hello as Hello), sizes);
    const { facts } = peeked(stream);
    assert(facts !== "more is needed");
    assertEquals(facts.serverName, hello.names?.[0]?.[1]?.toLowerCase());
    assertEquals(facts.alpnProtocols, hello.alpn ?? []);
    assertEquals(facts.versions.length, hello.versions?.length ?? 1);
    assertEquals(peeked(stream.subarray(0, -1)).facts, "more is needed");
  },
);

Deno.test("clientHello() refuses what is not bytes", () => {
  assertThrows(
    () => clientHello("text" as unknown as Uint8Array),
    TypeError,
    `Cannot read a ClientHello with 'bytes' of "text": use a Uint8Array`,
  );
});
