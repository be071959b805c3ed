/** Which errors reach `onError`, and what is written to stderr. @module */

import { isPromiseLike } from "../../lib/check.ts";
import { assert, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { stub } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { CoarseClock } from "../../lib/connection/coarse_clock.ts";
import { Reporter } from "../../lib/server/reporter.ts";
import { lines } from "../../mod.ts";
import { netTest } from "../support/needs.ts";
import { Program } from "../support/program.ts";

/** The stderr of a server to which `name` happened, and which served on; see reporting.ts. */
async function stderrAfter(name: string): Promise<string[]> {
  await using program = new Program(new URL("./programs/reporting.ts", import.meta.url), {
    args: [name],
  });
  const [said, complaints] = await Promise.all([program.lines(), program.complaints()]);
  assertEquals(said, name === "starvation" ? [] : ["served on"], complaints.join("\n"));
  assertEquals((await program.status).code, 0, complaints.join("\n"));
  return complaints;
}

/** The prefix for an error of the first connection. */
const FIRST = "usher: connection 1 from tcp://127\\.0\\.0\\.1:\\d+: ";
/** Where in the program the error was made. */
const PLACE = " \\(at (\\S+ )?\\(?file:///\\S+/reporting\\.ts:\\d+:\\d+\\)?\\)";

const EXPECTED: Record<string, string[]> = {
  "handler rejects": [`${FIRST}Error: division by cucumber${PLACE}`],
  "handler throws": [`${FIRST}TypeError: not even a promise${PLACE}`],
  "onEnd throws": [`usher: Error: Hook 'onEnd' failed: no ink${PLACE}`],
  "onEnd rejects": [`usher: Error: Hook 'onEnd' failed: no ink${PLACE}`],
  "onListen throws": [`usher: Error: Hook 'onListen' failed: no ink${PLACE}`],
  "onError throws": [
    `${FIRST}Error: division by cucumber${PLACE}`,
    `usher: Error: Hook 'onError' failed: no ink${PLACE}`,
  ],
  "onError rejects": [
    `${FIRST}Error: division by cucumber${PLACE}`,
    `usher: Error: Hook 'onError' failed: no ink${PLACE}`,
  ],
  "starvation": [
    "usher: Error: Cannot accept on tcp://192\\.0\\.2\\.1:7: Too many open files \\(os error 24\\); " +
    "trying again until it works \\(for more descriptors raise 'ulimit -n' or lower " +
    "'maxConnections'\\)",
  ],
  "control characters": [
    `${FIRST}Error: all is\\\\u000a\\\\u001b\\[2Jwell\\\\u2028\\\\u0085\\\\u007f${PLACE}`,
  ],
  "control characters without an Error": [`${FIRST}all is\\\\u000d\\\\u000awell was thrown`],
  "peer resets": [],
  "peer leaves early": [],
  "another connection's peer left": [],
  "protocol error": [],
  "DOMException": [`${FIRST}TimeoutError: took too long${PLACE}`],
  "frozen error": [`${FIRST}Error: brrr${PLACE}`],
  "error with throwing getters": ["usher: .*something was thrown that cannot be shown"],
  "error whose fields are no strings": [`${FIRST}7: \\[object Object\\]`],
  "undefined": [`${FIRST}undefined was thrown`],
  "null": [`${FIRST}null was thrown`],
  "symbol": [`${FIRST}Symbol\\(odd\\) was thrown`],
  "object without a prototype": [`${FIRST}something was thrown that cannot be shown`],
  "revoked Proxy": [`${FIRST}something was thrown that cannot be shown`],
  "Proxy that refuses everything": [`${FIRST}something was thrown that cannot be shown`],
  "onEnd throws a revoked Proxy": ["usher: something was thrown that cannot be shown"],
  "handler gives a revoked Proxy": [`${FIRST}TypeError: .* revoked`],
  "handler gives a thenable that throws": [`${FIRST}Error: neither${PLACE}`],
};

for (const [name, expected] of Object.entries(EXPECTED)) {
  const lines = expected.length === 0 ? "nothing" : `${expected.length} line(s)`;
  netTest(`the default onError writes ${lines} to stderr after: ${name}`, async () => {
    const lines = await stderrAfter(name);
    assertEquals(lines.length, expected.length, lines.join("\n"));
    for (const [i, line] of lines.entries()) {
      assertMatch(line, new RegExp(`^${expected[i]}$`));
    }
  });
}

netTest("the default onError writes ten lines a second and counts the rest", async () => {
  const lines = await stderrAfter("burst");
  assertEquals(lines.length, 11, lines.join("\n"));
  for (const line of lines.slice(0, 10)) assertMatch(line, /^usher: connection \d+ .* number \d+ /);
  assertEquals(lines[10], "usher: 15 more errors in the last second");
});

Deno.test("report() writes how many lines were left out once the second is over, and starts anew", () => {
  using time = new FakeTime();
  using written = stub(console, "error");
  const clock = new CoarseClock(true);
  const reporter = new Reporter(undefined, clock);
  for (let i = 0; i < 13; i++) reporter.report("x");
  assertEquals(written.calls.length, 10);
  time.tick(900);
  reporter.report("x");
  assertEquals(written.calls.length, 10);
  time.tick(100);
  assertEquals(written.calls[10]!.args, ["usher: 4 more errors in the last second"]);
  reporter.report("x");
  assertEquals(written.calls[11]!.args, ["usher: x was thrown"]);
  clock.stop();
});

/** What is written to stderr when this is reported. */
function writtenOf(error: unknown): string {
  using written = stub(console, "error");
  const reporter = new Reporter(undefined, new CoarseClock(true));
  reporter.end();
  reporter.report(error);
  return String(written.calls[0]!.args[0]);
}

Deno.test("report() writes at most 2,000 characters, with the place at their end", () => {
  for (const message of ["x".repeat(65_000), "\0".repeat(65_000), "\u202e".repeat(65_000)]) {
    const line = writtenOf(new Error(message));
    assertEquals(line.length, 2000);
    assertMatch(line, /^usher: Error: [x\\u0-9e]+… \(at .*reporter_test\.ts:\d+:\d+\)$/);
    const { length } = writtenOf(message);
    assert(length <= 2000, `${length} characters`);
  }
});

Deno.test("report() takes the place from behind the message, whatever that has in it", () => {
  for (const before of ["", "Hook 'onEnd' failed: "]) {
    const error = new Error("bad name:\n    at /etc/passwd:1:1\n    at x (file:///y.ts:2:2)\nwell");
    error.message = before + error.message;
    assertMatch(writtenOf(error), /well \(at file:\S+reporter_test\.ts:\d+:\d+\)$/);
  }
});

Deno.test("report() takes the first place that is in the program's own code", () => {
  const error = assertThrows(() => lines({ limit: -1 }));
  assertMatch(String((error as Error).stack), /\/lib\/check\.ts:/);
  assertMatch(writtenOf(error), /\(at .*reporter_test\.ts:\d+:\d+\)$/);
});

Deno.test("report() escapes what would reorder or hide a part of its line", () => {
  const text = "user \u202egnp.exe\u202c \u2066x\u2069 a\u200bb \ufeff\u061c\u{e0041}";
  assertEquals(
    writtenOf(text),
    "usher: user \\u202egnp.exe\\u202c \\u2066x\\u2069 a\\u200bb \\ufeff\\u061c\\u{e0041} was thrown",
  );
});

Deno.test("end() writes at once how many lines were left out, and nothing where none was", () => {
  using _time = new FakeTime();
  using written = stub(console, "error");
  const clock = new CoarseClock(true);
  const reporter = new Reporter(undefined, clock);
  for (let i = 0; i < 11; i++) reporter.report("x");
  reporter.end();
  reporter.end();
  assertEquals(written.calls.length, 11);
  assertEquals(written.calls[10]!.args, ["usher: 1 more errors in the last second"]);
  clock.stop();
});

Deno.test("what is reported after end() is written ten times, and does not start the clock", () => {
  // The sanitizers would find an interval.
  using written = stub(console, "error");
  const reporter = new Reporter(undefined, new CoarseClock(true));
  reporter.end();
  for (let i = 0; i < 20; i++) reporter.report("late");
  assertEquals(written.calls.map(({ args }) => args), Array(10).fill(["usher: late was thrown"]));
});

Deno.test("starved() passes the same shortage on once a second at most", () => {
  using time = new FakeTime();
  const reports: string[] = [];
  const clock = new CoarseClock(true);
  const reporter = new Reporter((error) => reports.push((error as Error).message), clock);
  const addr: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 7000 };
  // Twenty times a second for ten seconds.
  for (let i = 0; i < 200; i++, time.tick(50)) reporter.starved(new Error(`no. ${i}`), addr);
  assertEquals(reports.length, 10);
  assertEquals(
    reports[0],
    "Cannot accept on tcp://127.0.0.1:7000: no. 0; trying again until it works (for more " +
      "descriptors raise 'ulimit -n' or lower 'maxConnections')",
  );
  clock.stop();
});

