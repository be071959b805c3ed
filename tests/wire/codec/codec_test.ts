/** Codecs as users write them: several decoders in one, and one codec around another. @module */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { framed } from "../../../lib/connection/framed.ts";
import { connection } from "../../../lib/connection/wrap.ts";
import { ProtocolError } from "../../../lib/errors.ts";
import { everySplit, pair } from "../../../lib/testing/mod.ts";
import type { Codec, Decoded, Decoder, Need } from "../../../lib/wire/codec/codec.ts";
import { delimited } from "../../../lib/wire/codec/delimited.ts";
import { lines } from "../../../lib/wire/codec/lines.ts";
import { mapped } from "../../../lib/wire/codec/mapped.ts";
import { oneOf } from "../../../lib/wire/codec/one_of.ts";
import { withHeader } from "../../../lib/wire/codec/with_header.ts";
import { bytes } from "../../support/bytes.ts";
import { cut, drive, outcome, singly } from "./drive.ts";
import { propertyTest, sizes } from "../property.ts";

/** Two protocols in one: commands are lines, and what follows `DATA n` is n bytes. */
const mail: Codec<string | Uint8Array> = {
  decode(bytes, seen, end) {
    const found = commands.decode(bytes, seen, end);
    if (found === null || "need" in found || found.frame === undefined) return null;
    const size = Number(/^DATA (\d+)$/.exec(found.frame)?.[1] ?? NaN);
    if (Number.isNaN(size)) return { frame: found.frame, taken: found.taken };
    return { taken: found.taken, next: body(size) };
  },
  encode: (frame) =>
    typeof frame === "string"
      ? commands.encode(frame)
      : Uint8Array.of(...commands.encode(`DATA ${frame.length}`), ...frame),
};

const commands = lines({ limit: 20 });

function body(size: number): Decoder<string | Uint8Array> {
  return {
    decode: (bytes) =>
      bytes.length < size
        ? { need: size }
        : { frame: bytes.subarray(0, size), taken: size, next: mail },
  };
}

propertyTest(
  "a codec may bring in another decoder, however the stream is cut",
  [
    fc.array(
      fc.oneof(
        fc.string({ unit: fc.constantFrom("a", "b", " "), maxLength: 9 }),
        fc.uint8Array({ maxLength: 20 }),
      ),
      { maxLength: 8 },
    ),
    sizes,
  ],
  (frames, sizes) => {
    const stream = Uint8Array.from(frames.flatMap((frame) => [...mail.encode(frame)]));
    assertEquals(drive(mail, cut(stream, sizes)).frames, frames);
    assertEquals(drive(mail, singly(stream)).frames, frames);
  },
);

Deno.test("an end of the stream is inside a frame while another decoder is in place", () => {
  assertEquals(drive(mail, [bytes`HELO\nDATA 5\n`]).end, "inside");
  assertEquals(drive(mail, [bytes`HELO\nDATA 5\n1234`]).end, "inside");
  assertEquals(drive(mail, [bytes`HELO\nDATA 5\n12345`]).end, "between");
});

/** JSON in frames of another codec, whose answers and decoders are wrapped. */
function json(inner: Codec<Uint8Array>): Codec<unknown> {
  const outer: Codec<unknown> = {
    decode: (bytes, seen, end) => wrap(inner.decode(bytes, seen, end)),
    encode: (value) => inner.encode(new TextEncoder().encode(JSON.stringify(value))),
  };
  const wrapDecoder = (decoder: Decoder<Uint8Array>): Decoder<unknown> =>
    decoder === inner
      ? outer
      : { decode: (bytes, seen, end) => wrap(decoder.decode(bytes, seen, end)) };
  function wrap(
    answer: Decoded<Uint8Array> | Need<Uint8Array> | null,
  ): Decoded<unknown> | Need<unknown> | null {
    if (answer === null) return null;
    const next = answer.next === undefined ? {} : { next: wrapDecoder(answer.next) };
    if ("need" in answer) return { need: answer.need, ...next };
    if (answer.frame === undefined) return { taken: answer.taken, ...next };
    try {
      const frame = JSON.parse(new TextDecoder().decode(answer.frame));
      return { frame, taken: answer.taken, ...next };
    } catch {
      throw new ProtocolError("Cannot decode a frame that is not JSON");
    }
  }
  return outer;
}

Deno.test("a codec may wrap another one with all of its state", () => {
  const codec = json(delimited("--", { limit: 6, onOversize: "skip" }));
  const stream = bytes`[1]--"ok"--"too long"--null--`;
  for (const chunks of [[stream], singly(stream)]) {
    assertEquals(outcome(drive(codec, chunks)), {
      frames: [[1], "ok", null],
      end: "between",
      taken: stream.length,
    });
  }
  const { frames, end } = drive(codec, [bytes`[1]--[1--`]);
  const error = "ProtocolError: Cannot decode a frame that is not JSON";
  assertEquals([frames, end], [[[1]], { error }]);
});

Deno.test("codecs built from codecs are read from a connection at every split", async () => {
  const numbered = mapped(
    withHeader<number>({
      parse: (bytes) =>
        bytes.length < 2 ? { need: 2 } : { header: bytes[0]!, taken: 2, size: bytes[1]! },
      encode: (type, size) => Uint8Array.of(type, size),
    }),
    {
      decode: ({ header, body }) => `${header}:${new TextDecoder().decode(body)}`,
      encode: (text) => ({
        header: Number(text[0]),
        body: new TextEncoder().encode(text.slice(2)),
      }),
    },
  );
  const line = lines({ limit: 4, onOversize: "skip" });
  const codec = oneOf((bytes) => bytes[0]! < 10 ? numbered : line, numbered);
  await everySplit(Uint8Array.of(1, 2, 97, 98, ...bytes`c\r\ntoo long\n`, 7, 0), async (pieces) => {
    const [socket, receiver] = pair();
    await using sender = connection(socket);
    for (const piece of pieces) await sender.write(piece);
    await sender.closeWrite();
    await using conn = connection(receiver);
    const messages = framed(conn, codec);
    const received = await Array.fromAsync(messages);
    assertEquals(received, ["1:ab", "c", "7:"]);
    for (const text of received.filter((text) => text.includes(":"))) await messages.send(text);
    await messages.flush();
    assertEquals(await sender.readExactly(6), Uint8Array.of(1, 2, 97, 98, 7, 0));
  });
});
