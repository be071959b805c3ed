/** The tree keeps its own rules. Reads files and runs none of them. @module */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { BROADCAST_DEFAULTS } from "../lib/connection/broadcast.ts";
import { DEFAULT_HANDSHAKE_TIMEOUT } from "../lib/connection/limits.ts";
import { LISTEN_DEFAULTS } from "../lib/listener/listen_options.ts";
import { DEFAULTS } from "../lib/server/options.ts";
import { RATE_DEFAULTS } from "../lib/server/rate_limit.ts";
import { SIGNAL_DEFAULTS } from "../lib/server/shutdown_on_signals.ts";
import { SPLIT_DEFAULTS } from "../lib/testing/every_split.ts";
import { NO_FAULTS } from "../lib/testing/faults.ts";
import { FLEET_DEFAULTS } from "../lib/fleet/fleet_options.ts";
import { INSTRUMENT_DEFAULTS } from "../lib/otel/instrument.ts";
import { WATCH_DEFAULTS } from "../lib/watch/watch_options.ts";
import { DELIMITED_DEFAULTS } from "../lib/wire/codec/delimited.ts";
import { LENGTH_PREFIXED_DEFAULTS } from "../lib/wire/codec/length_prefixed.ts";
import { LINES_DEFAULTS } from "../lib/wire/codec/lines.ts";
import { WITH_HEADER_DEFAULTS } from "../lib/wire/codec/with_header.ts";
import { READER_DEFAULTS } from "../lib/wire/binary_reader.ts";
import { WRITER_DEFAULTS } from "../lib/wire/binary_writer.ts";
import { ENCODE_DEFAULTS } from "../lib/wire/proxy/encode_proxy_header.ts";
import { granted, root, treeTest } from "./support/needs.ts";

/** Files that are not part of the source: made by tasks or by git. */
const NOT_OURS = [".git", "node_modules", "coverage", "tests/bench/build"];

/**
 * The rooms by rank. A file imports from its own room or one of a lower rank: rooms of one rank do not
 * import each other.
 */
const RANKS = [
  ["lib/errors.ts"],
  ["lib/check.ts"],
  ["lib/format_address.ts"],
  ["lib/steady_clock.ts"],
  ["lib/set_socket_options.ts"],
  ["lib/wire/", "lib/tls/"],
  ["lib/connection/", "lib/listener/"],
  ["lib/server/"],
];

/** Entries on top of all rooms, which nothing else imports. */
const ENTRIES: Record<string, string> = {
  "mod.ts": "mod.ts",
  "lib/wire/mod.ts": "lib/wire/mod.ts",
  "lib/testing/": "lib/testing/mod.ts",
  "lib/watch/": "lib/watch/mod.ts",
  "lib/otel/": "lib/otel/mod.ts",
  "lib/fleet/": "lib/fleet/mod.ts",
};

/** Modules that a thread begins with: their address is all that anything else has of them. */
const THREADS = ["lib/fleet/worker.ts"];

/** What an entry on top imports from another one. */
const SHARED: Record<string, string[]> = {
  // The table of metrics, which both export in their own format.
  "lib/otel/": ["lib/watch/metrics.ts", "lib/watch/observed.ts"],
  // Each worker lists its own connections for the page.
  "lib/fleet/": ["lib/watch/connections.ts"],
};

/** Files of these entries that import a package, and which. */
const PACKAGES: Record<string, string[]> = {
  "lib/otel/instrument.ts": ["@opentelemetry/api"],
};

