/**
 * A project that has this checkout in its import map may have compiler options of its own, and may be
 * bundled; and the examples run outside the checkout.
 *
 * @module
 */

import { pathToFileURL } from "node:url";
import { assert, assertEquals } from "@std/assert";
import { bytes, text } from "./support/bytes.ts";
import { Directory } from "./support/directory.ts";
import { granted, netTest, root } from "./support/needs.ts";
import { readAll } from "./support/peers.ts";
import { Program } from "./support/program.ts";

/** Options under which projects are checked, apart from Deno's own defaults. */
const OPTIONS: Record<string, Record<string, boolean | string[]>> = {
  "Deno's defaults": {},
  "the strictest options": {
    strict: true,
    allowUnreachableCode: false,
    allowUnusedLabels: false,
    erasableSyntaxOnly: true,
    exactOptionalPropertyTypes: true,
    noFallthroughCasesInSwitch: true,
    noImplicitOverride: true,
    noImplicitReturns: true,
    noPropertyAccessFromIndexSignature: true,
    noUncheckedIndexedAccess: true,
    noUnusedLocals: true,
    noUnusedParameters: true,
    verbatimModuleSyntax: true,
  },
  "isolatedDeclarations": { isolatedDeclarations: true },
  "the browser's types beside Deno's": { lib: ["deno.window", "dom", "dom.iterable", "esnext"] },
};

/** Programs as in the guide, with every entry point. */
const PROGRAM = `
import { connection, framed, lines, serve } from "@usher/server";

const server = serve(
  { port: 0, hostname: "127.0.0.1", idleTimeout: 60_000, onEnd: ({ reason }) => void reason },
  async (conn) => {
    const messages = framed(conn, lines());
    for await (const line of messages) await messages.send(line.toUpperCase());
  },
);
const client = connection(await Deno.connect({ port: server.addr.port }));
await client.write(new TextEncoder().encode("hello\\n"));
const answer: string | null = await client.readLine();
client.close();
await server.shutdown();
if (answer !== "HELLO") throw new Error(answer ?? "nothing");
`;

function project(place: Directory, compilerOptions: (typeof OPTIONS)[string]): string {
  const { exports: entries, imports } = JSON.parse(
    Deno.readTextFileSync(new URL("deno.json", root)),
  ) as Record<"exports" | "imports", Record<string, string>>;
  const ours = Object.entries(entries).map(([name, path]) =>
    [`@usher/server${name.slice(1)}`, new URL(path, root).href] as const
  );
  const packages = { "@opentelemetry/api": imports["@opentelemetry/api"] };
  const configuration = { compilerOptions, imports: { ...Object.fromEntries(ours), ...packages } };
  Deno.writeTextFileSync(place.at("deno.json"), JSON.stringify(configuration));
  const others = ours.slice(1).map(([name], i) => `export * as entry${i} from "${name}";\n`);
  Deno.writeTextFileSync(place.at("program.ts"), others.join("") + PROGRAM);
  return "program.ts";
}

async function deno(place: Directory, ...args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args,
    cwd: place.path,
    env: { NO_COLOR: "1" },
    stdin: "null",
  }).output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  assert(success, said);
  return said;
}

for (const [name, options] of Object.entries(OPTIONS)) {
  netTest(`the checkout passes the type check of a project with ${name}`, async () => {
    using place = new Directory();
    const said = await deno(place, "check", "--no-lock", project(place, options));
    assert(!said.includes("Unsupported compiler options"), said);
  });
}

/** Writes an import map that has the checkout in place of the registry. */
function importMap(place: Directory): string {
  const { version, exports: entries, imports: packages } = JSON.parse(
    Deno.readTextFileSync(new URL("deno.json", root)),
  ) as { version: string; exports: Record<string, string>; imports: Record<string, string> };
  const [, line = ""] = /^(0\.\d+|\d+)/.exec(version) ?? [];
  const ours = Object.entries(entries).map((
    [name, path],
  ) => [`jsr:@usher/server@^${line}.0${name.slice(1)}`, new URL(path, root).href]);
  const imports = { ...packages, ...Object.fromEntries(ours) };
  Deno.writeTextFileSync(place.at("map.json"), JSON.stringify({ imports }));
  return place.at("map.json");
}

function exampleNames(): string[] {
  return [...Deno.readDirSync(new URL("examples/", root))].map(({ name }) => name)
    .filter((name) => /^\w+(?<!_test)\.ts$/.test(name));
}

netTest("the examples are checked and run by their URLs", async () => {
  using place = new Directory();
  await using site = Deno.serve(
    { port: 0, hostname: "127.0.0.1", onListen() {} },
    async (asked) => {
      const { pathname } = new URL(asked.url);
      const source = await Deno.readFile(new URL(`.${pathname}`, root));
      return new Response(source, { headers: { "content-type": "text/typescript" } });
    },
  );
  const host = `127.0.0.1:${site.addr.port}`;
  const flags = [`--allow-import=${host}`, "--no-lock", `--import-map=${importMap(place)}`];
  const urls = exampleNames().map((name) => `http://${host}/examples/${name}`);
  await deno(place, "check", ...flags, ...urls);

  await using echo = new Program(new URL(`http://${host}/examples/echo.ts`), {
    how: ["run", "--quiet", "--allow-net", ...flags],
    args: ["--port", "0"],
    cwd: pathToFileURL(`${place.path}/`),
  });
  const [, port = ""] = /^Listening on tcp:\/\/127\.0\.0\.1:(\d+)$/.exec(await echo.line()) ?? [];
  const client = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
  await client.write(bytes`hello`);
  await client.closeWrite();
  assertEquals(text(await readAll(client)), "hello");
});

/** `deno bundle` downloads its bundler. */
const bundles = granted && await canBundle();

async function canBundle(): Promise<boolean> {
  using place = new Directory();
  await Deno.writeTextFile(place.at("empty.ts"), "export {};");
  return await deno(place, "bundle", "--quiet", "empty.ts").then(() => true, () => false);
}

Deno.test({
  name: "a bundled program serves, minified or not" +
    (bundles || !granted ? "" : " [skipped: needs the download of a bundler]"),
  ignore: !bundles,
  async fn() {
    using place = new Directory();
    const program = project(place, {});
    for (const more of [[], ["--minify"]]) {
      await deno(place, "bundle", "--quiet", "--no-lock", ...more, "-o", "bundled.js", program);
      const run = ["run", "--allow-net", "--no-config", "--no-remote", "--no-npm"];
      assertEquals(await deno(place, ...run, "bundled.js"), "");
    }
  },
});
