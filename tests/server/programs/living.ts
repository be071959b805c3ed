/**
 * A server keeps its process alive, or does not. Says "alive" if the process is still there a
 * while after the server was brought into the state that the arguments name.
 *
 * @module
 */

import { serve } from "../../../mod.ts";
import { dial } from "../../support/peers.ts";
import { until } from "../../support/wait.ts";
import { scriptedListener } from "../../../lib/testing/scripted_listener.ts";

/** Ms after which a process that had nothing left to do would long have ended. */
const A_WHILE = 300;

const args = new Set(Deno.args);
const scripted = scriptedListener([]);
if (args.has("starved")) {
  scripted.otherwise = () => "EMFILE";
}
const fake = args.has("starved") || args.has("gaveUp");

const server = serve({
  listeners: fake ? [scripted] : [{ port: 0, hostname: "127.0.0.1" }],
  onError: () => {},
  ...(args.has("slow") && { maxRate: { rate: 1, per: 3_600_000 } }),
}, () => new Promise(() => {}));

let clients = 0;
const connect = async () => {
  await dial(server.addr as Deno.NetAddr);
  clients++;
  await until(() => server.connections.size === clients);
};

// In the order in which they were asked for. Nothing here reads, so no client keeps the process.
for (const step of Deno.args) {
  if (step === "pause") server.pause();
  if (step === "ref") server.ref();
  if (step === "unref") server.unref();
  if (step === "client") await connect();
  if (step === "single") server.maxConnections = 1;
  if (step === "starved") await until(() => server.waitingFor === "resources");
}

const say = (line: string) => Deno.stdout.writeSync(new TextEncoder().encode(`${line}\n`));
say("ready");

if (args.has("gaveUp")) {
  scripted.close();
  await until(() => server.state === "stopped");
  server.shutdown(); // forgotten on purpose
  await server.finished.catch((error) => say(`gave up with ${error.name}`));
} else {
  // Does not itself keep the process alive: it comes only if something else does.
  const timer = setInterval(() => {
    say("alive");
    Deno.exit(0);
  }, A_WHILE);
  Deno.unrefTimer(timer as unknown as number);
}
