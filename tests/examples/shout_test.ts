/** Does it shout whatever it is told, however long that gets? @module */

import { assert, assertEquals } from "@std/assert";
import { shout } from "../../examples/shout.ts";
import { type EndRecord, serve } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, dial, LOOPBACK, readAll, text, until, writeAll } from "../support/peers.ts";

/** Sends bytes and their end; what comes back, how it ended and what was reported. */
async function tell(
  said: Uint8Array,
): Promise<{ shouted: string; ended: string; reported: unknown[] }> {
  const ended: EndRecord[] = [];
  const reported: unknown[] = [];
  await using server = serve({
    ...LOOPBACK,
    onEnd: (record) => void ended.push(record),
    onError: (error) => void reported.push(error),
  }, shout);
  const client = await dial(server.addr);
  await writeAll(client, said);
  await client.closeWrite();
  const shouted = text(await readAll(client));
  await until(() => ended.length === 1);
  return { shouted, ended: ended[0]!.reason, reported };
}

netTest("shout() answers each line in capitals", async () => {
  assertEquals(await tell(bytes`${"hello\nwörld\r\n\nstraße\n"}`), {
    shouted: "HELLO\r\nWÖRLD\r\n\r\nSTRASSE\r\n",
    ended: "completed",
    reported: [],
  });
});

netTest(
  "shout() shouts lines that grow as much as text can, and lines with a CR in them",
  async () => {
    const said = `${"\u0390".repeat(2048)}\na\rb\r\r\n`;
    assertEquals(await tell(bytes`${said}`), {
      shouted: `${"\u0399\u0308\u0301".repeat(2048)}\r\nA\rB\r\r\n`,
      ended: "completed",
      reported: [],
    });
  },
);

netTest("shout() ends who sends what is too long or no text, and nobody hears of it", async () => {
  for (const wrong of [bytes`${"a".repeat(4097)}\n`, Uint8Array.of(0xff, 10)]) {
    assertEquals(await tell(wrong), { shouted: "", ended: "protocol_error", reported: [] });
  }
});

Deno.test("no character grows more in capitals than shout() thinks", () => {
  const encoder = new TextEncoder();
  const size = (text: string) => encoder.encode(text).length;
  for (let code = 0; code <= 0x10ffff; code++) {
    const character = String.fromCodePoint(code);
    const capital = character.toUpperCase();
    if (capital !== character) assert(size(capital) <= 3 * size(character), character);
  }
});
