/** Finds the program of a fleet, and says which permission it lacks. @module */

import { bad } from "../check.ts";

/**
 * The address of the program's module.
 *
 * @throws {TypeError} If it is none.
 * @throws {Deno.errors.NotCapable} If its worker could not read it.
 */
export function locateProgram(program: unknown): URL {
  const url = addressOf(program);
  if (url.protocol !== "file:") return url;
  // A worker would fail to load, with a message that does not say what to do.
  if (Deno.permissions.querySync({ name: "read", path: url }).state !== "granted") {
    throw new Deno.errors.NotCapable(
      `Cannot start a fleet of ${url.href}: its workers need to read it and what it imports from ` +
        "files; run again with --allow-read, or --allow-read=FOLDER for where they are",
    );
  }
  return url;
}

function addressOf(program: unknown): URL {
  if (program instanceof URL) return program;
  const wanted = 'the URL or path of a module, such as new URL("./server.ts", import.meta.url)';
  if (typeof program !== "string" || program === "") {
    throw new TypeError(bad("start a fleet", "program", program, wanted));
  }
  if (/^[a-z][a-z\d+.-]+:/i.test(program)) return new URL(program);
  return new URL(program, `file://${Deno.cwd()}/`);
}
