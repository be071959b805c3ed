/** A tag is published only with the version and the CHANGELOG that belong to it. @module */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { releaseFaults } from "./release.ts";
import { root, treeTest } from "./support/needs.ts";

const changelog = `# Changelog

## Unreleased

## 0.2.0 (2026-12-01)

- Something.

## 0.1.0 (2026-11-01)
`;

const good = { tag: "v0.2.0", version: "0.2.0", changelog };

Deno.test("releaseFaults() has nothing against a tag of this version with its heading", () => {
  assertEquals(releaseFaults(good), []);
});

const FAULTS = [
  { ...good, tag: "v0.2.1", fault: "the tag is v0.2.1, and deno.json has 0.2.0" },
  { ...good, tag: "0.2.0", fault: "the tag is 0.2.0" },
  { ...good, tag: "", fault: "the tag is " },
  {
    ...good,
    changelog: changelog.replace("## Unreleased\n", "## News\n"),
    fault: 'is not "Unreleased"',
  },
  {
    ...good,
    changelog: changelog.replace("## Unreleased\n", "## Unreleased\n\n- News.\n"),
    fault: 'entries under "Unreleased": move them under "0.2.0"',
  },
  {
    ...good,
    changelog: changelog.replace("0.2.0 (2026-12-01)", "0.2.0"),
    fault: 'no heading "## 0.2.0 (YYYY-MM-DD)"',
  },
  {
    ...good,
    changelog: changelog.replace("0.2.0 (2026-12-01)", "0x2.0 (2026-12-01)"),
    fault: 'no heading "## 0.2.0 (YYYY-MM-DD)"',
  },
];

for (const { fault, ...release } of FAULTS) {
  Deno.test(`releaseFaults() says: ${fault}`, () => {
    const [first = "", ...others] = releaseFaults(release);
    assertStringIncludes(first, fault);
    assertEquals(others, []);
  });
}

treeTest("the workflow that publishes asks releaseFaults() first", () => {
  const workflow = Deno.readTextFileSync(new URL(".github/workflows/publish.yml", root));
  const asked = workflow.indexOf('tests/release.ts "$GITHUB_REF_NAME"');
  const published = workflow.indexOf("run: deno publish");
  assertEquals([asked > 0, asked < published], [true, true]);
  assertStringIncludes(workflow, "id-token: write");
});
