/** Disarms two places where Deno ends the process when no descriptor is free. @module */

// Deno 2.9 ends the whole process in two places when no descriptor is free. Either opens something
// the first time only, so that is done here once, while there is room.

let signalsReady = false;
let compilerReady = false;

/**
 * Deno sets up its own SIGUSR1 handler half a second after the start, and with it the whole of its
 * signals. So a harmless signal gets a listener, which is removed again: the library touches
 * no other.
 */
export function disarmSignalPanic(): void {
  // There is no such handler on Windows, and no limit that is reached as easily.
  if (signalsReady || Deno.build.os === "windows") return;
  signalsReady = true;
  const nothing = () => {};
  Deno.addSignalListener("SIGWINCH", nothing);
  Deno.removeSignalListener("SIGWINCH", nothing);
}

/**
 * Formatting an error's stack that leads through a TypeScript file for the first time: to map it, Deno
 * reads the compiled form of each file from its cache; when it cannot, it compiles the file again, and
 * the compiler panics if it has not measured this thread's stack before, for which it opens a file. It
 * measures at the first `if`. Formatting some stack early is not enough: that maps the files it leads
 * through and no other.
 *
 * The price is 20 ms and 4 MB, once, so a server pays it when its first connections have come and not
 * while it starts: with fewer than those no shortage is near.
 */
export function disarmCompilerPanic(): void {
  if (compilerReady) return;
  compilerReady = true;
  const { process } = globalThis as unknown as {
    process: {
      getBuiltinModule(name: "node:module"): { stripTypeScriptTypes(code: string): void };
    };
  };
  try {
    process.getBuiltinModule("node:module").stripTypeScriptTypes("if(0);");
  } catch {
    // Another Deno, which may have neither the function nor the panic.
  }
}
