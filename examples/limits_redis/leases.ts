/** Holds a lease in Redis for each connection of this process. @module */

import { setTimeout as delay } from "node:timers/promises";
import type { Reply } from "../kv/resp.ts";
import type { SharedLimit } from "../limits_redis.ts";
import { Redis } from "./redis.ts";

/** The leases of all processes. */
const KEY = "usher:leases";

/**
 * The leases are a sorted set: its members are the leases, their scores the times at which they expire,
 * in ms by the clock of Redis. Takes the leases behind the limit and the expiry, all or none.
 */
const TAKE = `
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", now)
if redis.call("ZCARD", KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
for i = 3, #ARGV do redis.call("ZADD", KEYS[1], now + ARGV[2], ARGV[i]) end
redis.call("PEXPIRE", KEYS[1], ARGV[2])
return 1`;

/** For leases that are there already, or were taken while Redis was away. */
const NO_LIMIT = 2 ** 53;

/** Leases in one call, during which Redis serves no other client. */
const MOST_AT_ONCE = 1000;

/** How often in its life a lease is renewed, so that one renewal may fail. */
const RENEWALS = 3;

/** Ms in which Redis must answer; a client waits for it. */
const TIMEOUT = 500;

/** Ms between two tries to connect, at first and at most. */
const FIRST_RETRY = 100, LONGEST_RETRY = 5000;

/** The leases of one process. */
export class Leases {
  readonly #shared: SharedLimit;
  /** What all leases of this process begin with. */
  readonly #process = crypto.randomUUID();
  readonly #held = new Set<string>();
  readonly #closing = new AbortController();
  readonly #closed: Promise<void>;
  readonly #tried = Promise.withResolvers<void>();
  /** While it is there. */
  #redis: Redis | undefined;
  #isAway = false;

  constructor(shared: SharedLimit) {
    this.#shared = shared;
    this.#closed = this.#run();
  }

  /** Resolves once it is known whether Redis is there; rejects if this process may not connect to it. */
  get tried(): Promise<void> {
    return this.#tried.promise;
  }

  /** Takes a lease, which is given back when it is disposed; `false` if there is none. */
  async take(connection: number): Promise<AsyncDisposable | false> {
    const lease = `${this.#process}:${connection}`;
    const isFree = await this.#ask(lease) ?? this.#held.size < this.#shared.localLimit;
    // Nothing is awaited since: others that have been waiting for the same answer see this one.
    if (!isFree) return false;
    this.#held.add(lease);
    return { [Symbol.asyncDispose]: () => this.#giveBack(lease) };
  }

  /** Closes the connection to Redis; leases that are still held expire there. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#closed;
  }

  /** Whether Redis has had a lease; `undefined` if it cannot say. */
  async #ask(lease: string): Promise<boolean | undefined> {
    const redis = this.#redis;
    try {
      return redis && await this.#register(redis, this.#shared.limit, [lease]) === 1;
    } catch {
      // It has gone away, or answers with an error, as every renewal then would.
      redis?.close();
      return undefined;
    }
  }

  async #giveBack(lease: string): Promise<void> {
    this.#held.delete(lease);
    // Without Redis it expires.
    await this.#redis?.call("ZREM", KEY, lease).catch(() => {});
  }

  #register(redis: Redis, limit: number, leases: readonly string[]): Promise<Reply> {
    return redis.call("EVAL", TAKE, 1, KEY, limit, this.#shared.expiry, ...leases);
  }

  /** Connects, renews until the connection is over, and so on. */
  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (let retry = FIRST_RETRY; !signal.aborted; retry = Math.min(2 * retry, LONGEST_RETRY)) {
      try {
        const redis = await Redis.connect(this.#shared.redis, TIMEOUT);
        const close = () => redis.close();
        signal.addEventListener("abort", close);
        const renew = () => void this.#renew(redis).catch(close);
        const renewals = setInterval(renew, this.#shared.expiry / RENEWALS);
        try {
          // Before any new one is taken: Redis may have lost its data.
          await this.#renew(redis);
          this.#say(redis);
          retry = FIRST_RETRY;
          await redis.over;
        } finally {
          clearInterval(renewals);
          signal.removeEventListener("abort", close);
          close();
        }
        this.#say(undefined, "it has closed the connection");
      } catch (error) {
        // It would not be there later, either.
        if (error instanceof Deno.errors.NotCapable) return this.#tried.reject(error);
        this.#say(undefined, (error as Error).message);
      }
      await delay(retry, undefined, { signal }).catch(() => {});
    }
  }

  /** Renews all leases; the call is made without any, too, and finds out whether Redis can do it. */
  async #renew(redis: Redis): Promise<void> {
    const leases = [...this.#held];
    do {
      // Some may have been given back since.
      const held = leases.splice(0, MOST_AT_ONCE).filter((lease) => this.#held.has(lease));
      await this.#register(redis, NO_LIMIT, held);
    } while (leases.length > 0);
  }

  #say(redis: Redis | undefined, cause = ""): void {
    this.#redis = redis;
    this.#tried.resolve();
    if (this.#isAway === (redis === undefined) || this.#closing.signal.aborted) return;
    this.#isAway = redis === undefined;
    const { redis: { hostname, port }, report, limit, localLimit } = this.#shared;
    const where = `Redis at ${hostname}:${port}`;
    report(
      this.#isAway
        ? `${where} is away (${cause}): this process admits ${localLimit} connections by itself`
        : `${where} is back: all processes together admit ${limit} connections`,
    );
  }
}
