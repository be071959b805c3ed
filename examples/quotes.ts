/**
 * Answers questions about a few proverbs. Both are JSON, prefixed by its length in four bytes:
 *
 * - `{ "id": 1, "ask": "count" }` is answered by `{ "id": 1, "answer": 4 }`
 * - `{ "id": 2, "ask": "quote", "number": 0 }` by `{ "id": 2, "answer": { "text": …, "from": … } }`
 * - `{ "id": 3, "ask": "find", "word": "stone" }` by `{ "id": 3, "answer": [2] }`
 * - anything else by `{ "id": …, "error": … }`
 *
 * deno run --allow-net examples/quotes.ts
 *
 * @module
 */

import { type Connection, framed, lengthPrefixed, mapped, serve } from "jsr:@usher/server@^0.2.0";
import { start } from "./start.ts";

const QUOTES = [
  { text: "Well begun is half done", from: "Greece" },
  { text: "Fall seven times, stand up eight", from: "Japan" },
  { text: "Constant dripping wears away the stone", from: "Rome" },
  { text: "Trust, but verify", from: "Russia" },
];

/** Bytes of a question; every answer is shorter. */
const LONGEST = 4096;

const encoder = new TextEncoder();
/** Fatal: half a question is none. */
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Questions and answers as objects; `null` for a message that is none. */
type Message = Record<string, unknown> | null;

const messages = mapped<Uint8Array, Message>(lengthPrefixed({ bytes: 4, limit: LONGEST }), {
  decode: parse,
  encode: (message) => encoder.encode(JSON.stringify(message)),
});

/** Serves one client, which may send its next question before it has the answer. */
export async function quotes(conn: Connection): Promise<void> {
  const client = framed(conn, messages);
  for await (const question of client) await client.send(reply(question));
}

/** The answer, with the question's number, by which a client matches them. */
function reply(question: Message): Message {
  if (question === null) return { id: null, error: "Send an object in JSON" };
  const id = typeof question["id"] === "number" ? question["id"] : null;
  const answer = answerTo(question);
  return answer === undefined
    ? { id, error: 'Ask for "count", "quote" with a "number", or "find" with a "word"' }
    : { id, answer };
}

function parse(message: Uint8Array): Message {
  try {
    const value: unknown = JSON.parse(decoder.decode(message));
    return typeof value === "object" ? value as Message : null;
  } catch {
    return null;
  }
}

function answerTo({ ask, number, word }: Record<string, unknown>): unknown {
  if (ask === "count") return QUOTES.length;
  if (ask === "quote" && typeof number === "number") return QUOTES[number];
  if (ask !== "find" || typeof word !== "string") return undefined;
  const wanted = word.toLowerCase();
  return QUOTES.flatMap(({ text }, i) => text.toLowerCase().includes(wanted) ? [i] : []);
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/quotes.ts";
  await start({ command, port: 7000 }, (place) => serve(place, quotes));
}