/** Files of `lib/` without a test file of their own, and where their work is tested instead. */
const TESTED_ELSEWHERE: Record<string, string> = {
  "lib/server/limits.ts": "tests/server/private_limits_test.ts",
  "lib/server/handler.ts": "tests/server/serve_connection_test.ts",
  "lib/wire/proxy/proxy_layout.ts": "tests/wire/proxy/proxy_header_test.ts",
  "lib/wire/proxy/encode_proxy_tlvs.ts": "tests/wire/proxy/encode_proxy_header_test.ts",
  "lib/connection/limits.ts": "tests/architecture_test.ts",
  "lib/connection/end_reason.ts": "tests/readme_test.ts",
  "lib/connection/socket_connection.ts": "tests/connection/connection_test.ts",
  "lib/tls/handshake.ts": "tests/tls/tls_socket_test.ts",
  "lib/server/running_server.ts": "tests/server/serve_test.ts",
  "lib/server/access_rules.ts": "tests/server/identify_test.ts",
  "lib/server/served_connection.ts": "tests/behaviour/draining_test.ts",
  "lib/server/server.ts": "tests/server/serve_test.ts",
  "lib/listener/socket_streams.ts": "tests/testing/pair_test.ts",
  "lib/otel/mod.ts": "tests/watch/mod_test.ts",
  "lib/testing/memory_socket.ts": "tests/testing/pair_test.ts",
  "lib/server/fleet_seat.ts": "tests/fleet/seat_test.ts",
  "lib/server/join_fleet.ts": "tests/fleet/seat_test.ts",
  "lib/fleet/control.ts": "tests/fleet/fleet_test.ts",
  "lib/fleet/fleet_statistics.ts": "tests/fleet/fleet_test.ts",
  "lib/fleet/messages.ts": "tests/fleet/fleet_test.ts",
  "lib/fleet/mod.ts": "tests/fleet/fleet_test.ts",
  "lib/fleet/running_fleet.ts": "tests/fleet/fleet_test.ts",
  "lib/fleet/thread.ts": "tests/fleet/place_test.ts",
  "lib/fleet/threads.ts": "tests/fleet/place_test.ts",
  "lib/fleet/worker.ts": "tests/fleet/seat_test.ts",
  "lib/watch/page/charts.ts": "tests/watch/page_test.ts",
  "lib/watch/page/files.ts": "tests/watch/answer_test.ts",
  "lib/watch/page/html.ts": "tests/watch/page_test.ts",
  "lib/watch/page/table.ts": "tests/watch/page_test.ts",
};

/** Test files outside the mirror of `lib/`, and what they test. */
const BESIDE: Record<string, string> = {
  "tests/connection/start_tls_test.ts": "TLS begun in mid-stream",
  "tests/listener/socket_options_test.ts": "when a socket's options are set",
  "tests/fleet/watching_test.ts": "a fleet on the status page",
  "tests/wire/codec/wrong_options_test.ts": "wrong options of every codec",
  "tests/watch/page_test.ts": "the page in a real browser",
};

/** Tests and their support that measure or bound real time, and why they must. */
const REAL_TIME: Record<string, string> = {
  "tests/support/wait.ts": "lets a child process have the processor",
  "tests/support/program.ts": "ends a program that hangs, which no fake clock reaches",
  "tests/bench/": "measures",
  "tests/soak/": "goes on for minutes",
  "tests/std/": "is about timers",
};

/** Every source file under a folder, as paths from the root. */
function filesUnder(folder: string, ending: RegExp): string[] {
  return [...Deno.readDirSync(new URL(folder, root))].flatMap(({ name, isDirectory }) => {
    const path = `${folder}${name}`;
    if (NOT_OURS.includes(path)) return [];
    if (isDirectory) return filesUnder(`${path}/`, ending);
    return ending.test(name) ? [path] : [];
  }).toSorted();
}

function source(path: string): string {
  return Deno.readTextFileSync(new URL(path, root));
}

