/** Pins the parts of `@std/assert` that tests here rely on, for the originals and the stand-in alike. @module */

import {
  assert,
  assertAlmostEquals,
  assertArrayIncludes,
  assertEquals,
  assertExists,
  assertFalse,
  assertGreater,
  assertGreaterOrEqual,
  assertInstanceOf,
  AssertionError,
  assertIsError,
  assertLess,
  assertLessOrEqual,
  assertMatch,
  assertNotEquals,
  assertNotInstanceOf,
  assertNotMatch,
  assertNotStrictEquals,
  assertObjectMatch,
  assertRejects,
  assertStrictEquals,
  assertStringIncludes,
  assertThrows,
  equal,
  fail,
  unimplemented,
  unreachable,
} from "@std/assert";

/** What is wrong, with a number that only this class has. */
class NumberedError extends Error {
  readonly number = 7;
}

/** Hides from the type checker what a value is, so that only an assertion can bring it back. */
function hidden<T>(value: T): T {
  return value;
}

/** Asserts without the functions under test that `fn` throws an `AssertionError` with `message` in it. */
function fails(fn: () => void, message = ""): void {
  try {
    fn();
  } catch (error) {
    if (error instanceof AssertionError && error.message.includes(message)) return;
    throw error;
  }
  throw new Error(`Expected to fail: ${fn}`);
}

Deno.test("AssertionError() is an Error with its own name and a cause", () => {
  const error = new AssertionError("no", { cause: 1 });
  if (!(error instanceof Error)) throw error;
  assertEquals([error.name, error.message, error.cause], ["AssertionError", "no", 1]);
});

Deno.test("assert() narrows by its condition", () => {
  const value = hidden<string | null>("text");
  assert(value !== null);
  const text: string = value;
  assertEquals(text, "text");
  fails(() => assert(0, "said why"), "said why");
});

Deno.test("assertFalse() narrows to what counts as false", () => {
  const value = hidden<"text" | undefined>(undefined);
  assertFalse(value);
  const nothing: undefined = value;
  assertEquals(nothing, undefined);
  fails(() => assertFalse(1, "said why"), "said why");
});

Deno.test("assertExists() narrows away null and undefined", () => {
  const value = hidden<{ a: number } | null | undefined>({ a: 1 });
  assertExists(value);
  const a: number = value.a;
  assertEquals(a, 1);
  assertExists(0);
  fails(() => assertExists(null));
  fails(() => assertExists(undefined));
});

Deno.test("assertEquals() compares deeply and shows the difference", () => {
  assertEquals({ a: [new Map([["k", new Set([1])]])] }, { a: [new Map([["k", new Set([1])]])] });
  assertEquals(new Uint8Array([1, 2]), new Uint8Array([1, 2]));
  assertEquals(NaN, NaN);
  fails(() => assertEquals(new Uint8Array([1, 2]), new Uint8Array([1, 3])));
  fails(() => assertEquals([1, 2], [1, 3], "said why"), "said why");
  fails(() => assertEquals<unknown>({ a: undefined }, {}));
  assertNotEquals([1, 2], [1, 3]);
  fails(() => assertNotEquals([1, 2], [1, 2]));
});

Deno.test("assertStrictEquals() compares by identity and narrows", () => {
  const value = hidden<unknown>("text");
  assertStrictEquals(value, "text");
  const text: string = value;
  assertEquals(text.length, 4);
  fails(() => assertStrictEquals([1], [1]));
  assertNotStrictEquals([1], [1]);
  fails(() => assertNotStrictEquals(value, value));
});

Deno.test("assertGreater() and the like compare in order", () => {
  assertGreater(2, 1);
  assertGreaterOrEqual(2, 2);
  assertLess(1n, 2n);
  assertLessOrEqual("a", "a");
  fails(() => assertGreater(1, 1));
  fails(() => assertGreaterOrEqual(1, 2));
  fails(() => assertLess(1, 1));
  fails(() => assertLessOrEqual(2, 1));
});

Deno.test("assertAlmostEquals() allows for a tolerance", () => {
  assertAlmostEquals(0.1 + 0.2, 0.3);
  assertAlmostEquals(10, 11, 1);
  fails(() => assertAlmostEquals(10, 11, 0.5));
});

Deno.test("assertMatch() and assertStringIncludes() look into text", () => {
  assertMatch("port 8080", /\d+$/);
  assertNotMatch("port", /\d/);
  assertStringIncludes("port 8080", "80");
  fails(() => assertMatch("port", /\d/));
  fails(() => assertNotMatch("port 8080", /\d/));
  fails(() => assertStringIncludes("port", "80"));
});

