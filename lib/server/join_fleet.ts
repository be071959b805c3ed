/** Takes this thread's seat in a fleet before the program can call `serve()`. @module */

// In a worker of a fleet the program itself is the main module, so that `import.meta.main` holds in it
// as it does alone. Its fleet has had no word before this, and `serve()` is synchronous and cannot wait.
// Elsewhere this is one look at a property.
if ("DedicatedWorkerGlobalScope" in globalThis) await takeSeat();

async function takeSeat(): Promise<void> {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: "node:worker_threads"): { workerData: unknown } };
  };
  const { workerData } = process.getBuiltinModule("node:worker_threads");
  const { usherFleet } = (workerData ?? {}) as { usherFleet?: { readonly worker: string } };
  if (usherFleet === undefined) return;
  // `deno publish` warns of an import of which it cannot see how it begins; behind a slash anything goes.
  // The URL is complete, so there is nothing in it that it would have to rewrite.
  const source = encodeURIComponent(`await import(${JSON.stringify(usherFleet.worker)})`);
  await import(`data:text/javascript,/**/${source}`);
}
