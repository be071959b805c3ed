/** Makes ClientHellos, well-formed and malformed, and records around them. @module */

import { BinaryWriter } from "../../lib/wire/binary_writer.ts";

/** What a ClientHello says. */
export interface Hello {
  readonly version?: number;
  /** Names with their types; an empty list is an empty list. */
  readonly names?: readonly [type: number, name: string][];
  readonly alpn?: readonly string[];
  readonly versions?: readonly number[];
  /** Other extensions, in front of those above. */
  readonly others?: readonly [type: number, data: Uint8Array][];
  /** Whether there are extensions at all; true if left out. */
  readonly extended?: boolean;
}

/** The handshake message. */
export function message(hello: Hello): Uint8Array {
  const body = new BinaryWriter().u16(hello.version ?? 0x0303).bytes(new Uint8Array(32).fill(7))
    .prefixed(1, new Uint8Array(32).fill(8)).prefixed(2, Uint8Array.of(0x13, 1, 0x0a, 0x0a))
    .prefixed(1, Uint8Array.of(0));
  if (hello.extended !== false) {
    body.block(2, (list) => {
      for (const [type, data] of hello.others ?? []) list.u16(type).prefixed(2, data);
      if (hello.names !== undefined) {
        list.u16(0).block(2, (data) =>
          data.block(2, () => {
            for (const [type, name] of hello.names!) list.u8(type).prefixed(2, latin1(name));
          }));
      }
      if (hello.alpn !== undefined) {
        list.u16(16).block(2, (data) =>
          data.block(2, () => {
            for (const name of hello.alpn!) list.prefixed(1, latin1(name));
          }));
      }
      if (hello.versions !== undefined) {
        list.u16(43).block(2, (data) =>
          data.block(1, () => {
            for (const version of hello.versions!) list.u16(version);
          }));
      }
    });
  }
  return new BinaryWriter().u8(1).prefixed(3, body.finish()).finish();
}

/** A message in records of these sizes; the rest of it is in a last one. */
export function records(message: Uint8Array, sizes: readonly number[] = []): Uint8Array {
  const writer = new BinaryWriter();
  let at = 0;
  for (const size of [...sizes, message.length]) {
    const part = message.subarray(at, at += size);
    if (part.length > 0) writer.u8(22).u16(0x0301).prefixed(2, part);
  }
  return writer.finish();
}

function latin1(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