/** The source without its comments; `//` after a colon is part of a URL. */
function code(path: string): string {
  return source(path).replace(/\/\*[^]*?\*\//g, "").replace(/(^|[^:])\/\/.*$/gm, "$1");
}

/** The imports of a file, including type imports and dynamic ones. */
function importsOf(path: string): string[] {
  const specifiers = /(?:\bfrom|\bimport)\s*\(?\s*"([^"]+)"/g;
  // The browser's imports in the status page are not imports of the library.
  const own = code(path).replace(/String\.raw`[^`]*`/g, "");
  return [...own.matchAll(specifiers)].map(([, specifier = ""]) =>
    specifier.startsWith(".")
      ? new URL(specifier, new URL(path, root)).href.replace(root.href, "")
      : specifier
  );
}

/** Matching lines of a file, each with its position. */
function places(path: string, pattern: RegExp, text: string = source(path)): string[] {
  return text.split("\n").flatMap((line, i) =>
    pattern.test(line) ? [`${path}:${i + 1}: ${line.trim()}`] : []
  );
}

function isUnder(path: string, list: Record<string, string>): boolean {
  return Object.keys(list).some((prefix) => path.startsWith(prefix));
}

const library = () => filesUnder("lib/", /\.ts$/);

treeTest("imports point one way: wire and tls, connection and listener, server, entries", () => {
  for (const path of [...library(), "mod.ts"]) {
    const isIn = (room: string) => path.startsWith(room);
    const rank = RANKS.findIndex((rooms) => rooms.some(isIn));
    const entry = Object.keys(ENTRIES).filter(isIn);
    assert(rank >= 0 || entry.length > 0, `${path} is in no room`);
    const mayUse = rank >= 0
      ? [...RANKS.slice(0, rank).flat(), ...RANKS[rank]?.filter(isIn) ?? []]
      : [...RANKS.flat(), ...entry, ...entry.flatMap((name) => SHARED[name] ?? [])];
    for (const imported of importsOf(path)) {
      if (imported.startsWith("node:") || PACKAGES[path]?.includes(imported)) continue;
      assert(imported.startsWith("lib/"), `${path} imports ${imported}, which is not in lib/`);
      const isBelow = mayUse.some((room) => imported.startsWith(room));
      assert(isBelow, `${path} imports ${imported}, from a room that is not below its own`);
    }
  }
});

treeTest("no file imports itself in a cycle, type imports included", () => {
  const done = new Set<string>();
  const visit = (path: string, way: string[]): void => {
    assert(!way.includes(path), `${[...way.slice(way.indexOf(path)), path].join(" imports ")}`);
    if (done.has(path)) return;
    for (const imported of importsOf(path)) {
      if (imported.startsWith("lib/")) visit(imported, [...way, path]);
    }
    done.add(path);
  };
  visit("mod.ts", []);
  for (const path of library()) visit(path, []);
});

treeTest("every file of lib/ is reachable from an entry point", () => {
  const reached = new Set<string>();
  const visit = (path: string): void => {
    if (reached.has(path)) return;
    reached.add(path);
    for (const imported of importsOf(path)) if (imported.startsWith("lib/")) visit(imported);
  };
  for (const entry of [...Object.values(ENTRIES), ...THREADS]) visit(entry);
  assertEquals(library().filter((path) => !reached.has(path)), []);
});

treeTest(
  "mod.ts loads no file of a fleet, and a worker's first module does not load serve()",
  () => {
    const reach = (path: string, reached = new Set<string>()): Set<string> => {
      if (reached.has(path)) return reached;
      reached.add(path);
      const own = importsOf(path).filter((imported) => imported.startsWith("lib/"));
      for (const imported of own) reach(imported, reached);
      return reached;
    };
    assertEquals([...reach("mod.ts")].filter((path) => path.startsWith("lib/fleet/")), []);
    // `serve()` waits for the worker's module, which may not wait for it.
    for (const thread of THREADS) assert(!reach(thread).has("lib/server/serve.ts"), thread);
  },
);

/** Files outside `lib/wire/` that work on bytes only, and are tested without a socket. */
const PURE = ["lib/connection/unframer.ts"];

treeTest(
  "lib/wire and the unframer are pure: no Deno, nothing asynchronous, no clock, no chance",
  () => {
    const impure =
      /\b(Deno|async|await|Promise|Date|performance|Temporal|set(Timeout|Interval|Immediate)|queueMicrotask|crypto)\b|Math\.random/;
    const pure = library().filter((path) => path.startsWith("lib/wire/") || PURE.includes(path));
    assertEquals(pure.flatMap((path) => places(path, impure, code(path))), []);
  },
);

treeTest("lib/ throws no plain Error", () => {
  // `new Error().stack`, which throws nothing, is how descriptor_panics.ts formats one.
  const plain = /new Error\((?!\)\.stack)/;
  assertEquals(library().flatMap((path) => places(path, plain, code(path))), []);
});

treeTest("each file of lib/ begins with one sentence that says what it is about", () => {
  for (const path of library()) {
    // The first comment of an entry point is its page in the documentation.
    if (Object.values(ENTRIES).includes(path)) continue;
    const [, sentence = ""] = /^\/\*\*\s+([^]*?)\s+(?:\*\s+)*@module\s+\*\/\n/.exec(source(path)) ??
      [];
    assertMatch(
      sentence.replaceAll(/\s+\*?\s*/g, " "),
      /^[A-Z`](?:[^.?!]|[.?!](?! |$))*\.$/,
      path,
    );
  }
});

