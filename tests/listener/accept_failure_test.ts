/** Each failure of accept() is sorted into one word, whatever system it comes from. @module */

import { assertEquals } from "@std/assert";
import { type AcceptFailure, AcceptFailures } from "../../lib/listener/accept_failure.ts";
import { systemError as scripted } from "../../lib/testing/system_error.ts";

const { BadResource, Busy, NotConnected, ConnectionAborted, ConnectionReset } = Deno.errors;

/** An error as Deno makes it from the kernel's. */
function systemError(message: string, code?: string): Error {
  return code === undefined ? new Error(message) : Object.assign(new Error(message), { code });
}

/** The class of a first failure. */
const sorted = (error: unknown, os?: string) => new AcceptFailures(os).sort(error);

/** Failures in a row that may be unknown before the listener looks broken. */
const MOST_UNKNOWN = 4096;

/** macOS's error for a client that has reset, as Deno passes it on. */
const DARWIN: Record<string, () => Error> = {
  "EINVAL": () =>
    Object.assign(new TypeError("Invalid argument (os error 22)"), { code: "EINVAL" }),
  "a TypeError without a code": () => new TypeError("invalid argument"),
};

const ABORTED = [
  "ENOTCONN",
  "ECONNABORTED",
  "ECONNRESET",
  "ETIMEDOUT",
  "EPERM",
  "EHOSTUNREACH",
  "ENETUNREACH",
];

for (const code of ABORTED) {
  Deno.test(`sort() gives aborted for ${code}, however often it comes`, () => {
    const failures = new AcceptFailures();
    for (let i = 0; i < 10_000; i++) assertEquals(failures.sort(systemError("", code)), "aborted");
  });
}

for (const errno of ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"] as const) {
  Deno.test(`sort() gives resources for ${errno}, and no number of them breaks the listener`, () => {
    const failures = new AcceptFailures("linux");
    for (let i = 0; i < 10_000; i++) {
      assertEquals(failures.sort(scripted(errno)), "resources");
      failures.waited(1000);
    }
    assertEquals(failures.isBroken, false);
  });
}

/** Error numbers that Deno 2.9 passes on without a `code`. */
const WITHOUT_CODE: Record<string, Record<number, AcceptFailure>> = {
  linux: {
    23: "resources",
    64: "aborted",
    71: "aborted",
    92: "aborted",
    95: "aborted",
    100: "aborted",
    112: "aborted",
  },
  darwin: { 23: "resources", 42: "aborted", 50: "aborted", 55: "resources", 100: "aborted" },
  windows: {
    8: "resources",
    10024: "resources",
    10050: "aborted",
    10053: "aborted",
    10054: "aborted",
    10055: "resources",
  },
};

for (const [os, words] of Object.entries(WITHOUT_CODE)) {
  Deno.test(`sort() knows the numbers of ${os} where an error has no code`, () => {
    const found = Object.keys(words).map((number) => [
      number,
      sorted(systemError(`what it means (os error ${number})`), os),
    ]);
    assertEquals(Object.fromEntries(found), words);
  });
}

Deno.test("sort() knows Deno's classes where a custom listener throws them without a code", () => {
  for (const ErrorClass of [NotConnected, ConnectionAborted, ConnectionReset]) {
    const failures = new AcceptFailures();
    for (let i = 0; i <= MOST_UNKNOWN; i++) {
      assertEquals(failures.sort(new ErrorClass("gone (os error 999)")), "aborted");
    }
  }
});

const UNKNOWN: Record<string, () => unknown> = {
  ...DARWIN,
  "an error with an unknown number": () => systemError("Something new (os error 999)"),
  "Busy": () => new Busy("Another accept task is ongoing"),
  "null": () => null,
  "a number": () => 7,
};

for (const [name, error] of Object.entries(UNKNOWN)) {
  Deno.test(`sort() gives aborted for ${name} 4,096 times in a row, and then resources`, () => {
    const failures = new AcceptFailures();
    for (let i = 0; i < MOST_UNKNOWN; i++) assertEquals(failures.sort(error()), "aborted");
    assertEquals(failures.sort(error()), "resources");
  });
}

/** As many unknown failures as a broken listener gives. */
function breakDown(failures: AcceptFailures): void {
  while (failures.sort(new TypeError("invalid argument")) === "aborted");
}

Deno.test("sort() counts unknown failures anew after works() and after a wait", () => {
  const failures = new AcceptFailures();
  const counted = () => {
    for (let i = 1;; i++) if (failures.sort(new Error("new")) === "resources") return i;
  };
  assertEquals(counted(), MOST_UNKNOWN + 1);
  failures.works();
  assertEquals(counted(), MOST_UNKNOWN + 1);
  failures.waited(5);
  assertEquals(counted(), MOST_UNKNOWN + 1);
});

Deno.test("isBroken once 30 s were spent waiting through nothing but unknown failures", () => {
  const failures = new AcceptFailures();
  for (let s = 0; s < 30; s++) {
    assertEquals(failures.isBroken, false);
    breakDown(failures);
    failures.waited(1000);
  }
  assertEquals(failures.isBroken, true);
});

const SIGNS_OF_LIFE: Record<string, (failures: AcceptFailures) => void> = {
  "a socket": (failures) => failures.works(),
  "a shortage": (failures) => void failures.sort(scripted("EMFILE")),
  "an accept that was pending": (failures) => failures.pended(),
};

for (const [name, show] of Object.entries(SIGNS_OF_LIFE)) {
  Deno.test(`isBroken counts the 30 s anew after ${name}`, () => {
    const failures = new AcceptFailures();
    for (let s = 0; s < 120; s++) {
      if (s % 29 === 0) show(failures);
      breakDown(failures);
      failures.waited(1000);
      assertEquals(failures.isBroken, false);
    }
  });
}

Deno.test("sort() gives closed for a second BadResource at once, and aborted for the first", () => {
  const failures = new AcceptFailures();
  const error = new BadResource("Listener has been closed");
  assertEquals([failures.sort(error), failures.sort(error)], ["aborted", "closed"]);
});
