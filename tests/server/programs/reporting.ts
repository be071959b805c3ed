/**
 * Shows what is on stderr after an error. Runs the case that the argument names, then prints
 * "served on" if a further client is still served, and stops.
 *
 * @module
 */

import { type Connection, ProtocolError, serve, type ServeSettings } from "../../../mod.ts";
import { connectResettable, dial, readAll } from "../../support/peers.ts";
import { until } from "../../support/wait.ts";
import { scriptedListener } from "../../../lib/testing/scripted_listener.ts";

/** How many errors come at once in the case "burst". */
const BURST = 25;

interface Case extends ServeSettings {
  /** What the handler does with the first clients; later ones are served. */
  handler?: (conn: Connection) => unknown;
  /** How many clients the case has; 1 if not given. */
  clients?: number;
  /** What the first clients do. */
  client?: (addr: Deno.NetAddr) => unknown;
}

const fails = (error: unknown): Case => ({ handler: () => Promise.reject(error) });
const inkless = () => {
  throw new Error("no ink");
};

const listens = async (addr: Deno.NetAddr) => await readAll(await dial(addr));

let arrived = 0;
const allArrived = Promise.withResolvers<void>();

const trap = () => {
  throw new Error("do not look at me");
};
const { proxy: revoked, revoke } = Proxy.revocable({}, {});
revoke();

const CASES: Record<string, Case> = {
  "handler rejects": fails(new Error("division by cucumber")),
  "handler throws": {
    handler: () => {
      throw new TypeError("not even a promise");
    },
  },
  "onEnd throws": { onEnd: inkless },
  "onEnd rejects": { onEnd: () => Promise.reject(new Error("no ink")) },
  "onListen throws": { onListen: inkless },
  "onError throws": { ...fails(new Error("division by cucumber")), onError: inkless },
  "onError rejects": {
    ...fails(new Error("division by cucumber")),
    onError: () => Promise.reject(new Error("no ink")),
  },
  "control characters": fails(new Error("all is\n\x1b[2Jwell\u2028\x85\x7f")),
  "control characters without an Error": {
    handler: () => {
      // deno-lint-ignore no-throw-literal -- what a user may do
      throw "all is\r\nwell";
    },
  },
  "burst": {
    clients: BURST,
    handler: async (conn) => {
      if (++arrived === BURST) allArrived.resolve();
      await allArrived.promise;
      throw new Error(`number ${conn.id}`);
    },
  },
  "peer resets": {
    handler: (conn) => conn.read(new Uint8Array(1)),
    client: async (addr) => await (await connectResettable(addr)).reset(),
  },
  "peer leaves early": {
    handler: async (conn) => {
      await conn.read(new Uint8Array(1));
      for (;;) await conn.write(new Uint8Array(1));
    },
    client: async (addr) => (await dial(addr)).close(),
  },
  "another connection's peer left": fails(new Deno.errors.BrokenPipe("Broken pipe")),
  "protocol error": fails(new ProtocolError("say HELO first")),
  "DOMException": fails(new DOMException("took too long", "TimeoutError")),
  "frozen error": fails(Object.freeze(new Error("brrr"))),
  "error with throwing getters": fails(
    Object.defineProperties(new Error(), {
      message: { get: trap },
      name: { get: trap },
      stack: { get: trap },
    }),
  ),
  "error whose fields are no strings": fails(
    Object.assign(new Error(), { name: 7, message: { not: "text" }, stack: 12 }),
  ),
  "undefined": fails(undefined),
  "null": fails(null),
  "symbol": fails(Symbol("odd")),
  "object without a prototype": fails(Object.create(null)),
  "revoked Proxy": fails(revoked),
  "Proxy that refuses everything": fails(
    new Proxy(() => {}, { get: trap, has: trap, getPrototypeOf: trap, apply: trap }),
  ),
  "onEnd throws a revoked Proxy": {
    onEnd: () => {
      throw revoked;
    },
  },
  "handler gives a revoked Proxy": { handler: () => revoked },
  "handler gives a thenable that throws": {
    handler: () => ({
      then() {
        throw new Error("neither");
      },
    }),
  },
};

if (Deno.args[0] === "starvation") {
  const listener = scriptedListener([]);
  listener.play("EMFILE");
  const server = serve({ listeners: [listener] }, async () => {});
  await until(() => server.waitingFor === "resources");
  await until(() => listener.waiting);
  await server.shutdown();
} else {
  const { handler, clients = handler === undefined ? 0 : 1, client = listens, ...settings } =
    CASES[Deno.args[0]!]!;
  const server = serve({ port: 0, hostname: "127.0.0.1", ...settings }, (conn) => {
    if (conn.id <= clients) return handler!(conn) as Promise<unknown>;
    return conn.write(new TextEncoder().encode("served on"));
  });
  await Promise.all(
    Array.from({ length: clients }, () => client(server.addr)),
  );
  await until(() => server.stats().accepted === clients && server.stats().active === 0);
  const answer = await readAll(await dial(server.addr));
  Deno.stdout.writeSync(answer);
  await server.shutdown();
}
