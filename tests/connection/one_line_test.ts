/** Does foreign text stay on one line? @module */

import { assertEquals } from "@std/assert";
import { oneLine } from "../../lib/connection/one_line.ts";

Deno.test("oneLine() writes out what would end a line or move the cursor", () => {
  assertEquals(
    oneLine("a\nb\r\x1b[2J\x85\u2028c\x7f"),
    "a\\u000ab\\u000d\\u001b[2J\\u0085\\u2028c\\u007f",
  );
});

Deno.test("oneLine() leaves all other text as it is", () => {
  assertEquals(oneLine("naïve 漢字 \u{1F600}"), "naïve 漢字 \u{1F600}");
});
