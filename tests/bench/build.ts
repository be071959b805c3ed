/** What has to be made before it can run? Everything goes to build/, which git ignores. @module */

import { fileURLToPath } from "node:url";
import { has } from "./children.ts";

const BENCH = new URL(".", import.meta.url);
const FOLDER = new URL("build/", BENCH);

/** The version of the npm package that the bench installs, for figures that can be compared. */
const BUN = "1.4.5";

/** Compiles one C file; the path of the program. */
export async function compileC(source: string): Promise<string> {
  if (!await has("cc")) throw new Error("cc is not there");
  const output = await outputFor(source);
  await run("cc", ["-O2", "-Wall", "-Wextra", "-o", output, source]);
  return output;
}

/** Compiles one Go file; the path of the program. */
export async function compileGo(source: string): Promise<string> {
  // `go version`, not `go --version`: the latter is an error.
  await run("go", ["version"]).catch(() => {
    throw new Error("go is not there");
  });
  const output = await outputFor(source);
  await run("go", ["build", "-o", output, source]);
  return output;
}

/** Installs Bun from npm unless it is there; the path of the program. */
export async function installBun(): Promise<string> {
  const folder = new URL("bun/", FOLDER);
  const program = fileURLToPath(new URL("node_modules/.bin/bun", folder));
  if (await versionOf(program) === BUN) return program;
  if (!await has("npm")) throw new Error("npm is not there to install it");
  await Deno.mkdir(folder, { recursive: true });
  const wanted = { private: true, dependencies: { bun: BUN } };
  await Deno.writeTextFile(new URL("package.json", folder), JSON.stringify(wanted));
  await run("npm", ["install", "--no-audit", "--no-fund", "--no-update-notifier"], folder);
  if (await versionOf(program) !== BUN) throw new Error("what npm installed does not run");
  return program;
}

async function outputFor(source: string): Promise<string> {
  await Deno.mkdir(FOLDER, { recursive: true });
  return fileURLToPath(new URL(source.replaceAll(/[/.]/g, "_"), FOLDER));
}

async function versionOf(program: string): Promise<string> {
  return await run(program, ["--version"]).catch(() => "");
}

/** Runs a program to its end; what it printed. */
async function run(program: string, args: string[], cwd = BENCH): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd }).output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(`${program} failed: ${decoder.decode(stderr).trim().slice(-500)}`);
  }
  return decoder.decode(stdout).trim();
}
