/** Serves lines in a worker: does what a line asks for, and says which worker it is. @module */

import { framed, lines, serve } from "../../../mod.ts";
import { busyUntil, busyWhile } from "../busy.ts";

const me = crypto.randomUUID();
const options = { port: 0, hostname: "127.0.0.1", shutdownTimeout: 2000, maxConnections: 100 };

await serve(options, async (conn) => {
  // One that was held while the listeners closed is served when all are draining already.
  const kind = conn.draining ? "held" : "served";
  const requests = framed(conn, lines());
  for await (const request of requests) {
    const [word, argument = ""] = request.split(" ");
    switch (word) {
      case "throw":
        queueMicrotask(() => {
          throw new TypeError(argument);
        });
        break;
      case "exit":
        Deno.exit(Number(argument));
        break;
      case "heap": {
        const all: unknown[] = [];
        for (;;) all.push(new Array(1000).fill({ all }));
      }
      // These two are answered twice, the first time before this thread is busy.
      case "compute":
        await requests.send("computes");
        await requests.flush();
        busyUntil(Number(argument));
        break;
      case "hang":
        await requests.send("hangs");
        await requests.flush();
        busyWhile(argument);
    }
    const answers: Record<string, string> = {
      id: String(conn.id),
      held: `${kind} ${Date.now()}`,
    };
    await requests.send(answers[word!] ?? me);
    await requests.flush();
  }
}).finished;
