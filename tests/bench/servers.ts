/** The servers to measure, and how to start each of them. @module */

import { pathToFileURL } from "node:url";
import { BUNDLE, bundle, compileC, compileGo, installBun, writeBuild } from "./build.ts";
import type { Case, Mode } from "./cases.ts";
import { Child, has } from "./children.ts";

export interface Server {
  readonly name: string;
  readonly modes: readonly Mode[];
  /** In the short run, too. */
  readonly always: boolean;
  /** Whether Deno runs it. */
  readonly deno?: true;
  /** Whether it can count, as servers/counting.ts does. */
  readonly counts?: true;
  /** usher's module, for the servers that take one. */
  readonly module?: string;
  /** The only case it takes part in; all that it can do if missing. */
  readonly only?: string;
  /** Its arguments if they are not MODE BYTES [MODULE]; `port` is free, and may be ignored. */
  arguments?(port: number, bytes: number): readonly string[];
  /** Its line when it listens if that is not `ready PORT`; without a port: on the one given. */
  readonly ready?: RegExp;
  /** Builds it; returns the command. Rejects with the reason when this machine cannot. */
  prepare(): Promise<readonly string[]>;
}

/** A server that this machine can run. */
export interface PreparedServer extends Server {
  readonly command: readonly string[];
}

/** A server that listens. */
export interface Running {
  readonly child: Child;
  readonly port: number;
  /** When its process was started, by `performance.now()`. */
  readonly began: number;
}

/** Milliseconds until a server that has not printed `ready` counts as stuck. */
const START = 15_000;

const ALL: readonly Mode[] = ["echo", "once", "two_writes", "send", "discard"];

/** The modes of other programs. */
const FRAMED: readonly Mode[] = ["lines", "frames"];

const USHER = new URL("../../mod.ts", import.meta.url);

/** Every server; those of usher a second time with the library of the checkout at `against`. */
export function servers(against: string | undefined): Server[] {
  return [
    onDeno("plain", "plain.ts", ALL, true),
    onDeno("plain_tls", "plain_tls.ts", ["tls_echo"], true),
    ...usher("", USHER),
    ...against === undefined ? [] : usher("@before", pathToFileURL(`${against}/mod.ts`)),
    bundled(),
    onDeno("plain_owned", "plain_owned.ts", ["echo", "discard"], false),
    { ...onDeno("plain_counted", "plain_counted.ts", ["echo"], false), only: "echo64" },
    onDeno("plain_timeout", "plain_timeout.ts", ["echo"], true),
    onDeno("node_net_deno", "node_net.mjs", [...ALL, ...FRAMED], false),
    peer(
      "node_net",
      [...ALL, ...FRAMED],
      async () => [await present("node"), "servers/node_net.mjs"],
    ),
    onDeno("node_tls_deno", "node_tls.mjs", ["tls_echo"], false),
    peer("node_tls", ["tls_echo"], async () => [await present("node"), "servers/node_tls.mjs"]),
    peer(
      "bun",
      [...ALL, ...FRAMED, "tls_echo"],
      async () => [await installBun(), "servers/bun.mjs"],
    ),
    peer("go", [...ALL, ...FRAMED, "tls_echo"], async () => [await compileGo("servers/echo.go")]),
    peer("epoll", ALL, async () => [await compileC("servers/epoll.c")]),
    onDeno("plain_keep", "plain_keep.ts", ["keep"], true),
    onDeno("plain_pipe", "plain_pipe.ts", ["forward"], true),
    onDeno("plain_lines", "plain_lines.ts", ["lines"], true),
    onDeno("plain_batch", "plain_batch.ts", ["lines"], false),
    onDeno("plain_frames", "plain_frames.ts", ["frames"], true),
    redis(),
    mosquitto(),
    microsocks(),
    ...computing(navigator.hardwareConcurrency),
  ];
}

/** Whether a server can do what a case asks for. */
export function takesPart(
  { name, modes, only, deno }: Server,
  { name: benchCase, mode, among, denoEnv }: Case,
): boolean {
  return modes.includes(mode) && (deno === true || denoEnv === undefined) &&
    (only === undefined || only === benchCase) &&
    (among === undefined || among.includes(name.replace(/@before$/, "")));
}

/** Starts a server for one case and awaits its port. */
export async function startServer(
  server: PreparedServer,
  { mode, bytes = 0, load, denoEnv }: Case,
  cores: number | string | undefined,
  denoFlags: readonly string[] = [],
): Promise<Running> {
  const { command, module, ready = /^ready (\d+)$/ } = server;
  const [program = "", ...rest] = command;
  // After `run`, where Deno's own options go.
  const words = server.deno ? [program, "run", ...denoFlags, ...rest.slice(1)] : command;
  const given = server.arguments === undefined ? 0 : freePort();
  const about = load.kind === "keep" ? load.what : String(bytes);
  const args = server.arguments?.(given, bytes) ??
    [mode, about, ...module === undefined ? [] : [module]];
  const began = performance.now();
  const child = new Child([...words, ...args], cores, denoEnv);
  try {
    for (;;) {
      const match = ready.exec(await child.line(START));
      if (match !== null) return { child, port: Number(match[1] ?? given), began };
    }
  } catch (error) {
    await child[Symbol.asyncDispose]();
    throw error;
  }
}

/** For programs that take port 0 as "none". */
function freePort(): number {
  using listener = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  return listener.addr.port;
}

