/**
 * Checks that a tag, the version in `deno.json` and the headings of the CHANGELOG agree, before the
 * package is published.
 *
 * deno run --allow-read tests/release.ts v0.2.0
 *
 * @module
 */

/** What a release is made of. */
export interface Release {
  /** Such as `v0.2.0`. */
  readonly tag: string;
  /** In `deno.json`. */
  readonly version: string;
  readonly changelog: string;
}

/** Says what prevents a release; nothing if it may be made. */
export function releaseFaults({ tag, version, changelog }: Release): string[] {
  const faults: string[] = [];
  if (tag !== `v${version}`) faults.push(`the tag is ${tag}, and deno.json has ${version}`);
  const [, unreleased = "", latest = ""] = changelog.split(/^## /m);
  if (!unreleased.startsWith("Unreleased\n")) {
    faults.push('the first heading of CHANGELOG.md is not "Unreleased"');
  } else if (unreleased.trim() !== "Unreleased") {
    faults.push(`CHANGELOG.md has entries under "Unreleased": move them under "${version}"`);
  }
  const heading = new RegExp(`^${RegExp.escape(version)} \\(\\d{4}-\\d\\d-\\d\\d\\)\n`);
  if (!heading.test(latest)) {
    faults.push(`CHANGELOG.md has no heading "## ${version} (YYYY-MM-DD)" below "Unreleased"`);
  }
  return faults;
}

if (import.meta.main) {
  const root = new URL("../", import.meta.url);
  const [tag = ""] = Deno.args;
  const { version } = JSON.parse(Deno.readTextFileSync(new URL("deno.json", root)));
  const changelog = Deno.readTextFileSync(new URL("CHANGELOG.md", root));
  const faults = releaseFaults({ tag, version, changelog });
  // deno-lint-ignore no-console -- the output of this program
  for (const fault of faults) console.error(`Cannot release: ${fault}`);
  Deno.exit(faults.length === 0 ? 0 : 1);
}
