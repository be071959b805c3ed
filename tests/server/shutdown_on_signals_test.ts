import { assertEquals, assertThrows } from "@std/assert";
import { serve, type Server, shutdownOnSignals, type ShutdownOnSignalsOptions } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, readExactly } from "../support/peers.ts";
import { turn } from "../support/wait.ts";
import { Program } from "../support/program.ts";

const PROGRAM = new URL("./programs/signalled.ts", import.meta.url);
const ECHO = new URL("../../examples/echo.ts", import.meta.url);

/** Windows cannot send signals: there a process that is sent one is ended. */
const NEEDS = { os: ["linux" as const, "darwin" as const] };

/** No more permissions than a server on a port needs anyway. */
const HOW = ["run", "--quiet", "--no-config", "--allow-net"];

/** A program, and a client of each of its servers. */
class Signalled implements AsyncDisposable {
  readonly #program: Program;
  readonly clients: Deno.TcpConn[] = [];

  private constructor(program: Program) {
    this.#program = program;
  }

  /** Starts a case of `programs/signalled.ts`, and connects to each server that it announces. */
  static async start(name: string): Promise<Signalled> {
    const signalled = new Signalled(new Program(PROGRAM, { how: HOW, args: [name] }));
    const [, ...ports] = (await signalled.line()).trim().split(" ");
    for (const port of ports) {
      const addr = { transport: "tcp", hostname: "127.0.0.1", port: Number(port) } as const;
      signalled.clients.push(await dial(addr));
      assertEquals(await signalled.line(), "here");
    }
    return signalled;
  }

  line(): Promise<string> {
    return this.#program.line();
  }

  send(signal: Deno.Signal): void {
    this.#program.kill(signal);
  }

  /** How it ended; fails if it wrote to stderr. */
  async ended(): Promise<number | Deno.Signal | null> {
    const { code, signal } = await this.#program.status;
    assertEquals(await this.#program.complaints(), []);
    return signal ?? code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.clients) client[Symbol.dispose]();
    await this.#program[Symbol.asyncDispose]();
  }
}

/** Sends something and reads the echo: from then on the client is not silent. */
async function speak(client: Deno.Conn): Promise<void> {
  await client.write(bytes`hello`);
  assertEquals(text(await readExactly(client, 5)), "hello");
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  netTest(
    `examples/echo.ts: ${signal} with an idle client that has spoken ends it with 0`,
    async () => {
      await using program = new Program(ECHO, {
        how: ["run", "--allow-net"],
        args: ["--port", "0"],
      });
      const [, port] = /:(\d+)$/.exec(await program.line()) ?? [];
      using client = await dial({ transport: "tcp", hostname: "127.0.0.1", port: Number(port) });
      await speak(client);
      program.kill(signal);
      assertEquals(await client.read(new Uint8Array(1)), null);
      assertEquals(await program.status, { success: true, code: 0, signal: null });
      assertEquals([...await program.lines(), ...await program.complaints()], []);
    },
    NEEDS,
  );
}

netTest("examples/echo.ts: SIGTERM twice ends it with 1", async () => {
  await using program = new Program(ECHO, { how: ["run", "--allow-net"], args: ["--port", "0"] });
  const [, port] = /:(\d+)$/.exec(await program.line()) ?? [];
  const addr = { transport: "tcp", hostname: "127.0.0.1", port: Number(port) } as const;
  // A client that is still silent is waited for: for 5 s, which a second signal cuts short.
  using _client = await dial(addr);
  program.kill("SIGTERM");
  await untilRefused(addr);
  program.kill("SIGTERM");
  assertEquals((await program.status).code, 1);
}, NEEDS);

/** Connects until connections are refused. */
async function untilRefused(addr: Deno.NetAddr): Promise<void> {
  for (;;) {
    try {
      (await dial(addr)).close();
    } catch {
      return;
    }
    await turn();
  }
}

netTest("usher touches no signals by itself", async () => {
  await using signalled = await Signalled.start("untouched");
  signalled.send("SIGTERM");
  assertEquals(await signalled.ended(), "SIGTERM");
}, NEEDS);

netTest("shutdownOnSignals() drains, and needs no permission", async () => {
  await using signalled = await Signalled.start("echo");
  await speak(signalled.clients[0]!);
  signalled.send("SIGTERM");
  assertEquals(await signalled.clients[0]!.read(new Uint8Array(1)), null);
  assertEquals(await signalled.ended(), 0);
}, NEEDS);

