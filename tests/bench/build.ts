/** Builds the programs that need it. Everything goes to build/, which git ignores. @module */

import { fileURLToPath } from "node:url";
import { ca, server } from "../support/certificates.ts";
import { has } from "./children.ts";

const BENCH = new URL(".", import.meta.url);
const FOLDER = new URL("build/", BENCH);

/** The version of the npm package that the bench installs, for comparable figures. */
const BUN = "1.4.5";

/** Where `installBun` puts it. */
export const BUN_PROGRAM: string = fileURLToPath(new URL("bun/node_modules/.bin/bun", FOLDER));

/** Where `bundle` puts its file. */
export const BUNDLE: URL = new URL("bundle.js", FOLDER);

/** Compiles one C file; returns the path of the program. `more` follows the source: libraries. */
export async function compileC(source: string, ...more: string[]): Promise<string> {
  if (!await has("cc")) throw new Error("cc is not there");
  const output = await outputFor(source);
  await run("cc", ["-O2", "-Wall", "-Wextra", "-o", output, source, ...more]);
  return output;
}

/** Puts the certificate of every server with TLS where programs in any language find it. */
export async function writeCertificate(): Promise<void> {
  const folder = new URL("tls/", FOLDER);
  await Deno.mkdir(folder, { recursive: true });
  const files = { "ca.pem": ca.cert, "cert.pem": server.cert, "key.pem": server.key };
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(new URL(name, folder), text);
  }
}

/** Writes a file that a program needs; returns its path. */
export async function writeBuild(name: string, text: string): Promise<string> {
  await Deno.mkdir(FOLDER, { recursive: true });
  const path = fileURLToPath(new URL(name, FOLDER));
  await Deno.writeTextFile(path, text);
  return path;
}

/** Compiles one Go file; returns the path of the program. */
export async function compileGo(source: string): Promise<string> {
  // `go version`, not `go --version`: the latter is an error.
  await run("go", ["version"]).catch(() => {
    throw new Error("go is not there");
  });
  const output = await outputFor(source);
  await run("go", ["build", "-o", output, source]);
  return output;
}

/** Installs Bun from npm unless it is there; returns the path of the program. */
export async function installBun(): Promise<string> {
  const folder = new URL("bun/", FOLDER);
  if (await versionOf(BUN_PROGRAM) === BUN) return BUN_PROGRAM;
  if (!await has("npm")) throw new Error("npm is not there to install it");
  await Deno.mkdir(folder, { recursive: true });
  const wanted = { private: true, dependencies: { bun: BUN } };
  await Deno.writeTextFile(new URL("package.json", folder), JSON.stringify(wanted));
  await run("npm", ["install", "--no-audit", "--no-fund", "--no-update-notifier"], folder);
  if (await versionOf(BUN_PROGRAM) !== BUN) throw new Error("what npm installed does not run");
  return BUN_PROGRAM;
}

/** Puts what a module exports by these names, and all that it needs, into one minified file: `BUNDLE`. */
export async function bundle(module: URL, ...names: string[]): Promise<void> {
  const entry = await writeBuild("entry.ts", `export { ${names.join(", ")} } from "${module}";\n`);
  await run(Deno.execPath(), ["bundle", "--minify", "-o", fileURLToPath(BUNDLE), entry]);
}

async function outputFor(source: string): Promise<string> {
  await Deno.mkdir(FOLDER, { recursive: true });
  return fileURLToPath(new URL(source.replaceAll(/[/.]/g, "_"), FOLDER));
}

async function versionOf(program: string): Promise<string> {
  return await run(program, ["--version"]).catch(() => "");
}

/** Runs a program to its end; returns its output. */
async function run(program: string, args: string[], cwd = BENCH): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(program, { args, cwd }).output();
  const decoder = new TextDecoder();
  if (!success) {
    throw new Error(`${program} failed: ${decoder.decode(stderr).trim().slice(-500)}`);
  }
  return decoder.decode(stdout).trim();
}