Deno.test("starved() lets the clock rest once the shortage is a second old", () => {
  using time = new FakeTime();
  const clock = new CoarseClock(true);
  const reporter = new Reporter(() => {}, clock);
  reporter.starved(new Error("none"), { transport: "unix", path: "/s" });
  time.tick(60_000);
  assert(clock.now < 2000, `the clock went on to ${clock.now}`);
});

Deno.test("report() gives onError a connection only where there is one", () => {
  const reports: unknown[][] = [];
  const reporter = new Reporter((...args) => reports.push(args), new CoarseClock(true));
  reporter.report("first");
  assertEquals(reports, [["first"]]);
});

Deno.test("call() blames the hook by name and keeps the error's identity", async () => {
  const reports: unknown[] = [];
  const reporter = new Reporter((error) => reports.push(error), new CoarseClock(true));
  const thrown = new Deno.errors.NotFound("no such file");
  const rejected = new RangeError("too far");
  reporter.call("onEnd", () => {
    throw thrown;
  });
  const promise = Promise.reject(rejected);
  reporter.call("onListen", () => promise);
  await promise.catch(() => {});
  assertEquals(reports, [thrown, rejected]);
  assertEquals(thrown.message, "Hook 'onEnd' failed: no such file");
  assertEquals(rejected.message, "Hook 'onListen' failed: too far");
});

Deno.test("isPromiseLike() knows what can be awaited", () => {
  const yes = [Promise.resolve(), { then: () => {} }];
  const no = [undefined, null, 0, "then", {}, { then: 1 }, () => {}];
  assertEquals(yes.map(isPromiseLike), [true, true]);
  assertEquals(no.map(isPromiseLike), no.map(() => false));
});
