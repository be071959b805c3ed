/**
 * A listener with a pending accept keeps its process alive, or does not. Prints "ready", and "alive"
 * if the process is still there a while after the step that the arguments name. With `fd` the listener
 * is inherited, with `idle` no accept is pending.
 *
 * @module
 */

import { HardenedListener } from "../../../lib/listener/hardened_listener.ts";
import { listen } from "../../../mod.ts";
import { LOOPBACK } from "../../support/peers.ts";
import { scriptedListener } from "../../../lib/testing/scripted_listener.ts";

/** Ms after which a process that had nothing left to do would long have ended. */
const A_WHILE = 300;

const starved = scriptedListener([]);
starved.otherwise = () => new Error("Too many open files (os error 24)");
const listener: Deno.Listener = Deno.args.includes("starved")
  ? new HardenedListener({ listener: starved, noDelay: false, keepAlive: false })
  : listen(Deno.args.includes("fd") ? { fd: 3 } : LOOPBACK);

// The client that has started the process with its socket.
if (Deno.args.includes("fd")) (await listener.accept()).close();
if (!Deno.args.includes("idle")) listener.accept().catch(() => {});
for (const step of Deno.args) {
  if (step === "unref") listener.unref();
  if (step === "ref") listener.ref();
}

const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
say("ready");
// Does not itself keep the process alive: it comes only if something else does.
const timer = setInterval(() => {
  say("alive");
  Deno.exit(0);
}, A_WHILE);
Deno.unrefTimer(timer as unknown as number);
