/** Prints the limit of a server with the given `maxConnections`, and what it reports. @module */

import { serve } from "../../../mod.ts";
import { say } from "../../support/commands.ts";

const [given = ""] = Deno.args;
const server = serve({
  port: 0,
  hostname: "127.0.0.1",
  ...(given !== "" && { maxConnections: Number(given) }),
  onError: (error) => say(`${error}`),
}, async () => {});
say(`${server.maxConnections}`);
await server.shutdown();
