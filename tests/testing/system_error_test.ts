/** The errors equal those that Deno throws. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { type AcceptErrno, systemError } from "../../lib/testing/system_error.ts";
import { look } from "../support/caught.ts";

/** The messages of Deno 2.9; that sockets give them, too, is tested beside `pair()`. */
const KINDS: Record<AcceptErrno, [kind: string, code: string | undefined]> = {
  EMFILE: ["Error", "EMFILE"],
  ENFILE: ["Error", undefined],
  ENOBUFS: ["Error", "ENOBUFS"],
  ENOMEM: ["Error", "ENOMEM"],
  ENOTCONN: ["NotConnected", "ENOTCONN"],
  ECONNABORTED: ["ConnectionAborted", "ECONNABORTED"],
  ECONNRESET: ["ConnectionReset", "ECONNRESET"],
};

for (const [name, [kind, code]] of Object.entries(KINDS)) {
  Deno.test(`systemError() makes ${name} with Deno's class and code`, () => {
    const caught = look(systemError(name as AcceptErrno));
    assertEquals([caught.kind, caught.code], [kind, code]);
  });
}

Deno.test("systemError() makes a new error each time, since messages may be extended", () => {
  const error = systemError("EMFILE");
  error.message = "extended";
  assertEquals(systemError("EMFILE").message, "Too many open files (os error 24)");
});

Deno.test("systemError() refuses unknown names, those of object members included", () => {
  for (const name of ["EFOO", "toString"]) {
    assertThrows(
      () => systemError(name as AcceptErrno),
      TypeError,
      `Cannot fail with '${name}': use one of EMFILE`,
    );
  }
});
