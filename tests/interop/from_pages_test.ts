/**
 * The two programs on each page of `docs/from/` do the same.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { bytes, text } from "../support/bytes.ts";
import { Directory } from "../support/directory.ts";
import { netTest, root } from "../support/needs.ts";
import { readAll } from "../support/peers.ts";
import { Daemon, run } from "./processes.ts";

/** What a page has a program in, and how to start it. */
interface Language {
  readonly page: string;
  /** Its name behind the fence of the block. */
  readonly fence: string;
  readonly file: string;
  /** The program that a test needs. */
  readonly tool: string;
  /** Builds it, and returns the command that starts it. */
  build(directory: Directory): Promise<string[]>;
}

const DENO: Pick<Language, "fence" | "file" | "build"> = {
  fence: "TypeScript",
  file: "server.ts",
  build: (directory) =>
    Promise.resolve([
      Deno.execPath(),
      "run",
      "--quiet",
      "--config",
      directory.at("deno.json"),
      "--allow-net",
      directory.at("server.ts"),
    ]),
};

const LANGUAGES: readonly Language[] = [
  {
    page: "c_sockets.md",
    fence: "c",
    file: "server.c",
    tool: "gcc",
    build: (directory) =>
      built(directory, "gcc", [
        "-Wall",
        "-Wextra",
        "-Werror",
        "-pthread",
        directory.at("server.c"),
      ]),
  },
  {
    page: "node_net.md",
    fence: "js",
    file: "server.mjs",
    tool: "node",
    build: (directory) => Promise.resolve(["node", directory.at("server.mjs")]),
  },
  {
    page: "go.md",
    fence: "go",
    file: "server.go",
    tool: "go",
    build: (directory) => built(directory, "go", ["build"], [directory.at("server.go")]),
  },
];

async function built(
  directory: Directory,
  compiler: string,
  before: string[],
  after: string[] = [],
): Promise<string[]> {
  const program = directory.at("server");
  const { code, complaints } = await run(compiler, [...before, "-o", program, ...after]);
  assertEquals(code, 0, complaints);
  return [program];
}

/** The only block of a language on a page. */
function block(page: string, fence: string): string {
  const text = Deno.readTextFileSync(new URL(`docs/from/${page}`, root));
  const blocks = [...text.matchAll(new RegExp(`^\`\`\`${fence}\n([^]*?)^\`\`\`$`, "gm"))];
  assertEquals(blocks.length, 1, `blocks of ${fence} in ${page}`);
  return blocks[0]![1]!;
}

/** What a program answers to lines in one packet, behind which the client sends nothing more. */
async function answers(command: string[]): Promise<string> {
  await using daemon = new Daemon("sh", ["-c", 'exec "$0" "$@" >&2', ...command, "0"]);
  assert(await daemon.says(/Listening on port \d+\n/), daemon.log);
  const [, port] = /port (\d+)\n/.exec(daemon.log)!;
  const client = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  await client.write(bytes`hello\nthere\n`);
  await client.closeWrite();
  return text(await readAll(client));
}

for (const language of LANGUAGES) {
  netTest(`docs/from/${language.page}: its two programs give the same answers`, async () => {
    for (const { fence, file, build } of [language, DENO]) {
      using directory = new Directory();
      await Deno.writeTextFile(
        directory.at("deno.json"),
        JSON.stringify({ links: [root.pathname] }),
      );
      await Deno.writeTextFile(directory.at(file), block(language.page, fence));
      assertEquals(await answers(await build(directory)), "HELLO\nTHERE\n", fence);
    }
  }, { programs: [language.tool], os: ["linux", "darwin"] });
}
