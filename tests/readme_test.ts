/**
 * README and the pages of `docs/` are true. Their code blocks run as tests of their own
 * (`deno test --doc`).
 *
 * @module
 */

import { pathToFileURL } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { END_REASONS } from "../lib/connection/end_reason.ts";
import { FLEET_DEFAULTS } from "../lib/fleet/fleet_options.ts";
import { LISTEN_DEFAULTS } from "../lib/listener/listen_options.ts";
import { DEFAULTS } from "../lib/server/options.ts";
import { connect } from "../lib/testing/mod.ts";
import { LINES_DEFAULTS } from "../lib/wire/codec/lines.ts";
import { DURATION, METRICS } from "../lib/watch/metrics.ts";
import { metricsText } from "../lib/watch/prometheus.ts";
import { bytes, text } from "./support/bytes.ts";
import { Directory } from "./support/directory.ts";
import { netTest, root, treeTest } from "./support/needs.ts";
import { readAll } from "./support/peers.ts";
import { Program } from "./support/program.ts";

const WORKFLOWS = [".github/workflows/ci.yml", ".github/workflows/publish.yml"];

/** Folders without a page of ours. */
const NO_PAGES = [".git", "node_modules", "coverage", "build"];

/** Every page in Markdown, as paths from the root. */
function pages(folder = ""): string[] {
  return [...Deno.readDirSync(new URL(`./${folder}`, root))].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return NO_PAGES.includes(name) ? [] : pages(`${folder}${name}/`);
    return name.endsWith(".md") ? [`${folder}${name}`] : [];
  }).toSorted();
}

function read(path: string): string {
  return Deno.readTextFileSync(new URL(path, root));
}

/** The text under a heading of a page, up to the next one of the same rank. */
function section(page: string, heading: string): string {
  const [, after] = `${read(page)}\n## `.split(`\n## ${heading}\n`);
  assert(after !== undefined, `no section "${heading}" in ${page}`);
  return after.slice(0, after.indexOf("\n## "));
}

/** The rows of the first table in a text, without its header, as cells. */
function rows(text: string): string[][] {
  const lines = /(?:^\|.*\n)+/m.exec(`${text}\n`)?.[0].trimEnd().split("\n").slice(2) ?? [];
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
  const page = section("README.md", "Why the plain loop is not enough");
  const [plain = ""] = programs(page);

  const said = await output(plain);
  assertMatch(said, /^The loop is over: NotConnected/);
  assertStringIncludes(page, `\n${said}\n`);

  const ours = plain.replace("Deno.listen(", "listen(");
  const served = await output(`import { listen } from "@usher/server";\n${ours}`);
  assertEquals(served, "The second client was served");
  assertStringIncludes(page, `\`${served}\``);
}, { os: ["linux"] });

treeTest("README: each of the four calls has its test, by name", () => {
  const tests = read("tests/four_calls_test.ts");
  const calls = rows(section("README.md", "What the four socket calls became")).map(([call = ""]) =>
    call.replaceAll("`", "")
  );
  assertEquals(calls.length, 6);
  for (const call of calls) assertStringIncludes(tests, `"${call}`);
});

/** The options in a table, each with its default; those that belong together share a row. */
function statedOptions(text: string): Record<string, string> {
  return Object.fromEntries(
    rows(text).flatMap(([names = "", value = ""]) =>
      names.replaceAll("`", "").split(", ").map((name) => [name, value.replaceAll("`", "").trim()])
    ),
  );
}

function statedDefaults(stated: Record<string, string>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(stated).filter(([, value]) => value !== "").map(([name, value]) => [
      name,
      value === "Infinity" ? Infinity : JSON.parse(value.replaceAll("_", "")),
    ]),
  );
}

/** The options of interfaces in some files. */
function declaredOptions(homes: string[], names: string): string[] {
  const interfaces = homes.map((home) => read(`lib/${home}.ts`)).join("").matchAll(
    new RegExp(`^export interface (?:${names})[ <].*\\{\\n([^]*?)^\\}`, "gm"),
  );
  return [...interfaces].flatMap(([, body = ""]) =>
    [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, name = ""]) => name)
  );
}

