/** Holds one worker thread of a fleet as the main thread sees it. @module */

import { Worker } from "node:worker_threads";
import type { ShutdownReport } from "../server/drain.ts";
import type { SignalStop } from "../server/fleet_seat.ts";
import type { ServerStats } from "../server/statistics.ts";
import type { FromWorker, Listening, Question, Seating, ToWorker } from "./messages.ts";
import { unpackError } from "./sent_error.ts";

/**
 * MB of heap for young objects, the same as `--max-semi-space-size=1`: resident memory under echoes of 16 KiB
 * is half. Echoes of 64 KiB take 1.25 of the CPU.
 */
const YOUNG_GENERATION = 3;

/** How a thread ended. */
export interface ThreadEnd {
  readonly exitCode: number;
  /** What ended it, if something was thrown. */
  readonly error: Error | undefined;
}

/** What a worker's server has left. */
export interface Stopped {
  readonly report: ShutdownReport | undefined;
  readonly error: Error | undefined;
}

/** What starts a thread. */
export interface ThreadOptions {
  readonly program: URL;
  readonly seating: Seating;
  /** Bytes. */
  readonly maxHeap: number;
  /** Ms. */
  readonly startTimeout: number;
  /** The program in it wants the fleet to stop on signals, or no longer. */
  readonly onSignals: (stop: SignalStop | undefined) => void;
}

/** A worker thread, its messages and its end. */
export class Thread {
  readonly row: number;
  /** Resolves when its server listens; rejects with the cause if it does not. */
  readonly listening: Promise<Listening>;
  /** Resolves when it does not listen any more; never if the thread ends first. */
  readonly closed: Promise<void>;
  /** Resolves when its server has stopped, before the thread ends; never if the thread ends first. */
  readonly stopped: Promise<Stopped>;
  /** Resolves when the thread has ended, and its memory may be another's. */
  readonly ended: Promise<ThreadEnd>;
  /** Its server listens, or has done so. */
  isListening = false;
  /** It is a worker of the fleet, or has been one. */
  isAdmitted = false;
  /** It was asked to end. */
  isStopping = false;
  /** It does not respond any more. */
  hung = false;
  /** How many connections ended with it, once it has ended. */
  lost = 0;
  /** What it last said of whom it has dismissed: texts have no place in shared memory. */
  dismissed: ServerStats["dismissed"] = {};
  readonly #worker: Worker;
  readonly #options: ThreadOptions;
  readonly #listening = Promise.withResolvers<Listening>();
  readonly #closed = Promise.withResolvers<void>();
  readonly #stopped = Promise.withResolvers<Stopped>();
  readonly #ended = Promise.withResolvers<ThreadEnd>();
  readonly #asked = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  #lastId = 0;
  #error: Error | undefined;

  constructor(options: ThreadOptions) {
    const { program, seating, maxHeap, startTimeout } = options;
    this.#options = options;
    this.row = seating.row;
    this.listening = this.#listening.promise;
    this.closed = this.#closed.promise;
    this.stopped = this.#stopped.promise;
    this.ended = this.#ended.promise;
    this.listening.catch(() => {}); // nothing waits for that of a thread that is ended while it starts
    const isLocal = program.protocol === "file:" || program.protocol === "data:";
    this.#worker = new Worker(isLocal ? program : bootstrapOf(program), {
      workerData: { usherFleet: seating },
      resourceLimits: {
        maxOldGenerationSizeMb: Math.ceil(maxHeap / 2 ** 20),
        maxYoungGenerationSizeMb: YOUNG_GENERATION,
      },
    });
    this.#worker.on("message", (message: FromWorker) => this.#receive(message));
    this.#worker.on("error", (error: Error) => this.#error = error);
    this.#worker.on("exit", (exitCode: number) => this.#exited(exitCode));
    if (startTimeout < 2 ** 31) {
      this.#timer = setTimeout(() => {
        this.#listening.reject(
          new Deno.errors.TimedOut(
            `it did not call serve() within 'startTimeout', ${startTimeout} ms`,
          ),
        );
      }, startTimeout);
    }
  }

  send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  /** What the worker answers. Rejects with what it throws, or if it ends before. */
  ask(question: Question): Promise<unknown> {
    const asked = Promise.withResolvers<unknown>();
    const id = ++this.#lastId;
    this.send({ type: "ask", id, question }); // throws what cannot be cloned
    this.#asked.set(id, asked);
    return asked.promise;
  }

  ref(): void {
    this.#worker.ref();
  }

  unref(): void {
    this.#worker.unref();
  }

  /** Ends the thread, except for one that is busy: Deno says that it has ended, and its core stays busy. */
  terminate(): void {
    this.#worker.terminate();
  }

  #receive(message: FromWorker): void {
    switch (message.type) {
      case "listening":
        clearTimeout(this.#timer);
        this.isListening = true;
        return this.#listening.resolve(message);
      case "failed":
        clearTimeout(this.#timer);
        return this.#listening.reject(unpackError(message.error));
      case "fatal":
        this.#error = unpackError(message.error);
        return;
      case "dismissed":
        this.dismissed = message.dismissed;
        return;
      case "signals":
        return this.#options.onSignals(message.stop);
      case "signals disposed":
        return this.#options.onSignals(undefined);
      case "closed":
        return this.#closed.resolve();
      case "answer":
        this.#asked.get(message.id)?.resolve(message.answer);
        this.#asked.delete(message.id);
        return;
      case "refusal":
        this.#asked.get(message.id)?.reject(unpackError(message.error));
        this.#asked.delete(message.id);
        return;
      case "stopped": {
        const error = message.error && unpackError(message.error);
        return this.#stopped.resolve({ report: message.report, error });
      }
    }
  }

  #exited(exitCode: number): void {
    clearTimeout(this.#timer);
    const error = this.#error;
    const ended = `the worker ended with exit code ${exitCode}`;
    this.#listening.reject(
      error ?? new Deno.errors.Interrupted(
        `${ended} before it called serve(), which a program of a fleet has to do`,
      ),
    );
    for (const { reject } of this.#asked.values()) reject(new Deno.errors.Interrupted(ended));
    this.#asked.clear();
    this.#ended.resolve({ exitCode, error });
  }
}

/** A thread begins with a file or with data; a module from elsewhere is imported by a few bytes of that. */
function bootstrapOf(program: URL): URL {
  const code = `await import(${JSON.stringify(program.href)})`;
  return new URL(`data:text/javascript,${encodeURIComponent(code)}`);
}
