/** Serves lines in a worker, under limits that the test chooses, and counts the handlers of all workers. @module */

import { getEnvironmentData } from "node:worker_threads";
import { addressSet, framed, lines, serve } from "../../../mod.ts";
import { type Limited, MOST, NOW } from "../limited.ts";

const { handlers: memory, options } = getEnvironmentData("limited") as unknown as Limited;
const handlers = new Int32Array(memory);
const bans = addressSet([], { name: "bans" });
const base = { port: 0, hostname: "127.0.0.1", onError: () => {} };
const me = crypto.randomUUID();

const server = serve({ ...base, ...options, deny: bans }, async (conn) => {
  const now = Atomics.add(handlers, NOW, 1) + 1;
  for (let most = now; most > 0;) {
    const before = Atomics.load(handlers, MOST);
    most = before >= now || Atomics.compareExchange(handlers, MOST, before, now) === before
      ? 0
      : now;
  }
  const io = framed(conn, lines());
  await io.send(me);
  await io.flush();
  try {
    for await (const line of io) {
      const [word, argument = ""] = line.split(" ");
      switch (word) {
        case "ban":
          bans.add(argument);
          break;
        case "unban":
          bans.delete(argument);
          break;
        case "limit":
          server.maxConnections = Number(argument);
          break;
        case "die":
          queueMicrotask(() => {
            throw new Error("as the test asks");
          });
      }
      await io.send(me);
      await io.flush();
    }
  } finally {
    Atomics.sub(handlers, NOW, 1);
  }
});
await server.finished;
