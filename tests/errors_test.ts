/** An error's message is extended, and the error stays the same. @module */

import { assertEquals, assertInstanceOf, assertStringIncludes } from "@std/assert";
import { extendMessage } from "../lib/errors.ts";

Deno.test("extendMessage() puts text before and after an error's own message", () => {
  const error = new RangeError("too big");
  extendMessage(error, "Cannot pack: ", "; take a smaller one");
  assertEquals(error.message, "Cannot pack: too big; take a smaller one");
});

Deno.test("extendMessage() keeps the class and the code", () => {
  const error = Object.assign(new Deno.errors.AddrInUse("in use"), { code: "EADDRINUSE" });
  extendMessage(error, "Cannot listen: ");
  assertInstanceOf(error, Deno.errors.AddrInUse);
  assertEquals([error.code, error.message], ["EADDRINUSE", "Cannot listen: in use"]);
});

Deno.test("extendMessage() shows in the stack, which is what people print", () => {
  const error = new Error("in use");
  extendMessage(error, "Cannot listen: ");
  assertStringIncludes(error.stack!, "Cannot listen: in use");
});

Deno.test("extendMessage() does not add the same text twice", () => {
  const error = new Error("in use");
  extendMessage(error, "Cannot listen: ", "; stop it");
  extendMessage(error, "Cannot listen: ", "; stop it");
  assertEquals(error.message, "Cannot listen: in use; stop it");
});

Deno.test("extendMessage() skips errors that cannot be changed, and does not throw", () => {
  const frozen = Object.freeze(new Error("frozen"));
  const exception = new DOMException("aborted", "AbortError");
  const wordless = Object.assign(new Error(), { message: undefined });
  const hostile = new Error();
  Object.defineProperty(hostile, "message", {
    get: () => {
      throw new Error("do not look at me");
    },
  });
  for (const thrown of [frozen, exception, wordless, hostile, "text", 7, null, undefined]) {
    extendMessage(thrown, "Cannot listen: ");
  }
  assertEquals([frozen.message, exception.message], ["frozen", "aborted"]);
});
