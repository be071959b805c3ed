/** The packets of MQTT 3.1.1, read and written. Numbers in brackets are sections of the standard. @module */

import { type Codec, type Message, ProtocolError, withHeader } from "jsr:@usher/server@^0.2.0";
import { BinaryReader, BinaryWriter } from "jsr:@usher/server@^0.2.0/wire";
import { isTopic } from "./topics.ts";

/** Bytes of a packet after its fixed header; the standard allows 256 MiB. */
const LARGEST = 262_144;

/** A packet: its first byte, which is the type and four flags, and what follows its length. */
export type Packet = Message<number>;

/** Packets. Those of the broker are written as bytes, encoded once for all their receivers. */
export const packets: Codec<Packet> = withHeader({
  limit: LARGEST,
  parse(bytes) {
    let size = 0;
    for (let i = 1; i <= 4; i++) {
      if (i >= bytes.length) return { need: i + 1 };
      size += (bytes[i]! & 127) * 128 ** (i - 1);
      if (bytes[i]! < 128) return { header: bytes[0]!, taken: i + 1, size };
    }
    throw new ProtocolError("Cannot read a packet whose length has more than 4 bytes");
  },
  encode: (header, size) => new BinaryWriter().u8(header).varint(size).finish(),
});

/** What is published under a topic. */
export interface Publication {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: number;
  readonly retain: boolean;
}

/** A CONNECT, a client's first packet (3.1). */
export interface Connect {
  /** The protocol level: 4 is version 3.1.1. */
  readonly level: number;
  readonly clientId: string;
  readonly clean: boolean;
  /** In s; 0 is none. */
  readonly keepAlive: number;
  readonly will: Publication | undefined;
}

export function readConnect({ header, body }: Packet): Connect {
  if (header !== 0x10) {
    throw new ProtocolError(`Cannot begin with a packet ${header}: CONNECT does`);
  }
  const reader = new BinaryReader(body, { name: "a CONNECT" });
  const name = reader.prefixedString(2);
  const level = name === "MQTT" ? reader.u8() : 0;
  if (level !== 4) return { level, clientId: "", clean: true, keepAlive: 0, will: undefined };
  const flags = reader.u8();
  const keepAlive = reader.u16();
  const clientId = reader.prefixedString(2);
  const qos = flags >> 3 & 3;
  if ((flags & 1) !== 0 || qos === 3 || ((flags & 4) === 0 && (flags & 0x38) !== 0)) {
    throw new ProtocolError(`Cannot read a CONNECT with the flags ${flags}`);
  }
  const will = (flags & 4) === 0 ? undefined : {
    topic: checkedTopic(reader.prefixedString(2)),
    payload: reader.prefixed(2).slice(),
    qos: Math.min(qos, 1),
    retain: (flags & 0x20) !== 0,
  };
  if ((flags & 0x80) !== 0) reader.prefixedString(2);
  if ((flags & 0x40) !== 0) reader.prefixed(2);
  reader.end();
  return { level, clientId, clean: (flags & 2) !== 0, keepAlive, will };
}

/** A PUBLISH, and its packet identifier if it wants to be acknowledged (3.3). */
export function readPublish({ header, body }: Packet): Publication & { id: number } {
  const qos = header >> 1 & 3;
  if (qos > 1) throw new ProtocolError("Cannot take a PUBLISH of QoS 2: it is not offered");
  const reader = new BinaryReader(body, { name: "a PUBLISH" });
  const topic = checkedTopic(reader.prefixedString(2));
  const id = qos === 0 ? 0 : readId(reader);
  return { topic, payload: reader.bytes(reader.left), qos, retain: (header & 1) !== 0, id };
}

/** A packet identifier; 0 is not allowed (2.3.1). */
export function readId(reader: BinaryReader): number {
  const id = reader.u16();
  if (id === 0) throw new ProtocolError("Cannot take a packet with the number 0");
  return id;
}

/** A PUBLISH; `id` only for QoS 1. */
export function publish(
  { topic, payload }: Pick<Publication, "topic" | "payload">,
  { id = 0, retain = false, again = false }: { id?: number; retain?: boolean; again?: boolean },
): Uint8Array {
  const header = 0x30 | (again ? 8 : 0) | (id > 0 ? 2 : 0) | (retain ? 1 : 0);
  const name = new TextEncoder().encode(topic);
  const writer = new BinaryWriter().u8(header).varint(
    name.length + (id > 0 ? 4 : 2) + payload.length,
  );
  writer.prefixed(2, name);
  if (id > 0) writer.u16(id);
  return writer.bytes(payload).finish();
}

/** A packet with an identifier and codes, such as SUBACK. */
export function reply(header: number, id: number, codes: readonly number[] = []): Uint8Array {
  return new BinaryWriter().u8(header).varint(2 + codes.length).u16(id)
    .bytes(Uint8Array.from(codes)).finish();
}

function checkedTopic(topic: string): string {
  if (isTopic(topic)) return topic;
  throw new ProtocolError(`Cannot publish under the topic ${JSON.stringify(topic)}`);
}
