/** Runs a job on several real threads at once, and collects what each of them found. @module */

import { Worker } from "node:worker_threads";
import { type Found, GATE, type Job } from "./contender.ts";

/** What the main thread of a fleet does. */
interface Undertaker {
  begin(row: number): void;
  bury(row: number): void;
  tend(): void;
}

/** Ms between two ticks of the main thread. Where nothing dies it has nothing to do, and ends waits that are late. */
const TICK = { death: 5, none: 2000 };

/** What each thread found, in the order of their rows. Rejects if one of them fails. */
export async function contend(threads: number, job: Job, undertaker: Undertaker): Promise<Found[]> {
  // All begin at the same moment: a thread takes a tenth of a second to start.
  const gate = new SharedArrayBuffer(4 * (GATE + threads));
  for (let row = 0; row < threads; row++) undertaker.begin(row);
  const tick = setInterval(
    () => undertaker.tend(),
    job.deathEvery === undefined ? TICK.none : TICK.death,
  );
  const ends = Array.from(
    { length: threads },
    (_, row) =>
      run({ ...job, row, threads, gate }, () => {
        undertaker.bury(row);
        undertaker.begin(row);
        Atomics.store(new Int32Array(gate), GATE + row, 0);
        Atomics.notify(new Int32Array(gate), GATE + row);
      }),
  );
  try {
    return await Promise.all(ends);
  } finally {
    clearInterval(tick);
    undertaker.tend();
  }
}

/** Resolves with what the thread found; `died` is called whenever it has died. */
function run(workerData: unknown, died: () => void): Promise<Found> {
  const worker = new Worker(new URL("./contender.ts", import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    let found: Found | undefined;
    worker.on("message", (message: Found | "died") => {
      if (message === "died") died();
      else found = message;
    });
    worker.on("error", reject);
    worker.on("exit", () => found === undefined ? reject(new Error("no answer")) : resolve(found));
  });
}
