/** The commands of the store. @module */

import { ProtocolError } from "jsr:@usher/server@^0.2.0";
import { matchesGlob } from "./glob.ts";
import { type Command, Failure, type Reply, Status } from "./resp.ts";
import type { Store } from "./store.ts";
import { fromLatin1, latin1, parseInteger } from "./text.ts";

/** One command. */
interface Entry {
  /** How many words it takes, including its name. */
  readonly words: readonly [least: number, most: number];
  /** Whether it can make the store grow: then it is refused when the store is full. */
  readonly grows?: boolean;
  /** `words` has as many members as it takes, the name first. */
  run(store: Store, words: Command): Reply;
}

/** Any number of words. */
const ANY = Infinity;

/** Bytes of one reply to many keys: 8 MiB. A reply is held in memory until it is sent. */
const MOST_REPLIED = 8_388_608;

/** Characters of a pattern: with n of them, matching a key takes up to n times its length. */
const LONGEST_PATTERN = 256;

/** Letters of a name: as many as a number can hold exactly, at 5 bits each. */
const LONGEST_NAME = 10;

/** Characters of words that an error quotes. */
const MOST_QUOTED = 128;

/** The furthest time in ms since 1970: what a JavaScript date can hold. */
const END_OF_TIME = 8.64e15;

const OK = new Status("OK");
const PONG = new Status("PONG");
/** The reply after which the connection is closed. */
export const BYE: Status = new Status("OK");

const SYNTAX_ERROR = new Failure("ERR syntax error");
const NOT_AN_INTEGER = new Failure("ERR value is not an integer or out of range");
const OVERFLOW = new Failure("ERR increment or decrement would overflow");
const FULL = new Failure("OOM command not allowed when the store is full");
const TOO_MUCH = new Failure(`ERR the reply would be more than ${MOST_REPLIED} bytes`);
const LONG_PATTERN = new Failure(`ERR pattern is longer than ${LONGEST_PATTERN} bytes`);

/** The answers to `CONFIG GET`: the names that other programs ask for, and the values here. */
const CONFIGURATION: Record<string, string> = { appendonly: "no", save: "" };

const TABLE: Record<string, Entry> = {
  COMMAND: { words: [1, ANY], run: (_, words) => wordIs(words[1], "COUNT") ? COUNT : [] },
  CONFIG: { words: [2, ANY], run: (_, words) => config(words) },
  DBSIZE: { words: [1, 1], run: (store) => store.size },
  DECR: { words: [2, 2], grows: true, run: (store, words) => add(store, words, -1n) },
  DEL: { words: [2, ANY], run: (store, words) => count(words, (key) => store.delete(key)) },
  ECHO: { words: [2, 2], run: (_, words) => words[1]! },
  EXISTS: { words: [2, ANY], run: (store, words) => count(words, (key) => store.has(key)) },
  EXPIRE: { words: [3, 3], run: expire },
  FLUSHALL: { words: [1, 2], run: flush },
  GET: { words: [2, 2], run: (store, words) => store.get(latin1(words[1]!)) ?? null },
  INCR: { words: [2, 2], grows: true, run: (store, words) => add(store, words, 1n) },
  KEYS: { words: [2, 2], run: keys },
  MGET: { words: [2, ANY], run: getMany },
  MSET: { words: [3, ANY], grows: true, run: setMany },
  PING: { words: [1, 2], run: (_, words) => words[1] ?? PONG },
  QUIT: { words: [1, ANY], run: () => BYE },
  SET: { words: [3, ANY], grows: true, run: set },
  TTL: { words: [2, 2], run: timeToLive },
};

const COUNT = Object.keys(TABLE).length;

const BY_CODE = new Map(
  Object.entries(TABLE).map(([name, entry]) => [codeOf(fromLatin1(name)), entry]),
);

/**
 * Runs a command; an error in it is a reply, too.
 *
 * @throws {ProtocolError} At the first line of an HTTP request, and at its `Host:`. A web page can make
 * a browser send one here, with commands in its body.
 */
export function execute(store: Store, words: Command): Reply {
  const entry = BY_CODE.get(codeOf(words[0]!));
  if (entry === undefined) {
    if (isHttp(words)) throw new ProtocolError("Protocol error: HTTP is not spoken here");
    return unknown(words);
  }
  const [least, most] = entry.words;
  if (words.length < least || words.length > most) return wrongNumber(latin1(words[0]!));
  if (entry.grows && store.isFull) return FULL;
  return entry.run(store, words);
}

/**
 * A name as a number, with 5 bits per letter, regardless of case; -1 if it is no name. A string per
 * command would cost more than everything else here.
 */
function codeOf(name: Uint8Array): number {
  if (name.length > LONGEST_NAME) return -1;
  let code = 0;
  for (let i = 0; i < name.length; i++) {
    const letter = (name[i]! | 32) - 96;
    if (letter < 1 || letter > 26) return -1;
    code = code * 32 + letter;
  }
  return code;
}

/** As in Redis: `POST` and `Host:`, whatever follows, since a page controls only what follows. */
function isHttp([name]: Command): boolean {
  return wordIs(name, "POST") || wordIs(name, "HOST:");
}

