/** Every way to read the frames of a connection. @module */

import type { Framed } from "../../mod.ts";

/** Ways to get all the frames of a connection. */
export const WAYS: Record<string, <T>(framed: Framed<T>) => AsyncGenerator<T>> = {
  async *"read()"(framed) {
    // A frame may be `null`, too, but not in these tests.
    for (let frame; (frame = await framed.read()) !== null;) yield frame;
  },
  async *"iteration"(framed) {
    yield* framed;
  },
  async *"both in turn"(framed) {
    for (let i = 0;; i++) {
      if (i % 2 === 0) {
        const frame = await framed.read();
        if (frame === null) return;
        yield frame;
      } else {
        const { done, value } = await framed[Symbol.asyncIterator]().next();
        if (done) return;
        yield value;
      }
    }
  },
};
