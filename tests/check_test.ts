/** Wrong arguments are rejected with a message that says what to use. @module */

import { assertEquals, assertFalse, assertThrows } from "@std/assert";
import { bad, checkKeys, checkNumber, checkObject, checkTime, isObject } from "../lib/check.ts";

Deno.test("checkNumber() returns a number within its bounds, inclusive", () => {
  for (const value of [3, 4, 7]) {
    assertEquals(checkNumber("serve", "port", value, 3, 7, false), value);
  }
  assertEquals(checkNumber("serve", "maxUnsent", 0, 0, Infinity, true), 0);
  assertEquals(checkNumber("serve", "maxUnsent", Infinity, 0, Infinity, true), Infinity);
  assertEquals(checkNumber("serve", "port", 2 ** 40, 0, Infinity, false), 2 ** 40);
});

Deno.test("checkNumber() rejects a value of another type with a TypeError", () => {
  const given: [value: unknown, shown: string][] = [
    ["80", '"80"'],
    ['say "hi"\n', String.raw`"say \"hi\"\n"`],
    [NaN, "NaN"],
    [80n, "80n"],
    [true, "true"],
    [null, "null"],
    [undefined, "undefined"],
    [{}, "an object"],
    [new Date(0), "an object"],
    [Object.create(null), "an object"],
    [[], "an empty array"],
    [[80], "an array"],
    [() => 80, "a function"],
    [Symbol("port"), "Symbol(port)"],
  ];
  for (const [value, shown] of given) {
    const error = assertThrows(
      () => checkNumber("serve", "port", value, 0, 65535, false),
      TypeError,
    );
    assertEquals(
      error.message,
      `Cannot serve with 'port' of ${shown}: use a whole number from 0 to 65535`,
    );
  }
});

Deno.test("checkNumber() rejects a number out of range with a RangeError", () => {
  const wanted = "use a whole number from 1 to 65535";
  for (const value of [0, -1, 65536, 1.5, Infinity, -Infinity]) {
    const error = assertThrows(
      () => checkNumber("serve", "port", value, 1, 65535, false),
      RangeError,
    );
    assertEquals(error.message, `Cannot serve with 'port' of ${value}: ${wanted}`);
  }
  // The most is Infinity, but Infinity itself is not allowed.
  assertThrows(() => checkNumber("serve", "port", Infinity, 1, Infinity, false), RangeError);
});

Deno.test("checkTime() accepts milliseconds from 0 up, fractions and Infinity included, and nothing else", () => {
  for (const ms of [0, 0.25, 100, 1e12, Infinity]) {
    assertEquals(checkTime("read", "timeout", ms), ms);
  }
  const refused: [value: unknown, kind: typeof TypeError, shown: string][] = [
    [-0.5, RangeError, "-0.5"],
    [-Infinity, RangeError, "-Infinity"],
    [NaN, TypeError, "NaN"],
    ["5", TypeError, '"5"'],
    [null, TypeError, "null"],
    [5n, TypeError, "5n"],
  ];
  for (const [value, kind, shown] of refused) {
    assertEquals(
      assertThrows(() => checkTime("read", "timeout", value), kind).message,
      `Cannot read with 'timeout' of ${shown}: use milliseconds from 0 up, or Infinity`,
    );
  }
});

Deno.test("checkNumber() names Infinity where it is allowed, and modes in octal", () => {
  const messages: [run: () => unknown, message: string][] = [
    [
      () => checkNumber("serve", "maxConnections", 0, 1, Infinity, true),
      "Cannot serve with 'maxConnections' of 0: use a whole number from 1 up, or Infinity",
    ],
    [
      () => checkNumber("listen", "tcpBacklog", -1, 0, Infinity, false),
      "Cannot listen with 'tcpBacklog' of -1: use a whole number from 0 up",
    ],
    [
      () => checkNumber("listen", "mode", 0o1777, 0, 0o777, false),
      "Cannot listen with 'mode' of 1023: use a whole number from 0 to 0o777",
    ],
  ];
  for (const [run, message] of messages) {
    assertEquals(assertThrows(run, RangeError).message, message);
  }
});

Deno.test("checkObject() accepts only objects", () => {
  checkObject("serve", {});
  checkObject("serve", Object.create(null));
  const given: [value: unknown, shown: string][] = [
    [undefined, "undefined"],
    [null, "null"],
    [7000, "7000"],
    ["tcp", '"tcp"'],
    [() => {}, "a function"],
  ];
  for (const [value, shown] of given) {
    const error = assertThrows(() => checkObject("serve", value), TypeError);
    assertEquals(error.message, `Cannot serve with ${shown} as options: use an object`);
  }
});

Deno.test("checkKeys() rejects unknown keys, unless they are undefined", () => {
  checkKeys("serve", {}, ["port"]);
  checkKeys("serve", { port: 1, extra: undefined }, ["port"]);
  const error = assertThrows(() => checkKeys("serve", { prot: 1 }, ["port", "path"]), TypeError);
  assertEquals(
    error.message,
    "Cannot serve with an unknown option 'prot': known here are port, path",
  );
  for (const falsy of [null, false, 0, ""]) {
    assertThrows(() => checkKeys("serve", { prot: falsy }, ["port"]), TypeError, "'prot'");
  }
});

Deno.test("isObject() distinguishes objects from other values", () => {
  for (const value of [{}, [], new Date(0), Object.create(null)]) {
    assertEquals(isObject(value), true);
  }
  for (const value of [null, undefined, 1, "text", () => {}, Symbol(), 1n]) {
    assertFalse(isObject(value));
  }
});

Deno.test("bad() names the attempt, the value and what to use", () => {
  assertEquals(
    bad("serve", "noDelay", "yes", "true or false"),
    `Cannot serve with 'noDelay' of "yes": use true or false`,
  );
});
