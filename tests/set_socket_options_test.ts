/** A socket gets the options that it is given, if it can. @module */

import { assertEquals } from "@std/assert";
import { setSocketOptions } from "../lib/set_socket_options.ts";
import { netTest } from "./support/needs.ts";
import { socketPair, unixPair } from "./support/peers.ts";
import { ScriptedSocket } from "./support/scripted_socket.ts";
import { Switchboard } from "./support/switchboard.ts";

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
