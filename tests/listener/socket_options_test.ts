/** A socket's options are set before they make a difference. @module */

import { assertEquals } from "@std/assert";
import { netTest } from "../support/needs.ts";
import { dial } from "../support/peers.ts";
import { Program } from "../support/program.ts";

for (const on of [true, false]) {
  netTest(
    `listen() and serve() ${
      on ? "set" : "do not touch"
    } TCP_NODELAY and SO_KEEPALIVE as their options say`,
    async () => {
      await using program = new Program(
        new URL("./programs/setting.ts", import.meta.url),
        {
          under: ["strace", "-fqq", "-etrace=setsockopt"],
          args: [JSON.stringify({ noDelay: on, keepAlive: on })],
        },
      );
      for (let i = 0; i < 2; i++) {
        using _client = await dial(JSON.parse(await program.line()));
        assertEquals(await program.line(), "served");
      }
      const calls = (await program.complaints()).join("\n");
      // One socket from listen() and one from serve(); Deno itself sets neither.
      assertEquals(calls.match(/TCP_NODELAY, \[1\]/g)?.length ?? 0, on ? 2 : 0);
      assertEquals(calls.match(/SO_KEEPALIVE, \[1\]/g)?.length ?? 0, on ? 2 : 0);
    },
    { os: ["linux"], programs: ["strace"] },
  );
}