treeTest("the header of a file is a statement, not a question", () => {
  const files = filesUnder("", /\.(ts|mjs|c|h|go)$/);
  const asking = files.filter((path) => {
    const [, first = ""] = /^(?:\/\*\*?|\/\/)\s+(?:\* )?([^.?!]*[.?!])/.exec(
      source(path).replaceAll(/`[^`\n]*`/g, "code"),
    ) ?? [];
    return first.endsWith("?");
  });
  assertEquals(asking, []);
});

/** Messages that format a value in their own way, and why. */
const SHOWN_OTHERWISE: Record<string, string> = {
  "lib/wire/proxy/encode_proxy_tlvs.ts":
    "a type is written in hexadecimal, as the specification does",
};

treeTest("one checker rejects wrong values", () => {
  const files = library().filter((path) => path !== "lib/check.ts");
  // A size is no value: `of 12 bytes` is about one.
  const own = /Cannot [^`]*' of \$\{(?![\w.]+\} (?:bytes|characters))[^`]*: use/;
  const builders = files.filter((path) => !(path in SHOWN_OTHERWISE) && own.test(code(path)));
  assertEquals(builders, []);
});

/** Files with more than one function or class that others import, and why they stay together. */
const TOGETHER: Record<string, string> = {
  "lib/check.ts": "the one checker, a function for each kind of value",
  "lib/errors.ts": "the errors a caller may catch",
  "lib/format_address.ts": "one escaping for addresses and for every other foreign text",
  "lib/connection/byte_reader.ts": "the error that its callers throw with its own words",
  "lib/connection/enter_tls.ts": "two ways into one handshake",
  "lib/connection/lifeline.ts": "a rejection that is marked as handled, which its errors become",
  "lib/connection/shared_frames.ts": "frames that many send, and the range of them that one does",
  "lib/connection/write_queue.ts": "a queue and the turns in it",
  "lib/listener/address_set.ts": "a set is made, and recognized where an option takes one",
  "lib/listener/address_rules.ts": "rules for addresses, completed and asked",
  "lib/listener/descriptor_panics.ts": "the two panics of one cause",
  "lib/listener/listen_options.ts": "the options of an address, alone and as an entry",
  "lib/fleet/sent_error.ts": "an error is packed and unpacked",
  "lib/server/options.ts": "the same checks when a server is made and when a limit is set later",
  "lib/server/rate_limit.ts": "one arithmetic for the public limit and for the server's own",
  "lib/server/serve_connection.ts": "the two ends of one connection's service",
  "lib/server/statistics.ts": "which counter a reason belongs to",
  "lib/tls/alert.ts": "an alert is given to an error and found again",
  "lib/tls/check_certificate.ts": "reads and checks the same PEM",
  "lib/tls/pem.ts": "reads and checks the same PEM",
  "lib/tls/tls_engine.ts": "the engine, and whether this Deno has what it needs",
  "lib/tls/tls_options.ts": "the options of TLS, of a server, of a name and of startTls()",
  "lib/watch/connections.ts": "the list of one server, and of several workers",
  "lib/watch/gate.ts": "two kinds of request pass one gate",
  "lib/watch/observed.ts": "what may be observed, checked and read",
  "lib/watch/page/format.ts": "the page's figures, in a form for each unit",
  "lib/wire/address/ip_address.ts": "an IP address from text to bytes and back",
  "lib/wire/codec/drop.ts": "two ways to drop what is too large",
  "lib/wire/proxy/encode_proxy_tlvs.ts": "sizes are computed by what writes the same fields",
  "lib/wire/proxy/proxy_header.ts": "parts of the layout that the encoder shares",
  "lib/wire/proxy/proxy_layout.ts": "the numbers of the specification and their sizes",
  "lib/wire/proxy/proxy_tlvs.ts": "names of TLVs for reading and for writing",
};

treeTest("each file of lib/ gives others one function or class, and what belongs to it", () => {
  const declared = /^export (?:default )?(?:abstract )?(?:async )?(?:function\*?|class) (\w+)/gm;
  for (const path of library()) {
    if (path in TOGETHER) continue;
    // Overloads of one function have one name.
    const names = new Set([...code(path).matchAll(declared)].map(([, name]) => name));
    assert(names.size <= 1, `${path} exports ${[...names].join(", ")}`);
  }
});

/** Where the defaults of a documented file are defined. */
const HOMES: Record<string, Record<string, unknown>> = {
  "lib/server/options.ts": DEFAULTS,
  "lib/server/rate_limit.ts": RATE_DEFAULTS,
  "lib/listener/listen_options.ts": LISTEN_DEFAULTS,
  "lib/server/shutdown_on_signals.ts": SIGNAL_DEFAULTS,
  "lib/connection/enter_tls.ts": { handshakeTimeout: DEFAULT_HANDSHAKE_TIMEOUT },
  "lib/connection/wrap.ts": DEFAULTS,
  "lib/connection/broadcast.ts": BROADCAST_DEFAULTS,
  "lib/connection/byte_reader.ts": { limit: LINES_DEFAULTS.limit, required: false },
  "lib/connection/connection.ts": { reuse: false },
  "lib/connection/cancellation.ts": { timeout: Infinity },
  "lib/wire/codec/lines.ts": LINES_DEFAULTS,
  "lib/wire/codec/delimited.ts": DELIMITED_DEFAULTS,
  "lib/wire/codec/length_prefixed.ts": LENGTH_PREFIXED_DEFAULTS,
  "lib/wire/codec/with_header.ts": WITH_HEADER_DEFAULTS,
  "lib/wire/binary_reader.ts": READER_DEFAULTS,
  "lib/wire/binary_writer.ts": WRITER_DEFAULTS,
  "lib/wire/proxy/encode_proxy_header.ts": ENCODE_DEFAULTS,
  "lib/testing/faults.ts": NO_FAULTS,
  "lib/testing/every_split.ts": SPLIT_DEFAULTS,
  "lib/otel/instrument.ts": INSTRUMENT_DEFAULTS,
  "lib/fleet/fleet_options.ts": FLEET_DEFAULTS,
  "lib/watch/watch_options.ts": WATCH_DEFAULTS,
};

treeTest("each @default is the real default, and each default is documented", () => {
  const written = (value: string) =>
    value === "Infinity"
      ? Infinity
      : JSON.parse(/^[\d_]+$/.test(value) ? value.replaceAll("_", "") : value);
  for (const path of library()) {
    const stated = /@default \{(.+)\}\s*\*\/\s*(?:readonly )?(\w+)\?:/g;
    const matches = [...source(path).matchAll(stated)];
    assertEquals(matches.length, source(path).split("@default").length - 1, path);
    for (const [, value = "", name = ""] of matches) {
      assertEquals(written(value), HOMES[path]?.[name], `${name} in ${path}`);
    }
    // wrap.ts shares the defaults of the server, and has only some of them.
    if (path === "lib/connection/wrap.ts") continue;
    const documented = matches.map(([, , name]) => name).toSorted();
    assertEquals(documented, Object.keys(HOMES[path] ?? {}).toSorted(), path);
  }
});

treeTest("an entry point exports the public names, and nothing else", () => {
  const exports = /^export (type )?\{[^{}]*\} from "\.\.?\/[\w/]+\.ts";$/gm;
  for (const entry of Object.values(ENTRIES)) {
    assertEquals(code(entry).replaceAll(exports, "").trim(), "", entry);
  }
  const { exports: published, tasks } = JSON.parse(source("deno.json")) as {
    exports: Record<string, string>;
    tasks: Record<string, { command: string }>;
  };
  const entries = Object.values(ENTRIES);
  assertEquals(Object.values(published), entries.map((entry) => `./${entry}`));
  assertStringIncludes(
    tasks["ok:static"]?.command ?? "",
    `deno doc --lint ${entries.join(" ")} &&`,
  );
});

/** The categories of public symbols, in the order in which a reader needs them. */
const CATEGORIES = [
  "Servers",
  "Connections",
  "Frames",
  "Limits",
  "Errors and records",
  "Stopping",
  "TLS",
  "PROXY protocol",
  "Listeners",
  "Fleet",
  "Watching",
  "Testing",
];

/** The part of `deno doc --json` that is checked. */
interface Documentation {
  nodes: Record<string, {
    symbols: {
      name: string;
      declarations: {
        /** `reference` is a symbol of another entry point, which is documented there. */
        kind?: string;
        jsDoc?: { doc?: string; tags?: { kind: string; doc?: string }[] };
      }[];
    }[];
  }>;
}

/** What `deno doc` knows of every public symbol, by entry point. */
async function documentation(): Promise<Documentation["nodes"]> {
  const { stdout } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--json", ...Object.values(ENTRIES).map((entry) => new URL(entry, root).href)],
  }).output();
  return (JSON.parse(new TextDecoder().decode(stdout)) as Documentation).nodes;
}

