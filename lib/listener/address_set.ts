/** Makes sets of addresses that change while servers use them. @module */

import { bad, checkKeys, checkTime } from "../check.ts";
import { SteadyClock } from "../steady_clock.ts";
import { type AddressRange, addressRange } from "../wire/address/address_range.ts";
import { AddressTable } from "../wire/address/address_table.ts";
import { readHostname } from "../wire/address/ip_address.ts";

/**
 * A set of IP addresses and ranges; see {@linkcode addressSet}.
 *
 * @example Let a program's operator decide
 * ```ts
 * import { addressSet, type AddressSet } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const command = (bans: AddressSet, [verb, range]: string[]) =>
 *   verb === "ban" ? bans.add(range!) : bans.delete(range!);
 *
 * const bans = addressSet();
 * command(bans, ["ban", "192.0.2.0/24"]);
 * assertEquals(bans.has("192.0.2.7"), true);
 * command(bans, ["unban", "192.0.2.0/24"]);
 * assertEquals(bans.size, 0);
 * ```
 *
 * @category Limits
 */
export interface AddressSet {
  /** How many ranges it holds; a single address is a range of one. */
  readonly size: number;
  /**
   * Adds an address or a range. One that is there already stays for the longer of both times. If the set
   * is full, the range that expires first goes, be it the new one.
   *
   * @param range As in the list that {@linkcode addressSet} takes.
   * @param options `expireIn`: ms after which it goes by itself; never unless given.
   * @throws {TypeError} If `range` is not a string, or an option is unknown or of the wrong type.
   * @throws {RangeError} If `range` is not a range, `expireIn` is below 0, or the set is full and neither
   * the new range nor any other expires.
   */
  add(range: string, options?: { expireIn?: number }): void;
  /**
   * Removes exactly this range: an address inside a range that is there stays in the set.
   *
   * @returns Whether it was there.
   * @throws {TypeError} If `range` is not a string.
   * @throws {RangeError} If `range` is not a range.
   */
  delete(range: string): boolean;
  /**
   * Whether an address is in one of the ranges. Text that is not an address is in none; a zone as in
   * `fe80::1%eth0` is ignored.
   *
   * @param hostname The address, as `conn.remoteAddr.hostname` has it.
   */
  has(hostname: string): boolean;
}

/**
 * Options of {@linkcode addressSet}.
 *
 * @example Options from somewhere else
 * ```ts
 * import { addressSet, type AddressSetOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: AddressSetOptions = { name: "office" };
 * addressSet(["192.0.2.0/24"], options);
 * assertEquals(addressSet([], options).has("192.0.2.7"), true);
 * ```
 *
 * @category Limits
 */
export interface AddressSetOptions {
  /** Sets of one name are one set, in all workers of a fleet, too. A set of its own unless given. */
  name?: string;
}

/**
 * Where the ranges of a set are. A fleet has one in memory that its threads share for each name.
 */
export interface AddressStore {
  readonly size: number;
  /** Adds a range for so many ms, `Infinity` for good. Whether it is there, or there was no room. */
  add(range: AddressRange, expireIn: number): boolean;
  delete(range: AddressRange): boolean;
  /** Whether an address of 4 or 16 bytes is in a range; without bytes, of a Unix socket. */
  has(address: Uint8Array): boolean;
}

/** What gives out the stores of a fleet. */
export interface AddressStores {
  /** The store of that name, which is the same one in every thread. */
  addressStore(name: string): AddressStore;
}

/** Ranges in one set: more than a program bans, and few enough for a stranger to fill without harm. */
const ROOM = 65_536;

