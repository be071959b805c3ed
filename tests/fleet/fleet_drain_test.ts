import { assert, assertEquals } from "@std/assert";
import { type Fleet, fleet } from "../../lib/fleet/mod.ts";
import { FleetDrain } from "../../lib/fleet/fleet_drain.ts";
import type { Place } from "../../lib/fleet/place.ts";
import type { Thread } from "../../lib/fleet/thread.ts";
import type { Threads } from "../../lib/fleet/threads.ts";
import { netTest } from "../support/needs.ts";
import { turns } from "../support/wait.ts";
import type { Observed } from "../../lib/watch/observed.ts";
import { Asker } from "./asking.ts";
import { SERVED } from "./programs.ts";

netTest(
  "a fleet accepts who has connected when it is stopped, and drops nobody in the queue",
  async () => {
    const running = await fleet(SERVED, { workers: 2 });
    const askers = await Promise.all(Array.from({ length: 50 }, () => Asker.connect(running.addr)));
    const stopped = running.shutdown();
    const answers = await Promise.all(askers.map((asker) => asker.ask("who")));
    assertEquals(answers.filter((answer) => answer === null), []);
    await stopped;
    const { completed, forced, abandoned } = running.report!;
    assertEquals([completed, forced, abandoned], [50, 0, 0]);
    for (const asker of askers) asker[Symbol.dispose]();
  },
);

netTest("a later shutdown() of a fleet shortens the first", async () => {
  const running = await fleet(SERVED, { workers: 2 });
  using asker = await Asker.connect(running.addr);
  await asker.ask("who");
  const stopped = running.shutdown({ lameDuck: 60_000, timeout: 60_000 });
  running.shutdown({ timeout: 0 });
  await stopped;
  assertEquals(running.report?.forced, 1);
});

/**
 * Stops a fleet of two while one worker computes for `ms`, with eight clients in the
 * queue.
 *
 * @returns The earliest and the latest answer to a client that was held, in ms since the computing began.
 */
async function stopBeside(ms: number): Promise<{ first: number; last: number }> {
  const running = await fleet(SERVED, { workers: 2, onError: () => {} });
  using askers = new DisposableStack();
  const busy = askers.use(await Asker.connect(running.addr));
  await busy.ask("who");
  running.pause();
  // Answered by each worker behind the pause.
  await (running as Fleet & Observed).listConnections!(new URLSearchParams());
  const since = Date.now();
  const computed = busy.ask(`compute ${ms}`);
  const held: Asker[] = [];
  while (held.length < 8) held.push(askers.use(await Asker.connect(running.addr)));
  const stopped = running.shutdown();
  const answers = await Promise.all(held.map((asker) => asker.ask("held")));
  await computed;
  for (const asker of [busy, ...held]) asker[Symbol.dispose]();
  await stopped;
  // Not what an accept that was pending at the pause has taken.
  const times = answers.map((answer) => /^held (\d+)$/.exec(answer!)).filter((match) =>
    match !== null
  )
    .map((match) => Number(match[1]) - since);
  assert(times.length >= 6, `${answers}`);
  return { first: Math.min(...times), last: Math.max(...times) };
}

netTest("a fleet that stops answers no client that is held while a worker listens", async () => {
  const { first } = await stopBeside(200);
  assert(first >= 200, `${first} ms`);
});

netTest("a fleet that stops answers clients that are held though a worker hangs", async () => {
  const { last } = await stopBeside(2000);
  assert(last < 2000, `${last} ms`);
});

/** A thread that only says what a test has it say. */
class SilentThread implements Pick<Thread, "closed" | "ended" | "stopped"> {
  readonly #closed = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<{ exitCode: number; error: undefined }>();
  readonly closed = this.#closed.promise;
  readonly ended = this.#ended.promise;
  readonly stopped = new Promise<never>(() => {});
  readonly isListening = true;
  readonly hung = false;
  readonly lost = 0;
  readonly sent: string[] = [];

  close(): void {
    this.#closed.resolve();
  }

  end(): void {
    this.#ended.resolve({ exitCode: 1, error: undefined });
  }

  terminate(): void {
    this.end();
  }

  send({ type }: { readonly type: string }): void {
    this.sent.push(type);
  }
}

Deno.test("a fleet says that no thread listens when each has closed its listeners or ended", async () => {
  const [one, crashed, other] = [new SilentThread(), new SilentThread(), new SilentThread()];
  const all = new Set([one, crashed, other]);
  let isOpen = true;
  const threads = {
    get all() {
      return [...all];
    },
    closeDoor: () => isOpen = false,
  };
  const place = {
    threads: all,
    close() {},
    drain: ({ ended }: SilentThread) => ended.then(() => undefined),
  };
  const drain = new FleetDrain(
    [place as unknown as Place],
    threads as unknown as Threads,
    new AbortController(),
  );
  drain.within(Infinity, Infinity, 0);
  one.close();
  other.close();
  await turns();
  assertEquals([one.sent, isOpen], [[], true]);
  crashed.end();
  all.delete(crashed);
  await turns();
  assertEquals([one.sent, crashed.sent, other.sent], [["all closed"], [], ["all closed"]]);
  assertEquals(isOpen, false);
  for (const thread of all) thread.end();
  await drain.report;
});
