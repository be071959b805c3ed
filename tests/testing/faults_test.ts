/** Faults are completed, and wrong ones refused. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { completeFaults, type Faults, NO_FAULTS } from "../../lib/testing/faults.ts";

Deno.test("completeFaults() fills in missing options", () => {
  assertEquals(completeFaults("connect", "toClient"), NO_FAULTS);
  assertEquals(completeFaults("connect", "toClient", { stallAfter: 0, resetAfter: Infinity }), {
    ...NO_FAULTS,
    stallAfter: 0,
  });
});

const WRONG: [faults: unknown, error: typeof TypeError, message: string][] = [
  [null, TypeError, "Cannot connect with 'toClient' with null as options: use an object"],
  [1, TypeError, "Cannot connect with 'toClient' with 1 as options: use an object"],
  [
    { chunk: 1 },
    TypeError,
    "Cannot connect with 'toClient' with an unknown option 'chunk': known here are capacity, " +
    "bytesPerRead, bytesPerWrite, stallAfter, resetAfter",
  ],
  [
    { bytesPerRead: "1" },
    TypeError,
    `Cannot connect with 'toClient.bytesPerRead' of "1": use a whole number from 1 up, or Infinity`,
  ],
  [
    { bytesPerWrite: 0 },
    RangeError,
    "Cannot connect with 'toClient.bytesPerWrite' of 0: use a whole number from 1 up, or Infinity",
  ],
  [
    { resetAfter: -1 },
    RangeError,
    "Cannot connect with 'toClient.resetAfter' of -1: use a whole number from 0 up, or Infinity",
  ],
];

for (const [faults, ErrorClass, message] of WRONG) {
  Deno.test(`completeFaults() refuses ${JSON.stringify(faults)}`, () => {
    const error = assertThrows(
      () => completeFaults("connect", "toClient", faults as Faults),
      ErrorClass,
    );
    assertEquals(error.message, message);
  });
}
