/** Tests that the options of a page are completed, or refused with a reason. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { completeWatchOptions, type WatchOptions } from "../../lib/watch/watch_options.ts";

const TOKEN = "0123456789abcdef";

Deno.test("completeWatchOptions() keeps the page on loopback by default", () => {
  assertEquals(completeWatchOptions({ port: 0 }), {
    port: 0,
    hostname: "127.0.0.1",
    hosts: ["127.0.0.1"],
    token: undefined,
    metrics: undefined,
    onError: undefined,
  });
});

Deno.test("completeWatchOptions() keeps what was given", () => {
  const options = {
    port: 9090,
    hostname: "Status.local",
    hosts: ["A.example"],
    token: TOKEN,
    metrics: () => "",
    onError: () => {},
  };
  assertEquals(completeWatchOptions(options), {
    ...options,
    hosts: ["status.local", "a.example"],
  });
});

const PORT = "'port' of";
const HOSTS = 'an array of host names without a port, such as ["status.local"]';

/** What is wrong, the class of the error, and a part of its message. */
const WRONG: [options: unknown, kind: typeof TypeError | typeof RangeError, message: string][] = [
  [undefined, TypeError, "Cannot watch with undefined as options: use an object"],
  [{}, TypeError, `${PORT} undefined: use a whole number from 0 to 65535`],
  [{ port: "80" }, TypeError, `${PORT} "80": use a whole number from 0 to 65535`],
  [{ port: 65536 }, RangeError, `${PORT} 65536: use a whole number from 0 to 65535`],
  [{ port: 0, host: "::" }, TypeError, "an unknown option 'host': known here are port, hostname"],
  [{ port: 0, hostname: "" }, TypeError, "Cannot watch with 'hostname' of \"\": use an IP address"],
  [{ port: 0, hosts: "a" }, TypeError, `Cannot watch with 'hosts' of "a": use ${HOSTS}`],
  [{ port: 0, hosts: ["a:80"] }, TypeError, `Cannot watch with 'hosts' of an array: use ${HOSTS}`],
  [{ port: 0, hosts: [7] }, TypeError, `Cannot watch with 'hosts' of an array: use ${HOSTS}`],
  [{ port: 0, token: 7 }, TypeError, "Cannot watch with 'token' of 7: use a text of 16 characters"],
  [{ port: 0, token: "" }, RangeError, "'token' of 0 characters: use 16 or more"],
  [{ port: 0, token: "short" }, RangeError, "'token' of 5 characters: use 16 or more"],
  [{ port: 0, token: "schlüssel der tür" }, TypeError, "other characters than visible ASCII"],
  [{ port: 0, metrics: "x" }, TypeError, "Cannot watch with 'metrics' of \"x\": use a function"],
  [{ port: 0, onError: 7 }, TypeError, "Cannot watch with 'onError' of 7: use a function"],
];

for (const [options, kind, message] of WRONG) {
  Deno.test(`completeWatchOptions() refuses ${Deno.inspect(options, { compact: true })}`, () => {
    const error = assertThrows(() => completeWatchOptions(options as WatchOptions), kind, message);
    assertEquals(error.constructor, kind);
  });
}

Deno.test("completeWatchOptions() does not repeat a token in its message", () => {
  const error = assertThrows(() => completeWatchOptions({ port: 0, token: "secret" }), RangeError);
  assertEquals(error.message.includes("secret"), false);
});
