import { assert, assertEquals } from "@std/assert";
import { type Fleet, fleet } from "../../lib/fleet/mod.ts";
import { FleetDrain } from "../../lib/fleet/fleet_drain.ts";
import type { Place } from "../../lib/fleet/place.ts";
import type { Thread } from "../../lib/fleet/thread.ts";
import type { Threads } from "../../lib/fleet/threads.ts";
import { netTest } from "../support/needs.ts";
import { turns } from "../support/wait.ts";
import type { Observed } from "../../lib/watch/observed.ts";
import { Asker, Hang } from "./asking.ts";
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

/** A fleet of two that is paused, and a client that one of its workers has served before. */
async function paused() {
  const running = await fleet(SERVED, { workers: 2, onError: () => {} });
  const asker = await Asker.connect(running.addr);
  await asker.ask("who");
  running.pause();
  // Answered by each worker behind the pause.
  await (running as Fleet & Observed).listConnections!(new URLSearchParams());
  return {
    running,
    asker,
    async [Symbol.asyncDispose]() {
      asker[Symbol.dispose]();
      await running.shutdown();
    },
  };
}

/**
 * Begins to stop a fleet with eight clients in its queue.
 *
 * @returns When each of them was answered, in ms since 1970, except for those that an accept has taken
 * which was pending at the pause: one in each worker.
 */
async function stop(running: Fleet): Promise<number[]> {
  using stack = new DisposableStack();
  const askers: Asker[] = [];
  while (askers.length < 8) askers.push(stack.use(await Asker.connect(running.addr)));
  running.shutdown({ timeout: 60_000 });
  const answers = await Promise.all(askers.map((asker) => asker.ask("held")));
  const held = answers.flatMap((answer) => /^held (\d+)$/.exec(answer!)?.[1] ?? []).map(Number);
  assert(held.length >= 6, `${answers}`);
  return held;
}

netTest("a fleet that stops answers no client that is held while a worker listens", async () => {
  await using scene = await paused();
  const until = Date.now() + 200;
  assertEquals(await scene.asker.ask(`compute ${until}`), "computes");
  const answered = await stop(scene.running);
  assert(Math.min(...answered) >= until, `${answered} of ${until}`);
});

netTest("a fleet that stops answers clients that are held though a worker hangs", async () => {
  await using scene = await paused();
  using _hang = await Hang.begin(scene.asker);
  await stop(scene.running);
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
