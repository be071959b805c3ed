/**
 * Checks that `deno publish` would accept this tree. It refuses uncommitted changes; these are
 * allowed here and mentioned, except under `CI`.
 *
 * @module
 */

const { stdout } = await new Deno.Command("git", { args: ["status", "--porcelain"] }).output();
const allowDirty = stdout.length > 0 && !Deno.env.get("CI");
const { code } = await new Deno.Command(Deno.execPath(), {
  args: ["publish", "--dry-run", ...(allowDirty ? ["--allow-dirty"] : [])],
  stdin: "null",
  stdout: "inherit",
  stderr: "inherit",
}).output();
if (allowDirty && code === 0) {
  // deno-lint-ignore no-console -- the output of this program
  console.error("It can be published like this, once everything is committed");
}
Deno.exit(code);
