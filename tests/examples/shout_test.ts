/** Every line comes back in capitals, however long it is. @module */

import { assert, assertEquals } from "@std/assert";
import { shout } from "../../examples/shout.ts";
import { connect } from "../../lib/testing/mod.ts";
import { bytes } from "../support/bytes.ts";

/** Sends bytes and the end; returns the answer, the end reason and what was reported. */
async function send(
  said: Uint8Array,
): Promise<{ shouted: string; ended: string; reported: unknown[] }> {
  const reported: unknown[] = [];
  await using client = connect(shout, { onError: (error) => void reported.push(error) });
  client.write(said);
  client.closeWrite();
  const shouted = await new Response(client.readable).text();
  client.close();
  return { shouted, ended: (await client.ended).reason, reported };
}

Deno.test("shout() answers each line in capitals", async () => {
  assertEquals(await send(bytes`${"hello\nwörld\r\n\nstraße\n"}`), {
    shouted: "HELLO\r\nWÖRLD\r\n\r\nSTRASSE\r\n",
    ended: "completed",
    reported: [],
  });
});

Deno.test(
  "shout() shouts lines that grow as much as text can, and lines with a CR in them",
  async () => {
    const said = `${"\u0390".repeat(2048)}\na\rb\r\r\n`;
    assertEquals(await send(bytes`${said}`), {
      shouted: `${"\u0399\u0308\u0301".repeat(2048)}\r\nA\rB\r\r\n`,
      ended: "completed",
      reported: [],
    });
  },
);

Deno.test("shout() ends a client that sends too much or no UTF-8, and reports nothing", async () => {
  for (const wrong of [bytes`${"a".repeat(4097)}\n`, Uint8Array.of(0xff, 10)]) {
    assertEquals(await send(wrong), { shouted: "", ended: "protocol_error", reported: [] });
  }
});

Deno.test("no character grows more in capitals than shout() allows for", () => {
  const encoder = new TextEncoder();
  const size = (text: string) => encoder.encode(text).length;
  for (let code = 0; code <= 0x10ffff; code++) {
    const character = String.fromCodePoint(code);
    const capital = character.toUpperCase();
    if (capital !== character) assert(size(capital) <= 3 * size(character), character);
  }
});