Deno.test("assertArrayIncludes() looks for elements that are deeply equal", () => {
  assertArrayIncludes([{ a: 1 }, { a: 2 }], [{ a: 2 }]);
  assertArrayIncludes(new Uint8Array([1, 2, 3]), [3]);
  fails(() => assertArrayIncludes([1, 2], [3]));
});

Deno.test("assertObjectMatch() looks at the keys it is given", () => {
  interface Address {
    hostname: string;
    port: number;
  }
  const addr: Address = { hostname: "::1", port: 8080 };
  assertObjectMatch(addr, { port: 8080 });
  assertObjectMatch({ addr, tls: false }, { addr: { hostname: "::1" } });
  fails(() => assertObjectMatch(addr, { port: 1 }));
  fails(() => assertObjectMatch(addr, { path: "/" }));
});

Deno.test("assertInstanceOf() narrows to the class", () => {
  const value = hidden<unknown>(new NumberedError());
  assertInstanceOf(value, NumberedError);
  const number: number = value.number;
  assertEquals(number, 7);
  fails(() => assertInstanceOf(new Error(), NumberedError));
});

Deno.test("assertNotInstanceOf() narrows the class away", () => {
  const value = hidden<string | NumberedError>("text");
  assertNotInstanceOf(value, NumberedError);
  const text: string = value;
  assertEquals(text, "text");
  fails(() => assertNotInstanceOf(new NumberedError(), Error));
});

Deno.test("assertIsError() narrows to the class and looks at the message", () => {
  const value = hidden<unknown>(new NumberedError("out of range"));
  assertIsError(value, NumberedError, "of range");
  const number: number = value.number;
  assertEquals(number, 7);
  assertIsError(value, Error, /^out/);
  fails(() => assertIsError(value, TypeError));
  fails(() => assertIsError(value, NumberedError, "in range"));
  fails(() => assertIsError("text"));
});

Deno.test("assertThrows() gives back the error, typed by its class", () => {
  const error = assertThrows(
    () => {
      throw new NumberedError("out of range");
    },
    NumberedError,
    "of range",
  );
  const number: number = error.number;
  assertEquals(number, 7);
  const thrown: unknown = assertThrows(() => {
    throw error;
  });
  assertStrictEquals(thrown, error);
  fails(() => void assertThrows(() => {}));
  fails(() => void assertThrows(() => fail(), TypeError));
  fails(() => void assertThrows(() => {}, "said why"), "said why");
});

Deno.test("assertRejects() gives back the error, typed by its class", async () => {
  const error = await assertRejects(
    () => Promise.reject(new NumberedError("out of range")),
    NumberedError,
    "of range",
  );
  const number: number = error.number;
  assertEquals(number, 7);
  const reason: unknown = await assertRejects(() => Promise.reject("text"));
  assertEquals(reason, "text");
});

Deno.test("assertRejects() fails when nothing rejects, or not as expected", async () => {
  await assertRejects(() => assertRejects(() => Promise.resolve()), AssertionError);
  await assertRejects(
    () => assertRejects(() => Promise.reject(new RangeError()), TypeError),
    AssertionError,
  );
  await assertRejects(
    () => assertRejects(() => Promise.reject(new TypeError("one")), TypeError, "two"),
    AssertionError,
  );
  // A throw is not a rejection: what must reject may not throw at the caller.
  await assertRejects(
    () =>
      assertRejects(() => {
        throw new TypeError();
      }, TypeError),
    AssertionError,
  );
});

Deno.test("assertThrows() and assertRejects() take a DOMException for an Error", async () => {
  const stop = () => {
    throw new DOMException("Signal timed out", "TimeoutError");
  };
  const thrown: DOMException = assertThrows(stop, DOMException, "timed out");
  assertEquals(thrown.name, "TimeoutError");
  await assertRejects(() => Promise.try(stop), DOMException, "timed out");
});

Deno.test("equal() tells and does not throw", () => {
  const same: boolean = equal([1, { a: 2 }], [1, { a: 2 }]);
  assertEquals(same, true);
  assertEquals(equal([1], [2]), false);
});

Deno.test("fail(), unreachable() and unimplemented() never return", () => {
  // Compiles only because the type of each call is `never`.
  const or = (value: string | null, stop: () => never): string => value ?? stop();
  fails(() => void or(null, () => fail("said why")), "said why");
  fails(() => void or(null, () => unreachable("said why")), "said why");
  fails(() => void or(null, () => unimplemented("said why")), "said why");
  assertEquals(or("text", unreachable), "text");
});
