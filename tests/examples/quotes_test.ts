/** Every question is answered, right or wrong. @module */

import { assertEquals } from "@std/assert";
import { quotes } from "../../examples/quotes.ts";
import { connect } from "../../lib/testing/mod.ts";
import { framed, lengthPrefixed } from "../../mod.ts";
import { bytes, text } from "../support/bytes.ts";

const WRONG = 'Ask for "count", "quote" with a "number", or "find" with a "word"';
const NO_OBJECT = "Send an object in JSON";

const ANSWERS: [question: string, answer: unknown][] = [
  ['{"id":1,"ask":"count"}', { id: 1, answer: 4 }],
  [
    '{"id":2,"ask":"quote","number":0}',
    { id: 2, answer: { text: "Well begun is half done", from: "Greece" } },
  ],
  ['{"id":3,"ask":"quote","number":4}', { id: 3, error: WRONG }],
  ['{"id":4,"ask":"quote","number":"0"}', { id: 4, error: WRONG }],
  ['{"id":5,"ask":"quote","number":0.5}', { id: 5, error: WRONG }],
  ['{"id":6,"ask":"find","word":"THE"}', { id: 6, answer: [2] }],
  ['{"id":7,"ask":"find","word":"nowhere"}', { id: 7, answer: [] }],
  ['{"id":8,"ask":"find"}', { id: 8, error: WRONG }],
  ['{"id":9}', { id: 9, error: WRONG }],
  ['{"id":{},"ask":"count"}', { id: null, answer: 4 }],
  ["[]", { id: null, error: WRONG }],
  ["null", { id: null, error: NO_OBJECT }],
  ["7", { id: null, error: NO_OBJECT }],
  ["", { id: null, error: NO_OBJECT }],
  ['{"id":1', { id: null, error: NO_OBJECT }],
  ["[".repeat(4096), { id: null, error: NO_OBJECT }],
];

Deno.test("quotes() answers questions in order, also when they arrive together", async () => {
  await using client = connect(quotes);
  const messages = framed(client, lengthPrefixed());
  for (const [question] of ANSWERS) messages.send(bytes`${question}`);
  for (const [question, answer] of ANSWERS) {
    const message = await messages.read();
    assertEquals(JSON.parse(text(message!)), answer, question);
  }
});

Deno.test("quotes() answers an error when a question is not UTF-8", async () => {
  await using client = connect(quotes);
  const messages = framed(client, lengthPrefixed());
  await messages.send(Uint8Array.of(0x22, 0xff, 0x22));
  assertEquals(JSON.parse(text((await messages.read())!)), { id: null, error: NO_OBJECT });
});

Deno.test("quotes() ends a client that announces too much", async () => {
  await using client = connect(quotes);
  await client.write(Uint8Array.of(0, 0, 0x10, 1));
  assertEquals(await client.read(new Uint8Array(1)), null);
  assertEquals((await client.ended).reason, "protocol_error");
});