function usher(suffix: string, module: URL): Server[] {
  const entry = (
    name: string,
    modes: readonly Mode[],
    needs: string,
    run: string[],
    home: URL = module,
  ): Server => ({
    name: name + suffix,
    modes,
    always: true,
    deno: true,
    counts: true,
    module: module.href,
    prepare: async () => {
      if (!await exists(module)) throw new Error(`there is no ${module.pathname}`);
      // Another checkout may be from before it.
      const source = await Deno.readTextFile(home).catch(() => "");
      if (!source.includes(needs)) throw new Error(`${home.pathname} has no '${needs}'`);
      return run;
    },
  });
  return [
    entry("usher_iterate", ALL, "serve", denoRun("usher_iterate.ts")),
    entry("usher_read", ALL, "serve", denoRun("usher_read.ts")),
    entry(
      "usher_chunks",
      ALL.filter((mode) => mode !== "send"),
      "reuse",
      denoRun("usher_chunks.ts"),
      new URL("lib/connection/connection.ts", module),
    ),
    entry("usher_keep", ["keep"], "serve", denoRun("usher_keep.ts")),
    entry("usher_tls", ["tls_echo"], "serve", denoRun("usher_tls.ts")),
    entry("usher_forward", ["forward"], "serve", denoRun("usher_forward.ts")),
    entry("usher_lines", ["lines"], "framed", denoRun("usher_lines.ts")),
    entry("usher_frames", ["frames"], "framed", denoRun("usher_frames.ts")),
    entry("usher_stop", ["stop"], "serve", denoRun("usher_stop.ts")),
    example("kv", suffix, module),
    example("mqtt", suffix, module),
    example("socks5", suffix, module, "socks"),
  ];
}

/** A single thread, and what has so many workers: servers/work.mjs has what they compute. */
export function computing(workers: number): Server[] {
  const entry = (
    name: string,
    count: number,
    always: boolean,
    prepare: Server["prepare"],
  ): Server => ({
    name,
    modes: ["work"],
    always,
    arguments: (_port, steps) => [String(steps), String(count)],
    prepare,
  });
  const onDeno = () => Promise.resolve(denoRun("fleet_work.ts"));
  return [
    entry("usher_single", 0, true, onDeno),
    entry("usher_fleet", workers, true, onDeno),
    entry(
      "node_cluster",
      workers,
      false,
      async () => [await present("node"), "servers/cluster_work.mjs"],
    ),
    entry("go_work", workers, false, async () => [await compileGo("servers/work.go")]),
  ];
}

/** usher as one file, which `deno bundle` makes: what the number of files costs. */
function bundled(): Server {
  return {
    name: "usher_bundled",
    modes: ["echo"],
    only: "start",
    always: true,
    deno: true,
    module: BUNDLE.href,
    prepare: async () => {
      await bundle(USHER, "serve");
      return denoRun("usher_iterate.ts");
    },
  };
}

/** An example as its users start it: with the configuration, which says where usher is. */
function example(name: string, suffix: string, module: URL, mode = name as Mode): Server {
  const program = new URL(`examples/${name}.ts`, module);
  return {
    name: `usher_${name}${suffix}`,
    modes: [mode],
    always: true,
    deno: true,
    arguments: () => ["--port", "0"],
    ready: /^Listening on tcp:.*:(\d+)$/,
    prepare: async () => {
      if (!await exists(program)) throw new Error(`there is no ${program.pathname}`);
      const permissions = ["--allow-net", "--allow-read"];
      return [Deno.execPath(), "run", ...permissions, "--no-remote", program.href];
    },
  };
}

/** Without a limit on a subscriber's queue: it would drop messages that the load counts on. */
function mosquitto(): Server {
  return {
    name: "mosquitto",
    modes: ["mqtt"],
    always: true,
    arguments: (port) => [String(port)],
    ready: /version .* running/,
    prepare: async () => {
      await present("mosquitto", "-h");
      const settings = "allow_anonymous true\nmax_queued_messages 0\n";
      const file = await writeBuild("mosquitto.conf", settings);
      return ["sh", "-c", `exec mosquitto -c ${file} -p "$0" 2>&1`];
    },
  };
}

/** It prints nothing when it listens, which takes it no time. */
function microsocks(): Server {
  return {
    name: "microsocks",
    modes: ["socks"],
    always: true,
    arguments: (port) => [String(port)],
    ready: /^listens$/,
    prepare: async () => {
      await present("microsocks", "-h");
      const run = 'exec microsocks -i 127.0.0.1 -p "$0" 2>/dev/null';
      return ["sh", "-c", `(sleep 0.3; echo listens) & ${run}`];
    },
  };
}

/** A real one, also without persistence. */
function redis(): Server {
  return {
    name: "redis",
    modes: ["kv"],
    always: true,
    arguments: (port) => [
      ...["--bind", "127.0.0.1", "--port", String(port)],
      ...["--save", "", "--appendonly", "no", "--daemonize", "no"],
    ],
    ready: /Ready to accept connections/,
    prepare: async () => {
      await present("redis-benchmark");
      return [await present("redis-server")];
    },
  };
}

function onDeno(name: string, file: string, modes: readonly Mode[], always: boolean): Server {
  const prepare = () => Promise.resolve(denoRun(file));
  // Node's modules in Deno bypass what is counted.
  return file.endsWith(".mjs")
    ? { name, modes, always, deno: true, prepare }
    : { name, modes, always, deno: true, counts: true, prepare };
}

function peer(
  name: string,
  modes: readonly Mode[],
  prepare: () => Promise<readonly string[]>,
): Server {
  return { name, modes, always: false, prepare };
}

/**
 * All rights, because the library's module is imported by a path known only when it runs. Without the
 * configuration: a server needs nothing of it, and a broken one would stop them all.
 */
function denoRun(file: string): string[] {
  return [Deno.execPath(), "run", "-A", "--no-config", "--no-remote", `servers/${file}`];
}

async function present(program: string, ...question: string[]): Promise<string> {
  if (await has(program, ...question)) return program;
  throw new Error(`${program} is not there`);
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then((info) => info.isFile, () => false);
}
