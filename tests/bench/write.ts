/** Writes results into RESULTS.md, and its pictures beside it. @module */

import { fileURLToPath } from "node:url";
import { page, picture, pictureFile, type Run } from "./page.ts";
import { versions } from "./versions.ts";

/** Writes the page and its pictures, and removes the pictures of an earlier run. */
export async function writeResults(
  given: Omit<Run, "versions" | "date" | "command">,
  args: readonly string[],
): Promise<void> {
  const folder = new URL(".", import.meta.url);
  const pictures = new URL("pictures/", folder);
  const run = {
    ...given,
    versions: await versions(),
    date: new Date().toISOString().slice(0, 10),
    command: ["deno task bench", ...withoutPaths(args)].join(" "),
  };
  await Deno.remove(pictures, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
  await Deno.mkdir(pictures);
  for (const each of run.cases) {
    await Deno.writeTextFile(new URL(pictureFile(each), folder), picture(each, run.results));
  }
  await Deno.writeTextFile(new URL("RESULTS.md", folder), withoutRoot(page(run)));
  await format(fileURLToPath(pictures));
}

/** Paths on this machine are of no use to a reader. */
function withoutPaths(args: readonly string[]): string[] {
  return args.map((word, i) => /^--(against|json)$/.test(args[i - 1] ?? "") ? "PATH" : word)
    .map((word) => word.replace(/^(--(?:against|json)=).*/, "$1PATH"));
}

/** Error messages of servers contain file names. */
function withoutRoot(text: string): string {
  const root = new URL("../../", import.meta.url);
  return text.replaceAll(root.href, "").replaceAll(fileURLToPath(root), "");
}

/** `deno fmt` formats pictures, too. */
async function format(folder: string): Promise<void> {
  const { success, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["fmt", "--quiet", folder],
    cwd: new URL(".", import.meta.url),
  }).output();
  if (!success) throw new Error(`deno fmt failed: ${new TextDecoder().decode(stderr)}`);
}