netTest("shutdownOnSignals() forces at a second signal, of whatever kind: code 1", async () => {
  await using signalled = await Signalled.start("stuck");
  signalled.send("SIGTERM");
  assertEquals(await signalled.line(), "draining");
  signalled.send("SIGINT");
  assertEquals(await signalled.ended(), 1);
}, NEEDS);

netTest("shutdownOnSignals() ends with 1 when a connection had to be forced", async () => {
  await using signalled = await Signalled.start("out of time");
  signalled.send("SIGTERM");
  assertEquals(await signalled.line(), "draining");
  assertEquals(await signalled.ended(), 1);
}, NEEDS);

netTest("shutdownOnSignals() leaves a lame duck time, which a second signal ends", async () => {
  await using signalled = await Signalled.start("lame duck");
  signalled.send("SIGTERM");
  assertEquals(await signalled.line(), "draining true");
  await speak(signalled.clients[0]!);
  signalled.send("SIGTERM");
  assertEquals(await signalled.line(), "draining false");
  assertEquals(await signalled.ended(), 1);
}, NEEDS);

netTest(
  "shutdownOnSignals() listens to the signals that it is given, and to no others",
  async () => {
    for (const [signal, end] of [["SIGUSR2", 0], ["SIGTERM", "SIGTERM"]] as const) {
      await using signalled = await Signalled.start("another signal");
      await speak(signalled.clients[0]!);
      signalled.send(signal);
      assertEquals(await signalled.ended(), end);
    }
  },
  NEEDS,
);

netTest("shutdownOnSignals() ends what lingers, after code that awaits `finished`", async () => {
  await using signalled = await Signalled.start("lingering");
  await speak(signalled.clients[0]!);
  signalled.send("SIGTERM");
  assertEquals(await signalled.line(), "report 1");
  assertEquals(await signalled.ended(), 0);
}, NEEDS);

netTest(
  "shutdownOnSignals() with exit: false sets the code and lets the rest be done",
  async () => {
    await using signalled = await Signalled.start("exit: false");
    signalled.send("SIGTERM");
    assertEquals(await signalled.line(), "draining");
    assertEquals(await signalled.line(), "put away, 1");
    assertEquals(await signalled.ended(), 1);
  },
  NEEDS,
);

for (const when of ["before", "at the end"]) {
  netTest(`shutdownOnSignals() keeps an exit code that the program has set ${when}`, async () => {
    await using signalled = await Signalled.start(`own code, set ${when}`);
    if (when === "at the end") await speak(signalled.clients[0]!);
    signalled.send("SIGTERM");
    assertEquals(await signalled.ended(), 7);
  }, NEEDS);
}

netTest("shutdownOnSignals() for two servers ends the process with the last of them", async () => {
  await using signalled = await Signalled.start("two servers");
  const [one, two] = signalled.clients as [Deno.TcpConn, Deno.TcpConn];
  signalled.send("SIGTERM");
  assertEquals([await signalled.line(), await signalled.line()], ["draining", "draining"]);
  await one.write(bytes`bye\n`);
  assertEquals(await signalled.line(), "one");
  // The process is still there for the other one.
  await two.write(bytes`bye\n`);
  assertEquals(text(await readAll(two)), "");
  assertEquals(await signalled.line(), "two");
  assertEquals(await signalled.ended(), 0);
}, NEEDS);

netTest("shutdownOnSignals() for two servers ends with 1 if one of them was forced", async () => {
  await using signalled = await Signalled.start("two servers");
  const one = signalled.clients[0]!;
  signalled.send("SIGTERM");
  assertEquals([await signalled.line(), await signalled.line()], ["draining", "draining"]);
  await one.write(bytes`bye\n`);
  assertEquals(await signalled.line(), "one");
  signalled.send("SIGTERM");
  assertEquals(await signalled.line(), "two");
  assertEquals(await signalled.ended(), 1);
}, NEEDS);

netTest(
  "shutdownOnSignals() with a signal for each of two servers stops one at a time",
  async () => {
    await using signalled = await Signalled.start("two servers, one signal each");
    const [one, two] = signalled.clients as [Deno.TcpConn, Deno.TcpConn];
    await speak(one);
    signalled.send("SIGTERM");
    assertEquals(await signalled.line(), "one");
    await speak(two);
    signalled.send("SIGINT");
    assertEquals(await signalled.line(), "two");
    assertEquals(await signalled.ended(), 0);
  },
  NEEDS,
);

netTest(
  "shutdownOnSignals() ends the process that one of two servers leaves by itself",
  async () => {
    await using signalled = await Signalled.start("two servers, one by itself");
    for (const client of signalled.clients) await speak(client);
    signalled.send("SIGTERM");
    assertEquals(await signalled.ended(), 0);
  },
  NEEDS,
);