function set(store: Store, words: Command): Reply {
  const key = latin1(words[1]!);
  if (words.length === 3) {
    store.set(key, words[2]!);
    return OK;
  }
  let expiresAt: number | Failure | undefined;
  let condition: "NX" | "XX" | undefined;
  for (let i = 3; i < words.length; i++) {
    const option = latin1(words[i]!).toUpperCase();
    if ((option === "NX" || option === "XX") && (condition ?? option) === option) {
      condition = option;
    } else if (
      (option === "EX" || option === "PX") && expiresAt === undefined && ++i < words.length
    ) {
      expiresAt = readExpiry(words[i]!, option === "EX" ? 1000 : 1, "set");
    } else return SYNTAX_ERROR;
  }
  if (expiresAt instanceof Failure) return expiresAt;
  if (condition !== undefined && store.has(key) !== (condition === "XX")) return null;
  store.set(key, words[2]!, expiresAt);
  return OK;
}

/** The time in `amount` units of `unit` ms; `amount` must be positive. */
function readExpiry(amount: Uint8Array, unit: number, command: string): number | Failure {
  const units = parseInteger(latin1(amount));
  if (units === null) return NOT_AN_INTEGER;
  const expiresAt = Date.now() + Number(units) * unit;
  return units > 0n && expiresAt <= END_OF_TIME ? expiresAt : invalidExpiry(command);
}

function expire(store: Store, words: Command): Reply {
  const key = latin1(words[1]!);
  const seconds = parseInteger(latin1(words[2]!));
  if (seconds === null) return NOT_AN_INTEGER;
  if (seconds <= 0n) return Number(store.delete(key)); // in the past: the key expires at once
  const expiresAt = Date.now() + Number(seconds) * 1000;
  return expiresAt <= END_OF_TIME ? Number(store.expire(key, expiresAt)) : invalidExpiry("expire");
}

function timeToLive(store: Store, words: Command): Reply {
  const expiresAt = store.expiry(latin1(words[1]!));
  if (expiresAt === undefined) return -2;
  return expiresAt === Infinity ? -1 : Math.round((expiresAt - Date.now()) / 1000);
}

function add(store: Store, words: Command, change: bigint): Reply {
  const key = latin1(words[1]!);
  const value = store.get(key);
  const number = value === undefined ? 0n : parseInteger(latin1(value));
  if (number === null) return NOT_AN_INTEGER;
  const sum = number + change;
  if (BigInt.asIntN(64, sum) !== sum) return OVERFLOW;
  store.set(key, fromLatin1(String(sum)), store.expiry(key));
  return sum;
}

/** For how many of the words after the name a predicate holds. */
function count(words: Command, isTrue: (key: string) => boolean): number {
  return words.reduce((sum, word, i) => i > 0 && isTrue(latin1(word)) ? sum + 1 : sum, 0);
}

function getMany(store: Store, words: Command): Reply {
  return bounded(words.values().drop(1).map((word) => store.get(latin1(word)) ?? null));
}

function setMany(store: Store, words: Command): Reply {
  if (words.length % 2 === 0) return wrongNumber("mset");
  for (let i = 1; i < words.length; i += 2) store.set(latin1(words[i]!), words[i + 1]!);
  return OK;
}

function keys(store: Store, words: Command): Reply {
  const pattern = latin1(words[1]!);
  if (pattern.length > LONGEST_PATTERN) return LONG_PATTERN;
  return bounded(store.keys().filter((key) => matchesGlob(key, pattern)).map(fromLatin1));
}

/** An array, if it is not too large to be held. */
function bounded(values: Iterable<Uint8Array | null>): Reply {
  const reply: (Uint8Array | null)[] = [];
  let size = 0;
  for (const value of values) {
    // With the header, and the fixed cost of a member.
    size += 16 + (value?.length ?? 0);
    if (size > MOST_REPLIED) return TOO_MUCH;
    reply.push(value);
  }
  return reply;
}

function flush(store: Store, words: Command): Reply {
  if (words.length > 1 && !wordIs(words[1], "SYNC") && !wordIs(words[1], "ASYNC")) {
    return SYNTAX_ERROR;
  }
  store.clear();
  return OK;
}

function config(words: Command): Reply {
  if (!wordIs(words[1], "GET")) {
    return new Failure(
      `ERR unknown subcommand '${quoted(words[1]!, MOST_QUOTED)}'. Try CONFIG GET.`,
    );
  }
  if (words.length === 2) return wrongNumber("config|get");
  const patterns = words.slice(2).map((word) => latin1(word).toLowerCase());
  if (patterns.some(({ length }) => length > LONGEST_PATTERN)) return LONG_PATTERN;
  return Object.entries(CONFIGURATION)
    .filter(([name]) => patterns.some((pattern) => matchesGlob(name, pattern)))
    .flat().map(fromLatin1);
}

function wordIs(word: Uint8Array | undefined, text: string): boolean {
  return word !== undefined && latin1(word).toUpperCase() === text;
}

function unknown(words: Command): Failure {
  let args = "";
  for (let i = 1; i < words.length && args.length < MOST_QUOTED; i++) {
    args += `'${quoted(words[i]!, MOST_QUOTED - args.length)}' `;
  }
  const name = quoted(words[0]!, MOST_QUOTED);
  return new Failure(`ERR unknown command '${name}', with args beginning with: ${args}`);
}

/** The beginning of a word, safe to show. */
function quoted(word: Uint8Array, most: number): string {
  return latin1(word.subarray(0, most)).replaceAll(/[^\x20-\x7e]/g, "?");
}

function wrongNumber(name: string): Failure {
  return new Failure(`ERR wrong number of arguments for '${name.toLowerCase()}' command`);
}

function invalidExpiry(command: string): Failure {
  return new Failure(`ERR invalid expire time in '${command}' command`);
}
