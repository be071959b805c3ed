/** Is what the documentation says of each default what happens? @module */

import { assertEquals } from "@std/assert";
import { CODEC_DEFAULTS } from "../../../lib/wire/codec/defaults.ts";
import { root, treeTest } from "../../support/needs.ts";

const FILES = {
  lines: "lib/wire/codec/lines.ts",
  delimited: "lib/wire/codec/delimited.ts",
  lengthPrefixed: "lib/wire/codec/length_prefixed.ts",
};

treeTest(
  "each @default of a codec is what CODEC_DEFAULTS says, and each of those is documented",
  () => {
    for (const [codec, path] of Object.entries(FILES)) {
      const source = Deno.readTextFileSync(new URL(path, root));
      const stated = source.matchAll(/@default \{(.+)\}\s*\*\/\s*(\w+)\?:/g);
      const documented = [...stated].map(([, value = "", name = ""]) => [
        name,
        JSON.parse(value.replaceAll("_", "")),
      ]);
      assertEquals(documented.length, source.split("@default").length - 1, path);
      assertEquals(Object.fromEntries(documented), CODEC_DEFAULTS[codec as keyof typeof FILES]);
    }
  },
);

Deno.test("the defaults cannot be changed from outside", () => {
  assertEquals(Object.isFrozen(CODEC_DEFAULTS), true);
  for (const defaults of Object.values(CODEC_DEFAULTS)) {
    assertEquals(Object.isFrozen(defaults), true);
  }
});
