/** An unset limit follows the descriptors of the process, and a given one that is too high is reported. @module */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { affordableConnections } from "../../lib/server/affordable_connections.ts";
import { netTest } from "../support/needs.ts";
import { Program } from "../support/program.ts";

/** What a server under a hard limit of 1,024 descriptors says; see affordable.ts. */
async function saidWith(
  permission: string,
  given: string,
): Promise<[limit: string, errors: string[]]> {
  await using program = new Program(new URL("./programs/affordable.ts", import.meta.url), {
    args: [given],
    how: ["run", "--quiet", "--no-config", permission],
    descriptors: 1024,
  });
  const [limit, ...errors] = await program.lines();
  return [limit!, errors];
}

netTest(
  "an unset maxConnections leaves descriptors for lingering connections and the rest",
  async () => {
    // 1,024 without 192 for the rest and 64 that linger.
    assertEquals(await saidWith("-A", ""), ["768", []]);
  },
  { os: ["linux"] },
);

netTest("a given maxConnections that is too high is kept, and reported once", async () => {
  const [limit, errors] = await saidWith("-A", "5000");
  assertEquals([limit, errors.length], ["5000", 1]);
  assertMatch(errors[0]!, /^RangeError: Cannot hold 'maxConnections' of 5000 .* or use 768$/);
  assertEquals(await saidWith("-A", "768"), ["768", []]);
  assertEquals(await saidWith("-A", "Infinity"), ["Infinity", []]);
}, { os: ["linux"] });

netTest(
  "where the limit of descriptors cannot be read, nothing is lowered, asked or reported",
  async () => {
    assertEquals(await saidWith("--allow-net", ""), ["10000", []]);
    assertEquals(await saidWith("--allow-net", "5000"), ["5000", []]);
  },
  { os: ["linux"] },
);

Deno.test("affordableConnections() is a whole number above 0, or undefined", () => {
  const found = affordableConnections();
  assert(found === undefined || Number.isInteger(found) && found > 0, `${found}`);
});
