/** Decodes a PROXY header from the front of a stream, and counts the cost. @module */

import { assert } from "@std/assert";
import { ProxyHeaderError } from "../../../lib/errors.ts";
import type { Decoder } from "../../../lib/wire/codec/codec.ts";
import { type ProxyHeader, proxyHeader } from "../../../lib/wire/proxy/proxy_header.ts";

/** The header, or why there is none. */
export type Outcome =
  | { header: ProxyHeader; taken: number }
  | { error: string; at: number }
  | "more is needed";

/** The outcome and its cost. */
export interface Taken {
  outcome: Outcome;
  /** Bytes that had arrived when it was certain. */
  arrived: number;
  /** Bytes that were looked at, where they are counted. */
  examined: number;
}

/** Feeds a stream in chunks until there is a header or an error, as the contract of codecs says. */
export function takeHeader(
  stream: Uint8Array,
  sizes: Iterable<number>,
  count = false,
): Taken {
  const tally = { examined: 0 };
  let decoder: Decoder<ProxyHeader> = proxyHeader();
  let arrived = 0;
  let seen = 0;
  let need = 1;
  const result = (outcome: Outcome) => ({ outcome, arrived, examined: tally.examined });
  for (const size of [...sizes, stream.length]) {
    arrived = Math.min(arrived + size, stream.length);
    if (arrived < need) continue;
    const here = stream.subarray(0, arrived);
    try {
      const answer = decoder.decode(count ? counted(here, tally) : here, seen, false);
      assert(answer !== null);
      if ("need" in answer) {
        assert(answer.need > arrived, "a need that is met already");
        seen = answer.next === undefined ? arrived : 0;
        need = answer.need;
        decoder = answer.next ?? decoder;
        continue;
      }
      assert(answer.frame !== undefined);
      assert((answer.next ?? proxyHeader()) === proxyHeader(), "another header could follow");
      return result({ header: answer.frame, taken: answer.taken });
    } catch (error) {
      if (!(error instanceof ProxyHeaderError)) throw error;
      return result({ error: error.message, at: error.at });
    }
  }
  return result("more is needed");
}

/** The bytes, counting reads by index and the bytes of parts that are read elsewhere. */
function counted(bytes: Uint8Array, tally: { examined: number }): Uint8Array {
  const part = (name: "subarray" | "slice") => (from?: number, to?: number) => {
    const part = bytes[name](from, to);
    tally.examined += part.length;
    return part;
  };
  const parts = { subarray: part("subarray"), slice: part("slice") };
  return new Proxy(bytes, {
    get(target, key) {
      if (key === "length") return target.length;
      if (key === "subarray" || key === "slice") return parts[key];
      if (key === "buffer") {
        tally.examined += 4; // The checksum in the header is read through a view.
        return target.buffer;
      }
      if (key === "byteOffset") return target.byteOffset;
      const index = typeof key === "string" ? Number(key) : NaN;
      assert(Number.isInteger(index), `${String(key)} is not counted`);
      tally.examined++;
      return target[index];
    },
  });
}