/**
 * Makes a set of addresses and CIDR ranges for `allow`, `deny` and `proxyProtocol.trust`, which can be
 * changed while servers use it. It decides about new connections; those that are open stay.
 *
 * IPv4 addresses that are mapped into IPv6 (`::ffff:192.0.2.1`) are IPv4 addresses, in ranges and in
 * look-ups. The peers of Unix sockets are in the set where it has `"unix"`. A look-up takes one to four
 * microseconds, whether there is one range or as many as there may be: 65,536.
 *
 * @param ranges What is in it from the start.
 * @param options A name, for one set in several places.
 * @returns The set.
 * @throws {TypeError} If a range is not a string, or an option is unknown or of the wrong type.
 * @throws {RangeError} If a range is not a range, or there are more than 65,536.
 *
 * @example Three protocol errors within ten minutes are a ban for an hour
 * ```ts
 * import { addressSet, type EndRecord, peerKey, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const bans = addressSet();
 * const strikes = [addressSet(), addressSet(), bans];
 * function onEnd({ reason, remoteAddr }: EndRecord) {
 *   if (reason !== "protocol_error" || remoteAddr.transport !== "tcp") return;
 *   const set = strikes.find((set) => !set.has(remoteAddr.hostname));
 *   const expireIn = set === bans ? 3_600_000 : 600_000;
 *   set?.add(peerKey(remoteAddr.hostname), { expireIn });
 * }
 *
 * await using server = serve(
 *   { port: 0, hostname: "127.0.0.1", deny: bans, onEnd },
 *   (conn) => conn.readLine({ limit: 10 }),
 * );
 *
 * for (let i = 0; i < 3; i++) {
 *   const client = await Deno.connect({ port: server.addr.port });
 *   await client.write(new TextEncoder().encode("far too long\n"));
 *   await new Response(client.readable).text();
 * }
 * while (bans.size === 0) await new Promise((resolve) => setTimeout(resolve));
 * const banned = await Deno.connect({ port: server.addr.port });
 * assertEquals(await new Response(banned.readable).text(), "");
 * assertEquals(server.stats().refused.address, 1);
 * ```
 *
 * @category Limits
 */
export function addressSet(
  ranges: readonly string[] = [],
  options: AddressSetOptions = {},
): AddressSet {
  checkKeys(MAKE, options, ["name"]);
  const { name } = options;
  if (name !== undefined && (typeof name !== "string" || name === "")) {
    throw new TypeError(bad(MAKE, "name", name, "a text that is not empty"));
  }
  return new StoredSet(storeOf(name), readRanges(MAKE, "ranges", ranges));
}

/** Whether a value is one, and not a `Set` of texts, for instance, which would find no ranges. */
export function isAddressSet(value: unknown): value is AddressSet {
  return value instanceof StoredSet;
}

const MAKE = "make an address set";

/** The store that sets of one name share, or one for a set of its own. */
function storeOf(name: string | undefined): AddressStore {
  if (name === undefined) return new PrivateStore();
  const fleet = (globalThis as { [FLEET]?: AddressStores })[FLEET];
  if (fleet !== undefined) return fleet.addressStore(name);
  const store = named.get(name) ?? new PrivateStore();
  named.set(name, store);
  return store;
}

/** Where a worker of a fleet finds what it shares with the others. */
const FLEET: unique symbol = Symbol.for("usher.fleet") as never;

/** The stores that have a name, in a program without a fleet. */
const named = new Map<string, AddressStore>();

function readRanges(attempt: string, name: string, ranges: unknown): AddressRange[] {
  if (!Array.isArray(ranges)) {
    throw new TypeError(bad(attempt, name, ranges, "an array of addresses and ranges"));
  }
  return ranges.map((text: unknown, i) => addressRange(attempt, `${name}[${i}]`, text));
}

class StoredSet implements AddressSet {
  readonly #store: AddressStore;

  constructor(store: AddressStore, ranges: readonly AddressRange[]) {
    this.#store = store;
    for (const range of ranges) {
      if (store.add(range, Infinity)) continue;
      throw new RangeError(bad(MAKE, "ranges", ranges, `at most ${ROOM} ranges`));
    }
  }

  get size(): number {
    return this.#store.size;
  }

  add(range: string, options: { expireIn?: number } = {}): void {
    const attempt = "add to an address set";
    const parsed = addressRange(attempt, "range", range);
    checkKeys(attempt, options, ["expireIn"]);
    const expireIn = checkTime(attempt, "expireIn", options.expireIn ?? Infinity);
    if (this.#store.add(parsed, expireIn) || expireIn !== Infinity) return;
    const wanted = `delete() first, or 'expireIn': it has ${ROOM} ranges that never expire`;
    throw new RangeError(bad(attempt, "range", range, wanted));
  }

  delete(range: string): boolean {
    return this.#store.delete(addressRange("delete from an address set", "range", range));
  }

  has(hostname: string): boolean {
    const address = hostname === "unix" ? NO_ADDRESS : readHostname(hostname);
    return address !== null && this.#store.has(address);
  }
}

class PrivateStore implements AddressStore {
  readonly #table = new AddressTable(ROOM);
  readonly #clock = new SteadyClock();

  get size(): number {
    return this.#table.size(this.#clock.read());
  }

  add(range: AddressRange, expireIn: number): boolean {
    const now = this.#clock.read();
    return this.#table.add(range, now + expireIn, now);
  }

  delete(range: AddressRange): boolean {
    return this.#table.delete(range, this.#clock.read());
  }

  has(address: Uint8Array): boolean {
    return this.#table.has(address, this.#clock.read());
  }
}

const NO_ADDRESS = new Uint8Array(0);