treeTest("docs/reference/options.md: each option is there, with its default", () => {
  const stated = statedOptions(read("docs/reference/options.md"));
  assertEquals(statedDefaults(stated), { ...LISTEN_DEFAULTS, ...DEFAULTS });
  const options = declaredOptions(
    ["server/options", "listener/listen_options", "tls/tls_options"],
    "\\w*ListenOptions|Certificate|Serve(?:Address|Entry|Listeners)Options|ServeSettings",
  );
  assertEquals(Object.keys(stated).toSorted(), options.toSorted());
});

treeTest("docs/reference/options.md: each option of fleet() is there, with its default", () => {
  const stated = statedOptions(section("docs/reference/options.md", "Options of `fleet()`"));
  assertEquals(statedDefaults(stated), FLEET_DEFAULTS);
  assertEquals(Object.keys(stated), declaredOptions(["fleet/fleet_options"], "FleetOptions"));
});

treeTest("SECURITY: the limits that it names are the defaults", () => {
  const text = rows(section("SECURITY.md", "What counts")).map((row) => row.join(" ")).join("\n");
  const units: Record<string, number> = { "": 1, s: 1000, KiB: 2 ** 10, MiB: 2 ** 20 };
  const named = [...text.matchAll(/`(\w+)` (?:is )?(\d[\d,]*)(?: (s|KiB|MiB)\b)?/g)].map(
    ([, name = "", value = "", unit = ""]) =>
      [name, Number(value.replaceAll(",", "")) * (units[unit] ?? NaN)] as const,
  );
  assert(named.length >= 7, text);
  const defaults: Record<string, unknown> = { ...DEFAULTS, limit: LINES_DEFAULTS.limit };
  for (const [name, value] of named) assertEquals(value, defaults[name], name);
});

treeTest("docs/reference/end_reasons.md: each end reason, in the words of EndReason", () => {
  const table = rows(read("docs/reference/end_reasons.md"));
  assertEquals(table.map(([reason = ""]) => reason.replaceAll("`", "")), [...END_REASONS]);
  const comment = read("lib/connection/end_reason.ts").replaceAll(/\n \* {3}/g, " ");
  const said = [...comment.matchAll(/^ \* - (`\w+`): (.*)$/gm)].map((
    [, reason, text = ""],
  ) => [reason, text.replaceAll(/\{@linkcode (\w+)\}/g, "`$1`")]);
  assertEquals(table.map((row) => row.map((cell) => cell.trim())), said);
});

treeTest("docs/reference/metrics.md: each metric is there, with its two names", async () => {
  const table = rows(read("docs/reference/metrics.md")).map((row) =>
    row.map((cell) => cell.replaceAll("`", "").trim())
  );
  assertEquals(
    table.map(([, name, kind, unit, , meaning]) => ({ name, kind, unit, help: meaning })),
    [...METRICS, { ...DURATION, kind: "histogram" }].map(({ name, kind, unit, help }) => (
      { name, kind, unit, help }
    )),
  );
  await using client = connect((conn) => Promise.resolve(conn.close("kicked")));
  await client.ended;
  const { server } = client;
  const { addr, state, accepting, waitingFor, maxConnections } = server;
  // As of a fleet, which has some metrics more.
  const workers = [{ state: "serving", connections: 0, restarts: 0 }];
  const fleet = { addr, state, accepting, waitingFor, maxConnections, workers };
  const written = metricsText({ ...fleet, stats: () => server.stats() } as never);
  const types = [...written.matchAll(/^# TYPE (\w+) (\w+)$/gm)].map((
    [, name, kind],
  ) => [name, kind]);
  assertEquals(table.map(([name, , kind]) => [name, kind]), types);
  const labels = types.map(([name = ""]) => written.match(`\n${name}\\{(\\w+)=`)?.[1] ?? "");
  assertEquals(table.map(([, , , , label]) => label), labels);
});

