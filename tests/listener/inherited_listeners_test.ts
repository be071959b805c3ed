/** Inherited sockets are found as sd_listen_fds(3) says. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { inheritedListeners } from "../../mod.ts";
import { netTest } from "../support/needs.ts";

const VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"];

/** Calls it with these variables and no others. */
function inherited(given: Record<string, string>) {
  for (const [name, value] of Object.entries(given)) Deno.env.set(name, value);
  try {
    return inheritedListeners();
  } finally {
    for (const name of VARIABLES) Deno.env.delete(name);
  }
}

const LISTEN_PID = `${Deno.pid}`;

const ROWS: Record<string, [given: Record<string, string>, found: [fd: number, name: string][]]> = {
  "no variables": [{}, []],
  "one socket": [{ LISTEN_PID, LISTEN_FDS: "1" }, [[3, "unknown"]]],
  "one with a name": [{ LISTEN_PID, LISTEN_FDS: "1", LISTEN_FDNAMES: "web.socket" }, [
    [3, "web.socket"],
  ]],
  "several with names": [{ LISTEN_PID, LISTEN_FDS: "3", LISTEN_FDNAMES: "web:admin:web" }, [
    [3, "web"],
    [4, "admin"],
    [5, "web"],
  ]],
  "an empty name": [{ LISTEN_PID, LISTEN_FDS: "2", LISTEN_FDNAMES: ":b" }, [[3, ""], [4, "b"]]],
  "fewer names than sockets": [{ LISTEN_PID, LISTEN_FDS: "2", LISTEN_FDNAMES: "a" }, [
    [3, "a"],
    [4, "unknown"],
  ]],
  "no socket": [{ LISTEN_PID, LISTEN_FDS: "0" }, []],
  "sockets of the parent": [{ LISTEN_PID: "1", LISTEN_FDS: "1" }, []],
  "sockets of no process": [{ LISTEN_FDS: "1" }, []],
};

for (const [what, [given, found]] of Object.entries(ROWS)) {
  netTest(`inheritedListeners() finds ${found.length} with ${what}`, () => {
    assertEquals(inherited(given), found.map(([fd, name]) => ({ fd, name })));
  });
}

for (const LISTEN_FDS of ["", "-1", "1.5", "x", "99999"]) {
  netTest(`inheritedListeners() refuses LISTEN_FDS of "${LISTEN_FDS}"`, () => {
    assertThrows(
      () => inherited({ LISTEN_PID, LISTEN_FDS }),
      Deno.errors.InvalidData,
      `LISTEN_FDS of "${LISTEN_FDS}"`,
    );
  });
}

Deno.test({
  name: "inheritedListeners() names the flag that it needs",
  permissions: { env: false },
  fn: () => {
    assertThrows(
      inheritedListeners,
      Deno.errors.NotCapable,
      "run again with --allow-env=LISTEN_PID,LISTEN_FDS,LISTEN_FDNAMES",
    );
  },
});
