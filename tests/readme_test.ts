/**
 * The README is true. Its code blocks run as tests of their own (`deno test --doc`).
 *
 * @module
 */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { END_REASONS } from "../lib/connection/end_reason.ts";
import { LISTEN_DEFAULTS } from "../lib/listener/listen_options.ts";
import { DEFAULTS } from "../lib/server/options.ts";
import { netTest, root, treeTest } from "./support/needs.ts";

/** Every page for users. */
const PAGES = [
  "README.md",
  "CHANGELOG.md",
  "CONTRIBUTING.md",
  "SECURITY.md",
  "tests/std/README.md",
];

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, root));
}

/** The text under a heading of the README, up to the next one of the same rank. */
function section(heading: string): string {
  const [, after] = `${read("README.md")}\n## `.split(`\n## ${heading}\n`);
  assert(after !== undefined, `no section "${heading}"`);
  return after.slice(0, after.indexOf("\n## "));
}

/** The rows of the first table in a text, without its header, as cells. */
function rows(text: string): string[][] {
  const lines = text.split("\n").filter((line) => line.startsWith("|")).slice(2);
  return lines.map((line) => line.split(" | ").map((cell) => cell.replace(/^\| +| +\|?$/g, "")));
}

/** The programs in a text. */
function programs(text: string): string[] {
  return [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, program = ""]) => program);
}

/** Runs a program from the README as a reader would, and returns its output. */
async function output(program: string): Promise<string> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", "--allow-net", "-"],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const input = child.stdin.getWriter();
  await input.write(new TextEncoder().encode(program));
  await input.close();
  return new TextDecoder().decode((await child.output()).stdout).trim();
}

netTest("README: one client that resets ends the plain loop, and not ours", async () => {
  const text = section("Why the plain loop is not enough");
  const [plain = ""] = programs(text);

  const said = await output(plain);
  assertMatch(said, /^The loop is over: NotConnected/);
  assertStringIncludes(text, `\n${said}\n`);

  const ours = plain.replace("Deno.listen(", "listen(");
  const served = await output(`import { listen } from "jsr:@usher/server";\n${ours}`);
  assertEquals(served, "The second client was served");
  assertStringIncludes(text, `\`${served}\``);
}, { os: ["linux"] });

treeTest("README: each of the four calls has its test, by name", () => {
  const tests = read("tests/four_calls_test.ts");
  const calls = rows(section("What the four socket calls became")).map(([call = ""]) =>
    call.replaceAll("`", "")
  );
  assertEquals(calls.length, 6);
  for (const call of calls) assertStringIncludes(tests, `"${call}`);
});

treeTest("README: each option is there, with its default", () => {
  const table = rows(section("Options"));
  const stated = Object.fromEntries(table.flatMap(([names = "", value = ""]) =>
    // Options that belong together share a row.
    names.replaceAll("`", "").split(", ").map((name) => [name, value.replaceAll("`", "")])
  ));
  const defaults = Object.entries(stated).filter(([, value]) => value !== "");
  assertEquals(
    Object.fromEntries(
      defaults.map(([name, value]) => [
        name,
        value === "Infinity" ? Infinity : JSON.parse(value.replaceAll("_", "")),
      ]),
    ),
    { ...LISTEN_DEFAULTS, ...DEFAULTS },
  );
  const homes = ["server/options", "listener/listen_options", "tls/tls_options"];
  const interfaces = homes.map((home) => read(`lib/${home}.ts`)).join("").matchAll(
    /^export interface (?:\w*ListenOptions|Certificate|Serve(?:Address|Entry|Listeners)Options|ServeSettings) .*\{\n([^]*?)^\}/gm,
  );
  const options = [...interfaces].flatMap(([, body = ""]) =>
    [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name = ""]) => name)
  );
  assertEquals(Object.keys(stated).toSorted(), options.toSorted());
});

treeTest("README: each end reason is explained, in order", () => {
  const reasons = rows(section("How a connection ends")).map(([reason = ""]) =>
    reason.replaceAll("`", "")
  );
  assertEquals(reasons, [...END_REASONS]);
});

treeTest("README: every folder of lib/ is shown", () => {
  const shown = [...section("The rooms of `lib/`").matchAll(/\]\(lib\/(\w+)\/\)/g)].map((
    [, room = ""],
  ) => room);
  const rooms = [...Deno.readDirSync(new URL("lib/", root))].filter(({ isDirectory }) =>
    isDirectory
  );
  assertEquals(shown.toSorted(), rooms.map(({ name }) => name).toSorted());
});

treeTest("pages: every link leads to a file that exists", () => {
  for (const page of PAGES) {
    for (const [, target = ""] of read(page).matchAll(/\]\(([^)#]+)\)/g)) {
      if (target.startsWith("https:")) continue;
      const { isFile, isDirectory } = Deno.statSync(new URL(target, new URL(page, root)));
      assert(isFile || isDirectory, `${page} links to ${target}`);
    }
  }
});

treeTest("pages: each task that they mention is in deno.json", () => {
  const { tasks } = JSON.parse(read("deno.json")) as { tasks: Record<string, unknown> };
  for (const page of [...PAGES, ".ci/run", ".github/workflows/ci.yml"]) {
    for (const [, task = ""] of read(page).matchAll(/\b(?:deno|deno@[\d.]+) task ([a-z:]+)/g)) {
      assert(task in tasks, `${page} names the task ${task}`);
    }
  }
});

treeTest("pages: all mention the same version of Deno", () => {
  const named = [...PAGES, ".ci/run", ".github/workflows/ci.yml"].flatMap((page) =>
    [...read(page).matchAll(/\bdeno(?:@|-version: "?|_version=)(\d+\.\d+\.\d+)/gi)].map((
      [, version],
    ) => version)
  );
  assertEquals([...new Set(named)].length, 1, named.join(" "));
});

treeTest(
  "README: `deno task echo` is what the example's own comment says, and serves all evenly",
  () => {
    const { tasks } = JSON.parse(read("deno.json")) as {
      tasks: Record<string, { command: string }>;
    };
    const setting = "DENO_TOKIO_MAX_IO_EVENTS_PER_TICK=128 ";
    const { command = "" } = tasks["echo"] ?? {};
    assert(command.startsWith(setting));
    assertStringIncludes(read("README.md"), setting.trim());
    // It adds what matters under load only: a newcomer needs neither the variable nor V8's flag.
    const plain = command.slice(setting.length).replace("--v8-flags=--max-semi-space-size=1 ", "");
    assertStringIncludes(read("examples/echo.ts"), ` * ${plain}\n`);
    // The tests ask for the same permissions before they open a socket.
    const asked = [...tasks["test"]?.command.matchAll(/--allow-(\w+)/g) ?? []].map(([, name]) =>
      name
    );
    const needs = /PERMISSIONS = \[(.*)\]/.exec(read("tests/support/needs.ts"))?.[1] ?? "";
    assertEquals(asked, [...needs.matchAll(/"(\w+)"/g)].map(([, name]) => name));
  },
);
