/** The versions of the programs behind the figures. @module */

import { BUN_PROGRAM } from "./build.ts";

/** The versions that the installed servers and loads report; and the commit. */
export async function versions(): Promise<string[]> {
  const said = await Promise.all([
    firstLine("usher ", "git", "describe", "--always", "--dirty"),
    firstLine("Node ", "node", "--version"),
    firstLine("Bun ", BUN_PROGRAM, "--version"),
    firstLine("", "go", "version"),
    firstLine("", "cc", "--version"),
    firstLine("", "openssl", "version"),
    firstLine("", "redis-server", "--version"),
  ]);
  return said.filter((line) => line !== undefined);
}

async function firstLine(
  prefix: string,
  program: string,
  ...args: string[]
): Promise<string | undefined> {
  try {
    const cwd = new URL(".", import.meta.url);
    const { success, stdout } = await new Deno.Command(program, { args, cwd }).output();
    const [line] = new TextDecoder().decode(stdout).split("\n");
    return success && line ? prefix + line.trim() : undefined;
  } catch {
    return undefined;
  }
}
