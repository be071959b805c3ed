import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import type { MessagePort } from "node:worker_threads";
import { Board } from "../../lib/fleet/board.ts";
import type { FromWorker, ToWorker } from "../../lib/fleet/messages.ts";
import { fleet } from "../../lib/fleet/mod.ts";
import { Seat } from "../../lib/fleet/seat.ts";
import { SharedAddressSets } from "../../lib/fleet/shared_address_sets.ts";
import { SharedClock } from "../../lib/fleet/shared_clock.ts";
import { SharedStats } from "../../lib/fleet/shared_stats.ts";
import type { SeatedServer } from "../../lib/server/fleet_seat.ts";
import { completeServeOptions } from "../../lib/server/options.ts";
import { netTest, root } from "../support/needs.ts";
import { LOOPBACK } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { turn } from "../support/wait.ts";
import { Asker } from "./asking.ts";
import { programOf } from "./programs.ts";

/** What a server in a fleet cannot have, and the way out that the message names. */
const REFUSED: Record<string, [source: string, message: string]> = {
  "a second serve()": [
    'serve({ port: 0, hostname: "127.0.0.1" }, async () => {}); serve({ port: 0 }, async () => {})',
    "Cannot serve a second time in a worker of a fleet: give all addresses to one serve() as 'listeners', or start another fleet",
  ],
  "a listener that was passed in": [
    "serve({ listeners: [Deno.listen({ port: 0 })] }, async () => {})",
    "Cannot serve with a listener that was passed in in a fleet: give its address instead",
  ],
  "a Unix socket": [
    'serve({ path: "/tmp/usher-fleet.sock" }, async () => {})',
    "Cannot serve with 'path' in a fleet: use a port",
  ],
  "an inherited descriptor": [
    "serve({ fd: 3 }, async () => {})",
    "Cannot serve with 'fd' in a fleet: use a port",
  ],
  "reusePort": [
    "serve({ port: 0, reusePort: true }, async () => {})",
    "Cannot serve with 'reusePort' in a fleet: leave it out",
  ],
};

for (const [name, [source, message]] of Object.entries(REFUSED)) {
  netTest(`serve() in a fleet refuses ${name}, with the way out`, async () => {
    const program = programOf((usher) => `import { serve } from "${usher}"; ${source}`);
    const error = await assertRejects(() => fleet(program, { workers: 2 }), TypeError);
    assert(error.message.includes(message), error.message);
  });
}

netTest("watch() in a worker refuses, and names watch(fleet)", async () => {
  const page = new URL("lib/watch/mod.ts", root).href;
  const program = programOf((usher) =>
    `import { serve } from "${usher}"; import { watch } from "${page}";
     watch(serve({ port: 0, hostname: "127.0.0.1" }, async () => {}), { port: 0 });`
  );
  await assertRejects(
    () => fleet(program, { workers: 1 }),
    TypeError,
    "Cannot watch in a worker of a fleet: use watch(fleet) in the program that starts it",
  );
});

netTest("serve() refuses a fleet of another copy of usher, and names both", async () => {
  const program = programOf((usher) =>
    `import "${usher}"; const seat = Symbol.for("usher.fleet");
     const { serve } = await import("${usher}");
     globalThis[seat].library = "https://example.org/usher/";
     serve({ port: 0 }, async () => {});`
  );
  const error = await assertRejects(() => fleet(program, { workers: 1 }), TypeError);
  assert(error.message.includes("in a fleet of that of https://example.org/usher/"), error.message);
});

netTest(
  "import.meta.main is true in the program of a fleet, and examples/echo.ts serves",
  async () => {
    const program = new URL("./programs/echoing.ts", import.meta.url);
    await using main = new Program(program, {
      how: ["run", "--quiet", "-A"],
      args: ["--port", "0"],
    });
    assertEquals(await main.line(), "hello");
    main.kill("SIGTERM");
    assertEquals((await main.status).code, 0);
  },
);

netTest("shutdownOnSignals() in the workers stops the whole fleet once", async () => {
  const program = new URL("./programs/signalled.ts", import.meta.url);
  await using main = new Program(program);
  const port = Number(await main.line());
  using asker = await Asker.connect({ port });
  assertEquals(await asker.ask("hi"), "hi");
  main.kill("SIGTERM");
  const { completed, forced } = JSON.parse(await main.line());
  assertEquals({ completed, forced }, { completed: 1, forced: 0 });
  assertEquals((await main.status).code, 0);
});

/** A seat whose fleet is the test, with a server that does nothing. */
class Seated {
  readonly seat: Seat;
  readonly sent: FromWorker["type"][] = [];
  #receive!: (message: ToWorker) => void;

  constructor() {
    const memory = {
      board: Board.ofRows(1).buffer,
      clock: SharedClock.allocate(),
      stats: SharedStats.allocate(1),
      addressSets: SharedAddressSets.allocate(2),
      limits: undefined,
    };
    const seating = { worker: "", library: "", row: 0, workers: 1, memory, addresses: undefined };
    const port = {
      on: (_: string, receive: (message: ToWorker) => void) => this.#receive = receive,
      postMessage: ({ type }: FromWorker) => this.sent.push(type),
    };
    this.seat = new Seat(seating, port as unknown as MessagePort);
    const server = { finished: new Promise(() => {}), shutdown() {}, leave() {} };
    this.seat.joined(server as unknown as SeatedServer, completeServeOptions(LOOPBACK));
  }

  stop(sweep: boolean): void {
    this.#receive({ type: "stop", lameDuck: 0, timeout: 0, spread: 0, sweep });
  }

  allClosed(): void {
    this.#receive({ type: "all closed" });
  }
}

Deno.test("closed() waits for the other workers when the fleet stops", async () => {
  using _time = new FakeTime(); // the server is never announced
  const seated = new Seated();
  seated.stop(true);
  let isOver = false;
  const closed = seated.seat.closed()!.then(() => isOver = true);
  assertEquals(seated.sent, ["closed"]);
  await turn();
  assert(!isOver);
  seated.allClosed();
  await closed;
});

Deno.test("closed() does not wait when only this worker stops, by itself or for another one", () => {
  using _time = new FakeTime(); // the server is never announced
  const alone = new Seated();
  assertEquals(alone.seat.closed(), undefined);
  const replaced = new Seated();
  replaced.stop(false);
  assertEquals(replaced.seat.closed(), undefined);
  assertEquals([alone.sent, replaced.sent], [["closed"], ["closed"]]);
});
