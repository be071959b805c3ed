/** The names that the entry point gives. @module */

import { assertEquals } from "@std/assert";
import * as wire from "../../lib/wire/mod.ts";

Deno.test("@usher/server/wire gives the byte tools, and the errors that they throw", () => {
  assertEquals(Object.keys(wire).toSorted(), [
    "BinaryReader",
    "BinaryWriter",
    "ProtocolError",
    "ProxyHeaderError",
    "clientHello",
    "encodeProxyHeader",
    "proxyHeader",
  ]);
});
