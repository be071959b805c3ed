/** Which servers are there, and how is each of them started? @module */

import { pathToFileURL } from "node:url";
import { compileC, compileGo, installBun } from "./build.ts";
import type { Case, Mode } from "./cases.ts";
import { Child, has } from "./children.ts";

export interface Server {
  readonly name: string;
  readonly modes: readonly Mode[];
  /** In the short run, too. */
  readonly always: boolean;
  /** usher's module, for the servers that take one. */
  readonly module?: string;
  /** Makes what is to be made; the command. Rejects with the reason when this machine cannot. */
  prepare(): Promise<readonly string[]>;
}

/** A server that this machine can run. */
export interface PreparedServer extends Server {
  readonly command: readonly string[];
}

/** Milliseconds until a server that has not said `ready` counts as stuck. */
const START = 15_000;

const ALL: readonly Mode[] = ["echo", "two_writes", "send", "discard"];

const USHER = new URL("../../mod.ts", import.meta.url);

/** Every server; those of usher a second time with the library of the checkout at `against`. */
export function servers(against: string | undefined): Server[] {
  return [
    onDeno("plain", "plain.ts", ALL, true),
    ...usher("", USHER),
    ...against === undefined ? [] : usher("@before", pathToFileURL(`${against}/mod.ts`)),
    onDeno("plain_timeout", "plain_timeout.ts", ["echo"], true),
    onDeno("node_net_deno", "node_net.mjs", ALL, false),
    peer("node_net", async () => [await present("node"), "servers/node_net.mjs"]),
    peer("bun", async () => [await installBun(), "servers/bun.mjs"]),
    peer("go", async () => [await compileGo("servers/echo.go")]),
    peer("epoll", async () => [await compileC("servers/epoll.c")]),
    onDeno("plain_pipe", "plain_pipe.ts", ["forward"], true),
    onDeno("plain_lines", "plain_lines.ts", ["lines"], true),
  ];
}

/** Starts a server for one case and awaits its port. */
export async function startServer(
  { command, module }: PreparedServer,
  { mode, bytes }: Case,
  core: number | undefined,
): Promise<{ child: Child; port: number }> {
  const child = new Child(
    [...command, mode, String(bytes ?? 0), ...module === undefined ? [] : [module]],
    core,
  );
  try {
    const line = await child.line(START);
    const port = Number(/^ready (\d+)$/.exec(line)?.[1]);
    if (!(port > 0)) throw new Error(`Said '${line}' instead of 'ready PORT'`);
    return { child, port };
  } catch (error) {
    await child[Symbol.asyncDispose]();
    throw error;
  }
}

function usher(suffix: string, module: URL): Server[] {
  const entry = (name: string, modes: readonly Mode[], needs = "serve"): Server => ({
    name: name + suffix,
    modes,
    always: true,
    module: module.href,
    prepare: async () => {
      if (!await exists(module)) throw new Error(`there is no ${module.pathname}`);
      // Another checkout may be from before it.
      const source = await Deno.readTextFile(module);
      if (!source.includes(needs)) throw new Error(`${module.pathname} has no ${needs}()`);
      return denoRun(`${name}.ts`);
    },
  });
  return [
    entry("usher_iterate", ALL),
    entry("usher_read", ALL),
    entry("usher_forward", ["forward"]),
    entry("usher_lines", ["lines"], "framed"),
  ];
}

function onDeno(name: string, file: string, modes: readonly Mode[], always: boolean): Server {
  return { name, modes, always, prepare: () => Promise.resolve(denoRun(file)) };
}

function peer(name: string, prepare: () => Promise<readonly string[]>): Server {
  return { name, modes: ALL, always: false, prepare };
}

/**
 * All rights, because the library's module is imported by a path known only when it runs. Without the
 * configuration: a server needs nothing of it, and a broken one would stop them all.
 */
function denoRun(file: string): string[] {
  return [Deno.execPath(), "run", "-A", "--no-config", "--no-remote", `servers/${file}`];
}

async function present(program: string): Promise<string> {
  if (await has(program)) return program;
  throw new Error(`${program} is not there`);
}

async function exists(url: URL): Promise<boolean> {
  return await Deno.stat(url).then((info) => info.isFile, () => false);
}
