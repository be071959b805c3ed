/**
 * An echo server whose connections are limited over any number of processes and machines: `admit` takes a
 * lease for each in Redis or Valkey, which is given back at the end, and expires if the process dies.
 * While Redis is away each process admits up to `--local-limit` connections by itself.
 *
 * deno run --allow-net examples/limits_redis.ts
 *
 * @module
 */

import { serve, type Server } from "jsr:@usher/server@^0.2.0";
import { echo } from "./echo.ts";
import { Leases } from "./limits_redis/leases.ts";
import { parseNumber, type Place, start } from "./start.ts";

/** Connections in all processes together; ms after which the leases of a dead process are free. */
const LIMIT = "1000", EXPIRY = "15000";

/** A limit that several servers share. */
export interface SharedLimit {
  /** Where Redis is. */
  readonly redis: Deno.ConnectOptions & { hostname: string };
  /** Connections of all servers together. */
  readonly limit: number;
  /** Connections of this server while Redis is away. */
  readonly localLimit: number;
  /** Ms after which the leases of a process that is gone expire. */
  readonly expiry: number;
  /** Is called with one sentence when Redis has gone away, and when it is back. */
  readonly report: (sentence: string) => void;
}

/** Serves with a limit that other processes share. */
export async function serveLimited(place: Place, shared: SharedLimit): Promise<Server> {
  const leases = new Leases(shared);
  await leases.tried;
  const server = serve({ ...place, admit: (conn) => leases.take(conn.id) }, echo);
  // After the last lease is back.
  server.finished.finally(() => leases.close()).catch(() => {});
  return server;
}

/** Reads `HOST:PORT`, an IPv6 address in brackets. */
function parseAddress(text: string): SharedLimit["redis"] {
  const url = /^(\[[^\]]+\]|[^\s:/@]+):\d+$/.test(text) ? URL.parse(`tcp://${text}`) : null;
  if (url === null) {
    throw new TypeError(`Cannot use --redis "${text}": use HOST:PORT, such as 127.0.0.1:6379`);
  }
  return { hostname: url.hostname.replace(/^\[(.*)\]$/, "$1"), port: Number(url.port) };
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/limits_redis.ts";
  const options = { redis: "127.0.0.1:6379", limit: LIMIT, "local-limit": LIMIT, expiry: EXPIRY };
  await start({ command, port: 7000, options }, (place, flags) =>
    serveLimited(place, {
      redis: parseAddress(flags.redis ?? options.redis),
      limit: parseNumber("limit", flags.limit ?? LIMIT, 1_000_000),
      localLimit: parseNumber("local-limit", flags["local-limit"] ?? LIMIT, 1_000_000),
      expiry: parseNumber("expiry", flags.expiry ?? EXPIRY, 3_600_000),
      // deno-lint-ignore no-console -- the output of the program
      report: (sentence) => console.error(sentence),
    }));
}
