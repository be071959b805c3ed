import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { packError, unpackError } from "../../lib/fleet/sent_error.ts";

/** As it arrives in another thread. */
function sent(thrown: unknown): Error {
  return unpackError(structuredClone(packError(thrown)));
}

Deno.test("unpackError() gives back the class, the message and the code", () => {
  const error = Object.assign(new Deno.errors.AddrInUse("taken"), { code: "EADDRINUSE" });
  const copy = sent(error);
  assertInstanceOf(copy, Deno.errors.AddrInUse);
  assertEquals((copy as { code?: string }).code, "EADDRINUSE");
  assertEquals([copy.message, copy.stack], ["taken", error.stack]);
});

for (const Class of [TypeError, RangeError, SyntaxError, Deno.errors.NotCapable]) {
  Deno.test(`unpackError() gives back a ${Class.name}`, () => {
    assertInstanceOf(sent(new Class("wrong")), Class);
  });
}

Deno.test("unpackError() gives back a DOMException with its name", () => {
  const copy = sent(new DOMException("too late", "TimeoutError"));
  assertInstanceOf(copy, DOMException);
  assertEquals([copy.name, copy.message], ["TimeoutError", "too late"]);
});

Deno.test("unpackError() keeps the name of a class that it does not know", () => {
  class OwnError extends Error {
    override name = "OwnError";
  }
  assertEquals([sent(new OwnError("own")).name, sent(new OwnError("own")).message], [
    "OwnError",
    "own",
  ]);
});

Deno.test("packError() makes an error of anything that was thrown", () => {
  assertEquals(sent("a text").message, "a text");
  assert(sent(undefined) instanceof Error);
});