treeTest("examples/README.md: each program is there, with a client for its port", () => {
  const table = rows(read("examples/README.md"));
  const clients = new Map(table.map(([name = "", , client = ""]) => {
    const [, file = ""] = /^\[(.*)\]\(\1\)$/.exec(name) ?? [];
    return [file, client];
  }));
  const names = [...Deno.readDirSync(new URL("examples/", root))].map(({ name }) => name);
  const programs = names.filter((name) =>
    name.endsWith("_test.ts") ||
    (name.endsWith(".ts") && read(`examples/${name}`).includes("import.meta.main"))
  );
  assertEquals([...clients.keys()].toSorted(), programs.toSorted());
  for (const [name, client] of clients) {
    const [, port = ""] = /command, port: (\d+)/.exec(read(`examples/${name}`)) ?? [];
    // A server with probes or a page has a port for these, too, and that is the one to show.
    const shown = /(?:health-port|page): "(\d+)"|"health-port": "(\d+)"/.exec(
      read(`examples/${name}`),
    );
    const expected = shown?.[1] ?? shown?.[2] ?? port;
    assertStringIncludes(client, expected, `examples/${name}`);
    assert(client !== "");
  }
});

treeTest("CONTRIBUTING: every folder of lib/ is shown", () => {
  const shown = [
    ...section("CONTRIBUTING.md", "The rooms of `lib/`").matchAll(/\]\(lib\/(\w+)\/\)/g),
  ].map((
    [, room = ""],
  ) => room);
  const rooms = [...Deno.readDirSync(new URL("lib/", root))].filter(({ isDirectory }) =>
    isDirectory
  );
  assertEquals(shown.toSorted(), rooms.map(({ name }) => name).toSorted());
});

/** A link of a page: to a path from the root, and to a heading of a page if it has an anchor. */
interface Link {
  readonly page: string;
  readonly path: string;
  readonly anchor: string | undefined;
}

/** The relative links and pictures of a page. */
function links(page: string): Link[] {
  const text = read(page).replaceAll(/^```[^]*?^```$/gm, "");
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = ""]) => {
    if (/^https?:/.test(target)) return [];
    const { pathname, hash } = new URL(target, new URL(page, root));
    const path = decodeURI(pathname).slice(decodeURI(root.pathname).length);
    return [{
      page,
      path: path === "" ? page : path,
      anchor: decodeURIComponent(hash.slice(1)) || undefined,
    }];
  });
}

