/** A server survives a shortage of descriptors, and Deno's own panics. @module */

import { assert, assertEquals, assertMatch } from "@std/assert";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { Clients, dial, readExactly, writeAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";

/** `ulimit -n` of the servers, and how many clients come at once. */
const DESCRIPTORS = 64;
const FLOOD = 200;

/** Ms since the start of a process within which Deno has not set up its SIGUSR1 handler yet. */
const EARLY = 400;

/** How often a flood is repeated that was not early enough, because the machine is busy. */
const ATTEMPTS = 10;

const STARVED_SERVER = new URL("./programs/starved_server.ts", import.meta.url);

/** The output of starved_server.ts. */
interface Starvation {
  /** How often accepting failed. */
  starved: number;
  /** Ms since the start of the process: when it first failed, and now. */
  since: number;
  now: number;
}

/** A server that is being flooded. */
class Flooded implements AsyncDisposable {
  readonly program: Program;
  readonly addr: Deno.NetAddr;
  readonly clients: Clients;

  constructor(program: Program, addr: Deno.NetAddr, clients: Clients) {
    this.program = program;
    this.addr = addr;
    this.clients = clients;
  }

  async ask(): Promise<Starvation> {
    return JSON.parse(await this.program.ask("how are you?"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.clients[Symbol.dispose]();
    await this.program[Symbol.asyncDispose]();
  }
}

/** Starts a server with few descriptors and floods it with clients, at once or later. */
async function flood(args: string[], when: "at once" | "late" = "at once"): Promise<Flooded> {
  const program = new Program(STARVED_SERVER, { args, descriptors: DESCRIPTORS });
  const port = Number(await program.line());
  const addr: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port };
  if (when === "late") assertEquals(await program.ask("grow up"), "grown up");
  // First in the queue, and so the first to be accepted.
  const first = await dial(addr);
  // The server may end before all have connected.
  const others = await Promise.allSettled(Array.from({ length: FLOOD - 1 }, () => dial(addr)));
  const came = others.flatMap((other) => other.status === "fulfilled" ? [other.value] : []);
  return new Flooded(program, addr, new Clients([first, ...came]));
}

/** Floods a server so that no descriptor is free when Deno sets up its SIGUSR1 handler. */
async function floodEarly(args: string[]): Promise<Flooded> {
  for (let i = 1;; i++) {
    const flooded = await flood(args);
    // On a machine on which nothing is early, what is asserted has to hold all the same.
    if ((await flooded.ask()).since < EARLY || i === ATTEMPTS) return flooded;
    await flooded[Symbol.asyncDispose]();
  }
}

/** Ends the flood and fails unless the server then serves as before. */
async function assertRecovers({ program, addr, clients }: Flooded): Promise<void> {
  clients[Symbol.dispose]();
  for (let i = 0; i < 3; i++) {
    using client = await dial(addr);
    await writeAll(client, bytes`still here?`);
    assertEquals(text(await readExactly(client, 11)), "still here?");
  }
  await program.tell("stop");
  assertEquals((await program.status).code, 0);
}

/** Fails unless the process ended by one of Deno's panics. */
async function assertPanics({ program }: Flooded): Promise<void> {
  const complaints = (await program.complaints()).join("\n");
  assertMatch(complaints, /^Deno has panicked\. This is a bug in Deno\./m);
  assertEquals((await program.status).success, false);
}

const FLOODS = { early: floodEarly, late: (args: string[]) => flood(args, "late") };

for (const [when, floodThen] of Object.entries(FLOODS)) {
  netTest(`a server that is flooded ${when} reports it, waits, and serves again`, async () => {
    await using flooded = await floodThen(["guarded", "default"]);
    const { program, addr } = flooded;
    const line = `usher: Error: Cannot accept on tcp://127.0.0.1:${addr.port}: Too many open ` +
      "files (os error 24); trying again until it works (for more descriptors raise " +
      "'ulimit -n' or lower 'maxConnections')";
    for (let i = 0; i < 3; i++) assertEquals(await program.complaint(), line);
    const { since, now } = await flooded.ask();
    assert(now - since > 1500, `said it three times in ${now - since} ms`);
    await assertTriesRarely(flooded);
    await assertRecovers(flooded);
    assertEquals(new Set([line, ...await program.complaints()]).size, 1);
  }, { os: ["linux"], programs: ["sh"] });

  netTest(`a server that is flooded ${when} outlives an onError that logs stacks`, async () => {
    await using flooded = await floodThen(["guarded", "stack"]);
    const { program } = flooded;
    for (let reports = 0; reports < 2;) {
      const line = await program.complaint();
      assert(line !== null, "the program ended");
      if (line.startsWith("Error: Cannot accept on ")) reports++;
    }
    await assertTriesRarely(flooded);
    await assertRecovers(flooded);
  }, { os: ["linux"], programs: ["sh"] });
}

// Flooded later it may live: whether Deno has the source maps in memory by then is up to its caches.
netTest("the same loop, unguarded and flooded at once, panics at a stack", async () => {
  await using flooded = await flood(["unguarded", "stack"]);
  await assertPanics(flooded);
}, { os: ["linux"], programs: ["sh"] });

netTest("the same loop, unguarded and flooded early, panics without any stack", async () => {
  for (let i = 0; i < ATTEMPTS; i++) {
    await using flooded = await flood(["unguarded", "default"]);
    const early = await flooded.ask().then(({ since }) => since < EARLY, () => true);
    if (early) return await assertPanics(flooded);
  }
  // On a machine on which nothing is early, this cannot be shown.
}, { os: ["linux"], programs: ["sh"] });

netTest("a handler's error is reported although no descriptor is free to look it up", async () => {
  await using flooded = await flood(["guarded", "default"], "late");
  const { program, clients } = flooded;
  assert(await program.complaint() !== null); // starved
  await writeAll(clients.all[0]!, bytes`!`); // was accepted first, and is being served
  for (let line: string | null = ""; !line.includes("from elsewhere");) {
    line = await program.complaint();
    assert(line !== null, "the program ended");
    if (line.startsWith("usher: connection")) {
      assertMatch(line, /^usher: connection \d+ from tcp:\S+: Error: from elsewhere \(at failIf /);
    }
  }
  await assertRecovers(flooded);
}, { os: ["linux"], programs: ["sh"] });

/** Fails if accepting was tried more often than a wait that doubles up to a second allows. */
async function assertTriesRarely(flooded: Flooded): Promise<void> {
  const { starved, since, now } = await flooded.ask();
  // 5, 10, 20 ... 640 ms are eight waits. The runtime gives a descriptor or two back meanwhile,
  // after which they begin anew; a loop without waits tries tens of thousands of times.
  const most = 40 + Math.ceil((now - since) / 1000);
  assert(starved <= most, `${starved} tries in ${now - since} ms`);
}
