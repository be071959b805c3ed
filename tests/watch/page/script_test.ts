/** Tests that the script of the page uses what the server sends and what the page has. @module */

import { assert, assertEquals } from "@std/assert";
import { END_REASONS } from "../../../lib/connection/end_reason.ts";
import { connect } from "../../../lib/testing/mod.ts";
import { PAGE } from "../../../lib/watch/page/html.ts";
import { SCRIPT } from "../../../lib/watch/page/script.ts";
import { STYLE } from "../../../lib/watch/page/style.ts";
import { TABLE } from "../../../lib/watch/page/table.ts";

Deno.test("the script reads only figures that stats() has", async () => {
  await using client = connect(async () => {});
  const stats = client.server.stats() as unknown as Record<string, unknown>;
  const read = [...SCRIPT.matchAll(/\bstats\.(\w+)(?:\.(\w+))?/g)];
  assert(read.length > 10);
  for (const [path, name = "", inner] of read) {
    assert(name in stats, path);
    if (inner !== undefined) assert(inner in (stats[name] as object), path);
  }
});

Deno.test("the scripts find every element that they name on the page", async () => {
  await using client = connect(async () => {});
  const named = [...`${SCRIPT}${TABLE}`.matchAll(/(?:byId|write)\("([\w-]+)"[,)]/g)].map(([, id]) =>
    id!
  );
  const causes = Object.keys(client.server.stats().refused).map((cause) => `refused-${cause}`);
  const ids = new Set([...PAGE.matchAll(/\bid="([\w-]+)"/g)].map(([, id]) => id));
  assertEquals([...named, ...causes].filter((id) => !ids.has(id)), []);
});

Deno.test("the script has a kind for every end reason, and the style a colour for every kind", () => {
  const kinds = JSON.parse(/const KINDS = (\{.*\});/.exec(SCRIPT)![1]!);
  assertEquals(Object.keys(kinds).toSorted(), END_REASONS.toSorted());
  for (const kind of Object.values(kinds)) assert(STYLE.includes(`[data-kind=${kind}]`), `${kind}`);
});
