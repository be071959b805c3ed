/** Patterns match as in Redis. @module */

import { assert, assertEquals } from "@std/assert";
import { matchesGlob } from "../../../examples/kv/glob.ts";

const PATTERNS: Record<string, { yes: string[]; no: string[] }> = {
  "": { yes: [""], no: ["a"] },
  "a": { yes: ["a"], no: ["", "b", "aa"] },
  "*": { yes: ["", "a", "ab*"], no: [] },
  "**a": { yes: ["a", "ba", "aa"], no: ["", "ab"] },
  "h?llo": { yes: ["hello", "h?llo"], no: ["hllo", "heello"] },
  "h*llo": { yes: ["hllo", "heeello"], no: ["hell", "ello"] },
  "h[ae]llo": { yes: ["hello", "hallo"], no: ["hillo", "h[ae]llo"] },
  "h[^e]llo": { yes: ["hallo", "h^llo"], no: ["hello", "hllo"] },
  "h[a-c]llo": { yes: ["hallo", "hcllo"], no: ["hdllo", "h-llo"] },
  "h[c-a]llo": { yes: ["hallo", "hbllo"], no: ["hdllo"] },
  "h[a-]llo": { yes: ["ha", "h_", "hl"], no: ["hallo", "h-"] }, // from "a" to "]", and unclosed
  "h[\\]]llo": { yes: ["h]llo"], no: ["h\\llo"] },
  "h[": { yes: [], no: ["h", "h["] },
  "[ab": { yes: ["a", "b"], no: ["c", "ab"] },
  "\\*": { yes: ["*"], no: ["a", "\\*"] },
  "a\\": { yes: ["a\\"], no: ["a"] },
  "*a*b": { yes: ["ab", "aab", "xaxb", "abab"], no: ["ba", "aba"] },
  "*aab": { yes: ["aaab", "aab", "aabaab"], no: ["aaba"] },
  "key:*:[0-9]": { yes: ["key:a:1", "key::0"], no: ["key:a:x", "key:1"] },
};

for (const [pattern, { yes, no }] of Object.entries(PATTERNS)) {
  Deno.test(`matchesGlob() matches "${pattern}"`, () => {
    for (const text of yes) assert(matchesGlob(text, pattern), `"${text}" should match`);
    for (const text of no) assert(!matchesGlob(text, pattern), `"${text}" should not match`);
  });
}

Deno.test("matchesGlob() does not try every way to place many stars", () => {
  // Trying each star at each place would take 1000 to the power of 50 steps.
  assertEquals(matchesGlob("a".repeat(1000), "*a".repeat(50) + "b"), false);
});
