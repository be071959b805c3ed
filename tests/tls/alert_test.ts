/** Tests which alert an error has. @module */

import { assertEquals, assertStrictEquals } from "@std/assert";
import { alertOf, withAlert } from "../../lib/tls/alert.ts";

Deno.test("withAlert() gives the same error an alert, which alertOf() finds", () => {
  const error = new Deno.errors.InvalidData("no");
  assertStrictEquals(withAlert(error, 112), error);
  assertEquals(alertOf(error), 112);
});

Deno.test("alertOf() finds none for anything else", () => {
  for (const thrown of [new Error("no"), undefined, null, 112, "112"]) {
    assertEquals(alertOf(thrown), undefined);
  }
});