Deno.test({
  name: "every public symbol has an example and a category",
  ignore: !granted,
  async fn() {
    for (const tag of ["example", "category"]) {
      const without = Object.values(await documentation()).flatMap(({ symbols }) => symbols).filter(
        ({ declarations }) =>
          !declarations.some(({ kind, jsDoc }) =>
            kind === "reference" || jsDoc?.tags?.some(({ kind }) => kind === tag)
          ),
      );
      assertEquals(without.map(({ name }) => name), [], `no @${tag}`);
    }
  },
});

Deno.test({
  name: "the main entry exports its symbols by category, in a reader's order",
  ignore: !granted,
  async fn() {
    const { symbols = [] } = (await documentation())[new URL("mod.ts", root).href] ?? {};
    const found = symbols.map(({ name, declarations }) => {
      const tags = declarations.flatMap(({ jsDoc }) => jsDoc?.tags ?? []);
      const category = tags.find(({ kind }) => kind === "category")?.doc ?? "";
      return { name, at: CATEGORIES.indexOf(category) };
    });
    const moved = found.filter(({ at }, i) => at === -1 || at < (found[i - 1]?.at ?? 0));
    assertEquals(moved.map(({ name }) => name), [], "in the wrong place, or an unknown category");
    assertEquals(found[0]?.name, "serve");
  },
});

