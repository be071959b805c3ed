/** Joins the records of a ClientHello, however finely it is fragmented. @module */

import { joined } from "./joined.ts";

/** A ClientHello in as few records as it takes, and what arrived behind it. */
export interface JoinedHello {
  readonly hello: Uint8Array<ArrayBuffer>;
  readonly rest: Uint8Array<ArrayBuffer>;
}

/** Record and message types, and lengths of their headers (RFC 8446, 4 and 5.1). */
const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const RECORD_HEADER = 5;
const MESSAGE_HEADER = 4;
const MAX_RECORD = 16_384;

/** Bytes of the longest ClientHello that Deno's TLS takes. */
const MAX_HELLO = 65_535;

/**
 * Deno's TLS gives up silently on a ClientHello of several thousand records, so that the peer would
 * wait for `handshakeTimeout`. How a message is cut into records is no part of what both ends sign
 * (RFC 8446, 4.4.1), so it may be fed in others. Whatever is not a ClientHello goes on unchanged: the
 * engine has the alert for it.
 */
export class HelloRecords {
  /** Records that have arrived whole or in part, the last one from `#at` on. */
  #bytes = EMPTY;
  /** Where the next record begins. */
  #at = 0;
  /** Payloads of the records before it, in one piece. */
  #payload = EMPTY;
  #length = 0;

  /** Whether these bytes can begin a TLS connection. */
  static begin(bytes: Uint8Array): boolean {
    return bytes[0] === HANDSHAKE;
  }

  /**
   * Takes what has arrived; gives the ClientHello once it is complete, `null` before.
   *
   * @throws {Deno.errors.InvalidData} If it is larger than any.
   */
  add(arrived: Uint8Array<ArrayBuffer>): JoinedHello | null {
    const isFirst = this.#bytes.length === 0;
    this.#bytes = isFirst ? arrived : joined(this.#bytes.subarray(this.#at), arrived);
    this.#at = 0;
    for (;;) {
      const record = this.#nextRecord();
      if (record === "odd") return this.#asItIs();
      if (record === null) break;
      const end = this.#at + RECORD_HEADER + record.length;
      const isOnly = this.#length === 0 && this.#at === 0;
      // Nearly every one: a single record, which needs no copy.
      if (isOnly && isComplete(record)) return this.#split(this.#bytes.subarray(0, end), end);
      this.#append(record);
      this.#at = end;
      const payload = this.#payload.subarray(0, this.#length);
      if (payload[0] !== CLIENT_HELLO) return this.#asItIs();
      if (announced(payload) > MAX_HELLO) throw tooLarge(announced(payload));
      if (isComplete(payload)) return this.#split(inRecords(payload), end);
    }
    // The memory that arrived is filled again by the next read.
    if (isFirst) this.#bytes = this.#bytes.slice();
    return null;
  }

  /** The payload of the record at `#at`; `null` while it is incomplete. */
  #nextRecord(): Uint8Array<ArrayBuffer> | "odd" | null {
    const bytes = this.#bytes, at = this.#at;
    if (bytes.length - at < RECORD_HEADER) return null;
    const length = bytes[at + 3]! << 8 | bytes[at + 4]!;
    if (bytes[at] !== HANDSHAKE || length === 0 || length > MAX_RECORD) return "odd";
    const begin = at + RECORD_HEADER;
    return bytes.length - begin < length ? null : bytes.subarray(begin, begin + length);
  }

  #append(record: Uint8Array<ArrayBuffer>): void {
    const needed = this.#length + record.length;
    if (needed > this.#payload.length) {
      const larger = new Uint8Array(Math.max(needed, 2 * this.#payload.length, 512));
      larger.set(this.#payload.subarray(0, this.#length));
      this.#payload = larger;
    }
    this.#payload.set(record, this.#length);
    this.#length = needed;
  }

  #split(hello: Uint8Array<ArrayBuffer>, end: number): JoinedHello {
    return { hello, rest: this.#bytes.subarray(end) };
  }

  #asItIs(): JoinedHello {
    const before = inRecords(this.#payload.subarray(0, this.#length));
    return { hello: joined(before, this.#bytes.subarray(this.#at)), rest: EMPTY };
  }
}

/** Bytes of the message that begins here, without its header; 0 while that is incomplete. */
function announced(payload: Uint8Array): number {
  if (payload.length < MESSAGE_HEADER) return 0;
  return payload[1]! << 16 | payload[2]! << 8 | payload[3]!;
}

function isComplete(payload: Uint8Array): boolean {
  return payload[0] === CLIENT_HELLO && payload.length >= MESSAGE_HEADER &&
    payload.length >= MESSAGE_HEADER + announced(payload);
}

function inRecords(payload: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const records = Math.ceil(payload.length / MAX_RECORD);
  const bytes = new Uint8Array(payload.length + records * RECORD_HEADER);
  for (let i = 0, at = 0; i < records; i++) {
    const part = payload.subarray(i * MAX_RECORD, (i + 1) * MAX_RECORD);
    // Version 3.1, which a ClientHello may have whatever it offers.
    bytes.set([HANDSHAKE, 3, 1, part.length >> 8, part.length & 255], at);
    bytes.set(part, at + RECORD_HEADER);
    at += RECORD_HEADER + part.length;
  }
  return bytes;
}

function tooLarge(bytes: number): Error {
  return new Deno.errors.InvalidData(
    `Cannot speak TLS with the peer: its ClientHello has ${bytes} bytes, and ${MAX_HELLO} are the most`,
  );
}

const EMPTY = new Uint8Array(0);