netTest("shutdownOnSignals() lets a server live on when another one gives up: code 1", async () => {
  await using signalled = await Signalled.start("two servers, one gives up");
  await speak(signalled.clients[0]!);
  signalled.send("SIGTERM");
  assertEquals(await signalled.ended(), 1);
}, NEEDS);

netTest(
  "shutdownOnSignals() leaves the process alone when the server stops by itself",
  async () => {
    await using signalled = await Signalled.start("by itself");
    // And there is no signal listener any more.
    signalled.send("SIGTERM");
    assertEquals(await signalled.ended(), "SIGTERM");
  },
  NEEDS,
);

netTest("shutdownOnSignals() shortens a stop that has begun, and ends the process", async () => {
  await using signalled = await Signalled.start("a signal after shutdown()");
  assertEquals(await signalled.line(), "draining");
  signalled.send("SIGTERM");
  assertEquals(await signalled.ended(), 1);
}, NEEDS);

netTest("shutdownOnSignals() ends the process with 1 when the server gives up", async () => {
  await using signalled = await Signalled.start("gives up");
  assertEquals(await signalled.ended(), 1);
}, NEEDS);

netTest("shutdownOnSignals() is undone by disposing of its result", async () => {
  await using signalled = await Signalled.start("untied");
  signalled.send("SIGTERM");
  assertEquals(await signalled.ended(), "SIGTERM");
}, NEEDS);

netTest("shutdownOnSignals() undone while the server stops leaves the process alone", async () => {
  await using signalled = await Signalled.start("untied while stopping");
  signalled.send("SIGTERM");
  assertEquals(await signalled.line(), "draining");
  await signalled.clients[0]!.write(bytes`bye\n`);
  assertEquals(await signalled.line(), "stopped");
  signalled.send("SIGINT");
  assertEquals(await signalled.ended(), "SIGINT");
}, NEEDS);

netTest("shutdownOnSignals() undone for the last server leaves the process alone", async () => {
  await using signalled = await Signalled.start("untied from one that has stopped");
  signalled.send("SIGTERM");
  assertEquals([await signalled.line(), await signalled.line()], ["draining", "draining"]);
  for (const client of signalled.clients) await client.write(bytes`bye\n`);
  assertEquals(await signalled.line(), "goes on");
  signalled.send("SIGTERM");
  assertEquals(await signalled.ended(), "SIGTERM");
}, NEEDS);

netTest("shutdownOnSignals() that throws listens to nothing", async () => {
  await using signalled = await Signalled.start("refused");
  signalled.send("SIGTERM");
  assertEquals(await signalled.ended(), "SIGTERM");
}, NEEDS);

const WRONG: [options: unknown, error: ErrorConstructor, message: string][] = [
  [null, TypeError, "with null as options: use an object"],
  [{ lameduck: 5 }, TypeError, "with an unknown option 'lameduck': known here are "],
  [{ signals: "SIGTERM" }, TypeError, `'signals' of "SIGTERM": use an array such as ["SIGTERM"]`],
  [{ signals: [] }, TypeError, "'signals' of an empty array: use an array"],
  [{ signals: ["SIGTERM", "SIGFOO"] }, TypeError, `'signals[1]' of "SIGFOO": use a signal that`],
  [{ signals: ["SIGKILL"] }, TypeError, `'signals[0]' of "SIGKILL": use a signal that`],
  [{ signals: [15] }, TypeError, "'signals[0]' of 15: use a signal that"],
  [{ lameDuck: "5" }, TypeError, `'lameDuck' of "5": use milliseconds from 0 up, or Infinity`],
  [{ timeout: -1 }, RangeError, "'timeout' of -1: use milliseconds from 0 up, or Infinity"],
  [{ exit: 0 }, TypeError, "'exit' of 0: use true or false"],
];

netTest("shutdownOnSignals() says what is wrong", async () => {
  await using server = serve(LOOPBACK, async () => {});
  for (const [options, error, message] of WRONG) {
    const call = () => shutdownOnSignals(server, options as ShutdownOnSignalsOptions);
    assertThrows(call, error, message);
    assertThrows(call, error, "Cannot shut down on signals ");
  }
  for (const other of [undefined, {}, Deno.serve, server.finished]) {
    assertThrows(
      () => shutdownOnSignals(other as unknown as Server),
      TypeError,
      "Cannot shut down on signals what is no server: use what serve() returns",
    );
  }
});
