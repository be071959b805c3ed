/** A socket's options are set before they make a difference. @module */

import { assertEquals } from "@std/assert";
import { setSocketOptions } from "../../lib/listener/bind.ts";
import { netTest } from "../support/needs.ts";
import { dial, socketPair, unixPair } from "../support/peers.ts";
import { Program } from "../support/program.ts";
import { ScriptedSocket } from "../support/scripted_socket.ts";
import { Switchboard } from "../support/switchboard.ts";

for (
  const [noDelay, keepAlive, set] of [
    [true, true, ["noDelay true", "keepAlive true"]],
    [true, false, ["noDelay true"]],
    [false, true, ["keepAlive true"]],
    [false, false, []],
  ] as const
) {
  const options = { noDelay, keepAlive };
  Deno.test(`setSocketOptions() sets the given options: ${JSON.stringify(options)}`, () => {
    const socket = new Switchboard();
    setSocketOptions(socket, options);
    assertEquals(socket.set, [...set]);
  });
}

Deno.test("setSocketOptions() skips a socket that has no such options", () => {
  setSocketOptions(new ScriptedSocket(), { noDelay: true, keepAlive: true });
});

netTest("setSocketOptions() does not throw for a socket that is already closed", async () => {
  const [socket, client] = await socketPair();
  socket.close();
  client.close();
  setSocketOptions(socket, { noDelay: true, keepAlive: true });
});

netTest("setSocketOptions() skips a Unix socket", async () => {
  const [socket, client] = await unixPair();
  using _socket = socket;
  using _client = client;
  setSocketOptions(socket, { noDelay: true, keepAlive: true });
}, { os: ["linux", "darwin"] });

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