/** The anchors of a page's headings. */
function anchors(page: string): string[] {
  return [...read(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}

treeTest("pages: every link leads to a file that exists, and to a heading of it", () => {
  const dead = pages().flatMap(links).filter(({ page, path, anchor }) => {
    if (anchor !== undefined) return !anchors(path).includes(anchor);
    const info = stat(path);
    return info === null || (path.endsWith("/") && !info.isDirectory) || path === page;
  });
  assertEquals(dead, []);
});

function stat(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(new URL(path, root));
  } catch {
    return null;
  }
}

netTest("pages: every link holds in the package, which is made without a warning", async () => {
  const { stderr, success } = await new Deno.Command(Deno.execPath(), {
    args: ["publish", "--dry-run", "--allow-dirty", "--no-check", "--allow-slow-types"],
    cwd: root,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const said = text(stderr);
  assert(success, said);
  // The other warnings are of the two flags, which save time here.
  assertEquals(said.match(/^warning.*$/gm), null, said);
  const files = [...said.matchAll(/^ +(file:\S+) \(/gm)].map(([, url = ""]) =>
    decodeURI(url).slice(decodeURI(root.href).length)
  );
  assert(files.includes("mod.ts"), said);
  const published = files.filter((path) => path.endsWith(".md"));
  assert(published.includes("README.md"));
  const dead = published.flatMap(links).filter(({ path }) =>
    !files.some((file) => path.endsWith("/") ? file.startsWith(path) : file === path)
  );
  assertEquals(dead, []);
});

treeTest("README: the oldest Deno it names is the one that CI runs", () => {
  const [, oldest] = /Deno\s(\d+\.\d+\.\d+)\sor\snewer/.exec(read("README.md")) ?? [];
  const [, tested] = /^ +deno: \["([\d.]+)"\]$/m.exec(read(".github/workflows/ci.yml")) ?? [];
  assertEquals(tested, oldest);
});

treeTest("README: the version it names is that of deno.json", () => {
  const { version } = JSON.parse(read("deno.json")) as { version: string };
  const named = [...read("README.md").matchAll(/\b[Vv]ersion\s(\d+\.\d+\.\d+)/g)];
  assertEquals([...new Set(named.map(([, name]) => name))], [version]);
});

treeTest("pages: programs import as a project does after `deno add`", () => {
  // In a project `deno lint` refuses `jsr:` in an import.
  const inline = pages().filter((page) =>
    programs(read(page)).some((each) => each.includes('"jsr:'))
  );
  assertEquals(inline, []);
});

treeTest("pages: each task that they mention is in deno.json", () => {
  const { tasks } = JSON.parse(read("deno.json")) as { tasks: Record<string, unknown> };
  for (const page of [...pages(), ".ci/run", ...WORKFLOWS]) {
    for (const [, task = ""] of read(page).matchAll(/\b(?:deno|deno@[\d.]+) task ([a-z:]+)/g)) {
      assert(task in tasks, `${page} names the task ${task}`);
    }
  }
});

treeTest("pages: all mention the same version of Deno", () => {
  const named = [...pages(), ".ci/run", ...WORKFLOWS].flatMap((page) =>
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
    assertStringIncludes(read("docs/reference/environment.md"), setting.trim());
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

netTest("README: the smallest server runs with a checkout in its imports, and echoes", async () => {
  const [, program = ""] = /^```TypeScript\n([^]*?)^```$/m.exec(read("README.md")) ?? [];
  const [, configuration = ""] = /^```json\n([^]*?)^```$/m.exec(read("README.md")) ?? [];
  const { exports } = JSON.parse(read("deno.json")) as { exports: Record<string, string> };
  const { imports } = JSON.parse(configuration) as { imports: Record<string, string> };
  // All but those that need a package besides, or are about one.
  const { "./otel": _, ...entries } = exports;
  assertEquals(
    imports,
    Object.fromEntries(
      Object.entries(entries).map((
        [name, path],
      ) => [`@usher/server${name.slice(1)}`, path.replace("./", "../usher/")]),
    ),
  );
  using place = new Directory();
  await Deno.writeTextFile(
    place.at("deno.json"),
    configuration.replaceAll('"../usher/', `"${root.href}`),
  );
  await Deno.writeTextFile(place.at("server.ts"), program.replace("port: 7000", "port: 0"));
  await using running = new Program(pathToFileURL(place.at("server.ts")), {
    how: ["run", "--quiet", "--allow-net"],
    cwd: pathToFileURL(`${place.path}/`),
  });
  const [, port = ""] = /^Listening on port (\d+)$/.exec(await running.line()) ?? [];
  const client = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  await client.write(bytes`hello`);
  await client.closeWrite();
  assertEquals(text(await readAll(client)), "hello");
});

netTest("docs/guide/many_cores.md: its two files are a fleet that serves", async () => {
  const files = [
    ...read("docs/guide/many_cores.md").matchAll(
      /^```TypeScript\n\/\/ (\w+\.ts)\n([^]*?)^```$/gm,
    ),
  ];
  assertEquals(files.map(([, name]) => name), ["server.ts", "main.ts"]);
  using place = new Directory();
  for (const [, name = "", program = ""] of files) {
    await Deno.writeTextFile(place.at(name), program.replace("port: 7000", "port: 0"));
  }
  const { exports } = JSON.parse(read("deno.json")) as { exports: Record<string, string> };
  const imports = Object.fromEntries(
    Object.entries(exports).map(([name, path]) =>
      [`@usher/server${name.slice(1)}`, new URL(path, root).href] as const
    ),
  );
  await Deno.writeTextFile(place.at("deno.json"), JSON.stringify({ imports }));
  await using running = new Program(pathToFileURL(place.at("main.ts")), {
    how: ["run", "--quiet", "--allow-net", "--allow-read"],
    cwd: pathToFileURL(`${place.path}/`),
  });
  const [, port = ""] = /^\d+ workers on port (\d+)$/.exec(await running.line()) ?? [];
  const client = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  await client.write(bytes`hello`);
  await client.closeWrite();
  assertEquals(text(await readAll(client)), "hello");
});
