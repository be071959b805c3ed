/**
 * Every client in the kernel's queue is taken before the listeners close. A sweep runs in real
 * time, as the kernel does; it ends by itself after a quarter of a second.
 *
 * @module
 */

import { assert, assertEquals, assertFalse, assertGreaterOrEqual, assertLess } from "@std/assert";
import { Acceptor } from "../../lib/listener/accept.ts";
import { Sweep } from "../../lib/server/sweep.ts";
import { turn, turns } from "../support/wait.ts";
import { scriptedListener } from "../../lib/testing/scripted_listener.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";

/** Ms: two quiet rounds, and sixteen; a storm's time; the time of any sweep. */
const QUIET = 10, QUIET_BESIDE_OTHERS = 80;
const STORM_AFTER = 100, STORM_AFTER_BESIDE_OTHERS = 200, LONGEST = 250;

/** A listener, the loop that accepts from it, and what that has accepted. */
class Listening {
  readonly listener = scriptedListener([]);
  readonly acceptor = new Acceptor(this.listener, { aborted() {}, resources() {} });
  accepted = 0;
  /** When `close()` came, since the beginning. */
  readonly over: Promise<void>;

  constructor() {
    this.over = this.#loop();
  }

  async #loop(): Promise<void> {
    while (await this.acceptor.next() !== null) {
      this.accepted++;
      // As in a storm, where other work runs between two accepts.
      await turn();
    }
  }
}

/** A sweep of some listeners that has begun. */
class Sweeping {
  readonly sweep: Sweep;
  readonly done: Promise<void>;
  isDone = false;
  readonly #since = performance.now();

  constructor(listeners: readonly Listening[], besideOthers = false) {
    const statistics = {
      get accepted() {
        return listeners.reduce((sum, listening) => sum + listening.accepted, 0);
      },
    };
    const acceptors = listeners.map(({ acceptor }) => acceptor);
    this.sweep = new Sweep(acceptors, statistics, besideOthers);
    this.done = this.sweep.run().then(() => void (this.isDone = true));
  }

  /** Ms since it began. */
  get ms(): number {
    return performance.now() - this.#since;
  }
}

/** From now on a connection is always there. */
function flood({ listener }: Listening): void {
  listener.otherwise = () => new ScriptedSocket();
  listener.play(new ScriptedSocket());
}

Deno.test("run() closes the listener when nothing comes for a while, and not before", async () => {
  const listening = new Listening();
  const sweeping = new Sweeping([listening]);
  await sweeping.done;
  assertGreaterOrEqual(sweeping.ms, QUIET - 1); // a timer may be early by a part of a ms
  assert(listening.listener.closed);
  await listening.over;
});

Deno.test("run() waits for longer where other processes serve clients that come again", async () => {
  const listening = new Listening();
  const sweeping = new Sweeping([listening], true);
  await sweeping.done;
  assertGreaterOrEqual(sweeping.ms, QUIET_BESIDE_OTHERS - 1);
  await listening.over;
});

Deno.test("run() closes at no moment beside others at which other sockets bring work", async () => {
  const listening = new Listening();
  const sweeping = new Sweeping([listening], true);
  while (!sweeping.isDone) {
    for (const since = performance.now(); performance.now() - since < 1;);
    await turn();
  }
  assertGreaterOrEqual(sweeping.ms, STORM_AFTER_BESIDE_OTHERS - 1);
  await listening.over;
});

Deno.test("run() accepts what comes, and closes only when that has ended", async () => {
  const listening = new Listening();
  const sweeping = new Sweeping([listening]);
  let given = 0;
  for (const since = performance.now(); performance.now() - since < STORM_AFTER / 2; given++) {
    listening.listener.play(new ScriptedSocket());
    await turn();
    assertFalse(listening.listener.closed);
  }
  await sweeping.done;
  assertEquals(listening.accepted, given);
  await listening.over;
});

Deno.test("run() closes at the first accept that has to wait when a storm goes on", async () => {
  let shortest = Infinity;
  // Once is enough; a machine that stalls makes it look as if the time were up.
  for (let i = 0; i < 3 && shortest > LONGEST; i++) {
    const listening = new Listening();
    const sweeping = new Sweeping([listening]);
    while (!listening.listener.closed) {
      // There is always a connection soon, but accept has to wait each time.
      if (listening.listener.waiting) listening.listener.play(new ScriptedSocket());
      await turn();
    }
    shortest = Math.min(shortest, sweeping.ms);
    assertGreaterOrEqual(shortest, STORM_AFTER - 1);
    await sweeping.done;
    await listening.over;
  }
  assertLess(shortest, LONGEST);
});

Deno.test("run() closes after a quarter of a second in any case", async () => {
  const listening = new Listening();
  flood(listening);
  const sweeping = new Sweeping([listening]);
  await sweeping.done;
  assertGreaterOrEqual(sweeping.ms, LONGEST - 1);
  assert(listening.listener.closed);
  await listening.over;
});

Deno.test("run() waits for the listener that has a queue, if one of two has none", async () => {
  const [one, two] = [new Listening(), new Listening()];
  const sweeping = new Sweeping([one, two]);
  for (const since = performance.now(); performance.now() - since < STORM_AFTER / 2;) {
    two.listener.play(new ScriptedSocket());
    await turn();
    assertFalse(one.listener.closed || two.listener.closed);
  }
  await sweeping.done;
  assert(one.listener.closed && two.listener.closed);
  await Promise.all([one.over, two.over]);
});

Deno.test("run() closes at once where accepting is starved, and sweeps the others", async () => {
  const [starved, other] = [new Listening(), new Listening()];
  starved.listener.otherwise = () => "EMFILE";
  while (!starved.acceptor.backingOff) {
    starved.listener.play("EMFILE");
    await turn();
  }
  const sweeping = new Sweeping([starved, other]);
  assertEquals([starved.listener.closed, other.listener.closed], [true, false]);
  other.listener.play(new ScriptedSocket());
  await sweeping.done;
  assertEquals([other.listener.closed, other.accepted], [true, 1]);
  await Promise.all([starved.over, other.over]);
});

Deno.test("run() has nothing to wait for when the listener was closed from outside", async () => {
  const listening = new Listening();
  listening.listener.close();
  await listening.over;
  const sweeping = new Sweeping([listening]);
  await turn();
  assert(sweeping.isDone);
});

Deno.test("cut() closes at once, before a sweep, in it, and after it", async () => {
  for (const wait of [0, 1, 3]) {
    const listening = new Listening();
    const sweeping = new Sweeping([listening]);
    await turns(wait);
    sweeping.sweep.cut();
    assert(listening.listener.closed);
    await sweeping.done;
    sweeping.sweep.cut();
    await listening.over;
  }
  const listening = new Listening();
  const sweep = new Sweep([listening.acceptor], listening, false);
  sweep.cut();
  await sweep.run();
  await listening.over;
});
