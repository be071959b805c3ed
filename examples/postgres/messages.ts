/** The messages of PostgreSQL's protocol, version 3, as far as simple queries need them. @module */

import {
  type Codec,
  lengthPrefixed,
  mapped,
  type Message,
  ProtocolError,
  withHeader,
} from "jsr:@usher/server@^0.2.0";
import { BinaryReader, BinaryWriter } from "jsr:@usher/server@^0.2.0/wire";

/** Bytes of a client's first message, as in PostgreSQL, and of every other one, fewer than there. */
const LONGEST_STARTUP = 10_000, LONGEST = 65_536;

/** Request codes, sent in place of the protocol version. */
const CANCEL = 80_877_102, SSL = 80_877_103, GSSAPI = 80_877_104;

/** The server's parameters. */
const PARAMETERS = {
  server_version: "15.0",
  server_encoding: "UTF8",
  client_encoding: "UTF8",
  DateStyle: "ISO, MDY",
  standard_conforming_strings: "on",
};

/** What a client must send to cancel its query. */
export interface Key {
  readonly pid: number;
  readonly secret: number;
}

/** The key as one text. */
export function keyOf({ pid, secret }: Key): string {
  return `${pid} ${secret}`;
}

/** A client's first message. */
export type Startup =
  | { readonly kind: "ssl" }
  | { readonly kind: "gssapi" }
  | { readonly kind: "cancel" } & Key
  | { readonly kind: "session"; readonly minor: number; readonly options: Map<string, string> };

export const startups: Codec<Startup> = mapped(
  lengthPrefixed({ bytes: 4, adjustment: -4, limit: LONGEST_STARTUP }),
  {
    decode: readStartup,
    encode: () => {
      throw new TypeError("Cannot encode what only clients send");
    },
  },
);

function readStartup(bytes: Uint8Array): Startup {
  const reader = new BinaryReader(bytes, { name: "a startup message" });
  const code = reader.u32();
  if (code === SSL) return { kind: "ssl" };
  if (code === GSSAPI) return { kind: "gssapi" };
  if (code === CANCEL) return { kind: "cancel", pid: reader.u32(), secret: reader.u32() };
  if (code >> 16 !== 3) {
    throw new ProtocolError(`Cannot speak version ${code >> 16} of the protocol`);
  }
  const options = new Map<string, string>();
  for (let name; (name = reader.cstring()) !== "";) options.set(name, reader.cstring());
  return { kind: "session", minor: code & 0xffff, options };
}

/** A message: its type, one letter, and its body. */
export const messages: Codec<Message<string>> = withHeader({
  limit: LONGEST,
  parse(bytes) {
    if (bytes.length < 5) return { need: 5 };
    const reader = new BinaryReader(bytes);
    return { header: reader.string(1), taken: 5, size: reader.u32() - 4 };
  },
  encode: (type, size) => new BinaryWriter().string(type).u32(size + 4).finish(),
});

/** A message of the server; `write` writes its body. */
export function message(
  type: string,
  write: (writer: BinaryWriter) => unknown = () => {},
): Message<string> {
  const writer = new BinaryWriter();
  write(writer);
  return { header: type, body: writer.finish() };
}

/** The messages after a login, up to the first query. */
export function* greetings({ pid, secret }: Key, minor: number): Generator<Message<string>> {
  // NegotiateProtocolVersion: nothing above 3.0 is supported.
  if (minor > 0) yield message("v", (writer) => writer.u32(3 << 16).u32(0));
  yield message("R", (writer) => writer.u32(0));
  for (const [name, value] of Object.entries(PARAMETERS)) {
    yield message("S", (writer) => writer.cstring(name).cstring(value));
  }
  yield message("K", (writer) => writer.u32(pid).u32(secret));
}

/** The server waits for a query. Nothing is ever changed, so no transaction is ever open. */
export const READY: Message<string> = message("Z", (writer) => writer.string("I"));

/** The names of columns, all of which are text. */
export function rowDescription(names: readonly string[]): Message<string> {
  const TEXT = 25, ANY_SIZE = 0xffff, NO_MODIFIER = 0xffff_ffff;
  return message("T", (writer) => {
    writer.u16(names.length);
    for (const name of names) {
      writer.cstring(name).u32(0).u16(0).u32(TEXT).u16(ANY_SIZE).u32(NO_MODIFIER).u16(0);
    }
  });
}

export function dataRow(values: readonly unknown[]): Message<string> {
  return message("D", (writer) => {
    writer.u16(values.length);
    for (const value of values) writer.prefixedString(4, String(value));
  });
}

/** An error, with an SQLSTATE code of five characters. */
export function errorResponse(
  severity: "ERROR" | "FATAL",
  code: string,
  text: string,
): Message<string> {
  return message("E", (writer) => {
    const fields = { S: severity, V: severity, C: code, M: text.replaceAll("\0", "") };
    for (const [field, value] of Object.entries(fields)) writer.string(field).cstring(value);
    writer.u8(0);
  });
}
