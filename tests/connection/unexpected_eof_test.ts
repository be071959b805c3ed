/** Does the error of a stream that ends too early say where, and with what? @module */

import { assertEquals, assertInstanceOf, assertStrictEquals } from "@std/assert";
import { unexpectedEof } from "../../lib/connection/unexpected_eof.ts";
import { bytes } from "../support/peers.ts";

Deno.test("unexpectedEof() is Deno's error, says where the stream ended and holds what came", () => {
  const partial = bytes`hel`;
  const error = unexpectedEof("after 3 of 5 bytes", partial);
  assertInstanceOf(error, Deno.errors.UnexpectedEof);
  assertEquals(error.name, "UnexpectedEof");
  assertEquals(error.message, "The stream ended after 3 of 5 bytes");
  assertStrictEquals("partial" in error ? error.partial : undefined, partial);
});
