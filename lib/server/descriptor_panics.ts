/** How does a server survive the moment without a free descriptor? @module */

let disarmed = false;

/**
 * Deno 2.9 ends the whole process in two places when no descriptor is free: when its own SIGUSR1
 * handler is set up, half a second after the start, and when an error's stack is formatted that leads
 * through a TypeScript file for the first time. Either opens something the first time only, so both
 * are done here once, while there is room. A signal that nobody acts on is listened for and let go
 * again: the library touches no other.
 */
export function disarmDescriptorPanics(): void {
  if (disarmed) return;
  disarmed = true;
  useCompiler();
  // There is no such handler on Windows, and no limit that is reached as easily.
  if (Deno.build.os === "windows") return;
  const nothing = () => {};
  Deno.addSignalListener("SIGWINCH", nothing);
  Deno.removeSignalListener("SIGWINCH", nothing);
}

/**
 * To map a stack, Deno reads the compiled form of each file from its cache; when it cannot, it
 * compiles the file again, and the compiler panics if it has not measured this thread's stack before,
 * for which it opens a file. It measures at the first `if`. Formatting some stack early is not enough:
 * that maps the files it leads through and no other. The price is 9 ms and 4 MB, once.
 */
function useCompiler(): void {
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
