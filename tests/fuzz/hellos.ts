/** Makes ClientHellos to try, well-formed and malformed. @module */

import type { ClientHello } from "../../lib/wire/client_hello.ts";
import type { Chance } from "../support/chance.ts";
import { type Hello, message, records } from "../wire/client_hellos.ts";

/** Ways to make the first bytes of a connection. */
export const HELLOS: Record<
  string,
  (chance: Chance) => { stream: Uint8Array; right?: ClientHello }
> = {
  "right": (chance) => {
    const hello = helloOf(chance);
    return { stream: spread(chance, message(hello)), right: factsOf(hello) };
  },
  "bits flipped": (chance) => {
    const stream = spread(chance, message(helloOf(chance)));
    for (let left = chance.from(1, 4); left > 0; left--) {
      stream[chance.from(0, stream.length - 1)]! ^= 1 << chance.from(0, 7);
    }
    return { stream };
  },
  "cut short": (chance) => {
    const whole = message(helloOf(chance));
    return { stream: spread(chance, whole.subarray(0, chance.from(1, whole.length))) };
  },
  "bytes replaced": (chance) => {
    const whole = message(helloOf(chance));
    const from = chance.from(4, whole.length - 1);
    for (let at = from; at < whole.length && !chance.onceIn(9); at++) {
      whole[at] = chance.pick([0, 0, 1, 2, 16, 43, 255]);
    }
    return { stream: spread(chance, whole) };
  },
  "any extensions": (chance) => {
    const others = Array.from({ length: chance.from(0, 5) }, (): [number, Uint8Array] => [
      chance.pick([0, 16, 43, 10, 0x1a1a]),
      Uint8Array.from({ length: chance.from(0, 9) }, () => chance.pick([0, 0, 1, 2, 3, 97])),
    ]);
    return { stream: spread(chance, message({ others })) };
  },
  "any bytes": (chance) => ({
    stream: Uint8Array.from(
      { length: chance.from(0, 60) },
      () => chance.pick([22, 3, 1, 0, 0, 1, 4, chance.from(0, 255)]),
    ),
  }),
};

function helloOf(chance: Chance): Hello {
  return {
    version: chance.pick([0x0301, 0x0303]),
    ...(chance.onceIn(2) && { names: [[0, chance.pick(["a.example", "Example.COM", "x"])]] }),
    ...(chance.onceIn(2) && { alpn: chance.pick([["h2"], ["h2", "http/1.1"], ["\x0a\x0a", "x"]]) }),
    ...(chance.onceIn(2) && { versions: chance.pick([[0x0304], [0x2a2a, 0x0304, 0x0303]]) }),
    ...(chance.onceIn(3) && { others: [[21, new Uint8Array(chance.from(0, 3000))]] }),
  };
}

function factsOf({ version, names, alpn = [], versions }: Hello): ClientHello {
  const offered = versions === undefined
    ? [version === 0x0301 ? "TLSv1" : "TLSv1.2"]
    : versions.includes(0x0303)
    ? ["TLSv1.3", "TLSv1.2"]
    : ["TLSv1.3"];
  return {
    ...(names !== undefined && { serverName: names[0]![1].toLowerCase() }),
    alpnProtocols: alpn.filter((name) => name !== "\x0a\x0a"),
    versions: offered,
  };
}

/** In one record, or in several; sometimes with what follows. */
function spread(chance: Chance, message: Uint8Array): Uint8Array {
  const sizes = chance.onceIn(2) ? [] : Array.from(
    { length: chance.from(1, 20) },
    () => chance.pick([1, 1, 2, 40, 400]),
  );
  const stream = records(message, sizes);
  return chance.onceIn(4) ? Uint8Array.of(...stream, 20, 3, 3, 0, 1, 1) : stream;
}