/** The documentation does not list what an interface inherits. */
treeTest("the page of ServeTcpOptions names each of its options, by interface", () => {
  const all = ["server/options", "listener/listen_options", "tls/tls_options"].map((home) =>
    source(`lib/${home}.ts`)
  ).join("\n");
  const keys = (name: string): string[] => {
    const [, bases = "", body = ""] =
      new RegExp(`^export interface ${name}(?:<.*>)?(?:\\s+extends ([^{]*))? \\{\n([^]*?)^\\}`, "m")
        .exec(
          all,
        ) ??
        [];
    const inherited = bases.match(/(?<=Partial<)\w+/g) ?? [];
    return [
      ...inherited.flatMap(keys),
      ...body.matchAll(/^ {2}(\w+)\??:/gm).map(([, key]) => key!),
    ];
  };
  const [, comment = "", bases = ""] =
    /\/\*\*((?:(?!\*\/)[^])*)\*\/\s*export interface ServeTcpOptions\s+extends ([^{]*) \{/.exec(
      all,
    ) ?? [];
  const groups = [...comment.matchAll(/- \{@linkcode (\w+)\}:([^]*?)(?=\n \* - |\n \*\n)/g)];
  assertEquals(
    Object.fromEntries(groups.map(([, name, text = ""]) => [
      name,
      [...text.matchAll(/`(\w+)`/g)].map(([, key]) => key!).toSorted(),
    ])),
    Object.fromEntries(
      bases.replaceAll(/<.*>/g, "").split(", ").map((name) => [name, keys(name).toSorted()]),
    ),
  );
});

/** Wider lines of an example are cut off on the page of a symbol. */
const EXAMPLE_WIDTH = 80;

treeTest("lines of examples in documentation fit its pages", () => {
  const wide = [...library(), "mod.ts"].flatMap((path) => {
    let inside = false;
    return source(path).split("\n").flatMap((line, i) => {
      const [, text] = /^ *\* ?(.*)$/.exec(line) ?? [];
      if (text?.startsWith("```")) inside = !inside;
      return inside && text !== undefined && text.length > EXAMPLE_WIDTH
        ? [`${path}:${i + 1} has ${text.length} characters`]
        : [];
    });
  });
  assertEquals(wide, []);
});

treeTest("tests/ mirrors lib/", () => {
  const tests = filesUnder("tests/", /_test\.ts$/);
  const mirror = new Map(
    library().map((path) => [path, path.replace(/^lib(.*)\.ts$/, "tests$1_test.ts")]),
  );
  const untested = [...mirror].filter(([path, test]) =>
    !tests.includes(TESTED_ELSEWHERE[path] ?? test)
  );
  assertEquals(untested.map(([path]) => path), [], "no test file");
  const mirrors = new Set(mirror.values());
  const inRooms = tests.filter((test) =>
    /^tests\/(wire|tls|connection|listener|server|testing|watch|otel|fleet)\//.test(test)
  );
  const strangers = inRooms.filter((test) => !mirrors.has(test) && BESIDE[test] === undefined);
  assertEquals(strangers, [], "about no file of lib/");
  const lists = [...Object.values(TESTED_ELSEWHERE), ...Object.keys(BESIDE)];
  assertEquals(lists.filter((test) => !tests.includes(test)), [], "listed and not there");
});

treeTest("no test waits for real time", () => {
  const waits = /\b(setTimeout|delay|sleep)\(/;
  const tests = filesUnder("tests/", /\.ts$/).filter((path) => !isUnder(path, REAL_TIME));
  assertEquals(tests.flatMap((path) => places(path, waits, code(path))), []);
});

/** By its URL, or copied into another project, an example has no import map. */
treeTest("examples/ import usher by a specifier that works in every project", () => {
  const { version } = JSON.parse(source("deno.json")) as { version: string };
  const [, line = ""] = /^(0\.\d+|\d+)/.exec(version) ?? [];
  const ours = new RegExp(`^jsr:@usher/server@\\^${line}\\.[0-9.]+(/\\w+)?$`);
  const specifiers = filesUnder("examples/", /\.ts$/).flatMap((path) =>
    importsOf(path).filter((specifier) =>
      specifier.includes("@usher/server") && !ours.test(specifier)
    )
      .map((specifier) => `${path} imports ${specifier}`)
  );
  assertEquals(specifiers, []);
});

treeTest("nothing is kept from being checked", () => {
  // Written so that this file does not find itself.
  const exempt =
    /deno-lint-ignore-[f]ile|deno-fmt-[i]gnore|@ts-[i]gnore|@ts-[n]ocheck|```\w+ [i]gnore|\.[o]nly\(/;
  const files = filesUnder("", /\.(ts|js|mjs|md|json|yml)$/);
  assertEquals(files.flatMap((path) => places(path, exempt)), []);
});

treeTest("no path of one machine and no host of a registry is in the tree", () => {
  const foreign = /\/(?:[r]oot|[h]ome|[w]ork)\/|\b(?:[r]egistry\.npmjs|[j]sr\.io|deb\.[d]ebian)\b/;
  const files = filesUnder("", /\.(ts|js|mjs|md|json|yml|lock|c|go)$|^run$|^LICENSE$/);
  assertEquals(files.flatMap((path) => places(path, foreign)), []);
});
