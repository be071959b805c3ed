/** Sends frames to many connections, each encoded once. @module */

import { bad, checkChoice, checkKeys, checkNumber, isObject, show } from "../check.ts";
import type { Encoder } from "../wire/codec/codec.ts";
import type { Connection } from "./connection.ts";
import { rejected } from "./lifeline.ts";
import { SharedFrames } from "./shared_frames.ts";
import type { SocketConnection } from "./socket_connection.ts";
import { connection } from "./wrap.ts";

/**
 * What becomes of members that read more slowly than is sent.
 *
 * @typeParam T What a frame is.
 *
 * @example Say how many lines a member has missed
 * ```ts
 * import { broadcast, type BroadcastOptions, lines } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const options: BroadcastOptions<string> = {
 *   slowAbove: 65_536,
 *   missed: (count) => `* You missed ${count} lines`,
 * };
 * const room = broadcast(lines(), options);
 * assertEquals(room.size, 0);
 * ```
 *
 * @category Frames
 */
export interface BroadcastOptions<T> {
  /**
   * What a frame does that finds a member slow: `"skip"` leaves that member out, `"end"` ends its
   * connection (`write_overflow`).
   *
   * @default {"skip"}
   */
  slow?: "skip" | "end";
  /**
   * Unsent bytes above which a member is slow, whatever sent them. One with `maxUnsent` or more
   * waiting is slow in any case.
   *
   * @default {262_144}
   */
  slowAbove?: number;
  /**
   * Makes the frame that a member gets first when it is no longer slow, from how many it was skipped
   * for. None unless given.
   */
  missed?: (count: number) => T;
}

/** Defaults of `broadcast()`. */
export const BROADCAST_DEFAULTS: { readonly slow: "skip" | "end"; readonly slowAbove: number } =
  Object.freeze({ slow: "skip", slowAbove: 262_144 });

/**
 * Which members a frame is for.
 *
 * @example All but the one that says it
 * ```ts
 * import { broadcast, framed, lines, serve } from "@usher/server";
 * import type { SendOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const room = broadcast(lines());
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   using _ = room.join(conn);
 *   const others: SendOptions = { except: conn };
 *   for await (const line of framed(conn, lines())) room.send(line, others);
 * });
 *
 * const [ada, bob] = await Promise.all([1, 2].map(async () =>
 *   framed(await Deno.connect({ port: server.addr.port }), lines())
 * ));
 * while (room.size < 2) await new Promise(setImmediate);
 * await ada!.send("hello");
 * assertEquals(await bob!.read(), "hello");
 * for (const { conn } of [ada!, bob!]) conn.close();
 * ```
 *
 * @category Frames
 */
export interface SendOptions {
  /** A connection that does not get it, a member or not. */
  except?: Deno.Conn;
}

/**
 * A connection's place among the members of a broadcast, from `join()` on until it is disposed.
 *
 * @example Leave before the handler is over
 * ```ts
 * import { broadcast, lines, type Membership } from "@usher/server";
 * import { connect } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const room = broadcast(lines());
 * await using client = connect(async (conn) => {
 *   const membership: Membership = room.join(conn);
 *   await room.send("hello");
 *   membership[Symbol.dispose]();
 *   assertEquals(await room.send("hello again"), 0);
 *   assertEquals(membership.skipped, 0);
 * });
 * assertEquals(await new Response(client.readable).text(), "hello\n");
 * ```
 *
 * @category Frames
 */
export interface Membership extends Disposable {
  /** Frames that this member was skipped for. */
  readonly skipped: number;
}

/**
 * Sends frames to all its members. Iterating over it gives their connections.
 *
 * @typeParam T What a frame is.
 *
 * @example Prices for all that listen
 * ```ts
 * import { type Broadcast, broadcast, framed, lines, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const prices: Broadcast<string> = broadcast(lines());
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   using _ = prices.join(conn);
 *   prices.send(`${prices.size} listening`);
 *   for await (const _ of conn); // until it leaves
 * });
 *
 * const conn = await Deno.connect({ port: server.addr.port });
 * const listener = framed(conn, lines());
 * assertEquals(await listener.read(), "1 listening");
 * assertEquals(await prices.send("42"), 1);
 * assertEquals(await listener.read(), "42");
 * listener.conn.close();
 * ```
 *
 * @category Frames
 */
export interface Broadcast<T> extends Iterable<Connection> {
  /** How many members there are. */
  readonly size: number;
  /** Frames that members were skipped for, all members together, those that have left included. */
  readonly skipped: number;
  /**
   * Makes a connection a member, until what is returned is disposed, the connection is closed, or
   * nothing more can be sent through it. One that is over already never becomes a member. One that
   * has joined several times gets each frame once, and stays until all of that is disposed.
   *
   * @throws {TypeError} If `conn` is no connection.
   */
  join(conn: Deno.Conn): Membership;
  /**
   * Sends a frame to all members, behind everything that each was sent before. What is sent in one turn
   * of the event loop leaves in one write per member, together with frames of its own.
   *
   * Not awaited, it never waits. Awaited, it waits until no member is above `slowAbove` any more, so
   * that a producer goes at the pace of the slowest; one that reads nothing ends by `writeTimeout`.
   *
   * @returns Resolves with how many members it was queued for.
   * @throws What the codec throws for a frame that it cannot encode, and no member gets it; or what
   * `missed` throws, and all get it.
   */
  send(frame: T, options?: SendOptions): Promise<number>;
}

/**
 * Makes a group of connections that get the same frames, such as a chat room, the subscribers of a topic
 * or all that watch one match. A frame is encoded once, and held once however many have still to send
 * it. A slow member does not hold up the others: it is skipped, or ended.
 *
 * @typeParam T What a frame is.
 * @param codec How frames become bytes.
 * @param options What becomes of slow members.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If an option is out of range.
 *
 * @example A chat room
 * ```ts
 * import { broadcast, framed, lines, serve } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const room = broadcast(lines());
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   using _ = room.join(conn);
 *   for await (const line of framed(conn, lines())) room.send(`> ${line}`);
 * });
 *
 * const conn = await Deno.connect({ port: server.addr.port });
 * const ada = framed(conn, lines());
 * await ada.send("hello");
 * assertEquals(await ada.read(), "> hello");
 * ada.conn.close();
 * ```
 *
 * @category Frames
 */
export function broadcast<T>(
  codec: Encoder<T>,
  options: BroadcastOptions<T> = {},
): Broadcast<T> {
  if (!isObject(codec) || typeof codec["encode"] !== "function") {
    const given = show(codec);
    throw new TypeError(
      `Cannot ${ATTEMPT} with ${given} as its codec: use lines(), or an object with 'encode'`,
    );
  }
  checkKeys(ATTEMPT, options, ["slow", "slowAbove", "missed"]);
  const {
    slow = BROADCAST_DEFAULTS.slow,
    slowAbove = BROADCAST_DEFAULTS.slowAbove,
    missed,
  } = options;
  checkChoice(ATTEMPT, "slow", slow, ["skip", "end"]);
  checkNumber(ATTEMPT, "slowAbove", slowAbove, 0, Infinity, true);
  if (missed !== undefined && typeof missed !== "function") {
    throw new TypeError(bad(ATTEMPT, "missed", missed, "a function that makes a frame"));
  }
  return new Group(codec, slow === "end", slowAbove, missed);
}

const ATTEMPT = "broadcast";

class Group<T> implements Broadcast<T> {
  readonly #codec: Encoder<T>;
  readonly #endsSlow: boolean;
  readonly #slowAbove: number;
  readonly #missed: ((count: number) => T) | undefined;
  readonly #members = new Map<SocketConnection, Member>();
  /** Takes the next frame, too, while a member has not sent all of it. */
  #frames = new SharedFrames(0);
  /** Members with more than `slowAbove` bytes unsent, as far as was seen while sending. */
  #above = 0;
  /** What callers wait for until there are none, by what it resolves with: few, however many send. */
  readonly #waiting = new Map<number, PromiseWithResolvers<number>>();
  skipped = 0;

  constructor(
    codec: Encoder<T>,
    endsSlow: boolean,
    slowAbove: number,
    missed: ((count: number) => T) | undefined,
  ) {
    this.#codec = codec;
    this.#endsSlow = endsSlow;
    this.#slowAbove = slowAbove;
    this.#missed = missed;
  }

  get size(): number {
    return this.#members.size;
  }

  [Symbol.iterator](): IterableIterator<Connection> {
    return this.#members.keys();
  }

  join(conn: Deno.Conn): Membership {
    const wrapped = connection(conn) as SocketConnection;
    let member = this.#members.get(wrapped);
    if (member === undefined) {
      member = new Member(wrapped, this);
      if (wrapped.writer.join(member)) this.#members.set(wrapped, member);
    }
    return new Joined(member);
  }

  send(frame: T, options?: SendOptions): Promise<number> {
    let frames: SharedFrames;
    let from: number;
    let except: Deno.Conn | undefined;
    try {
      except = exceptOf(options);
      const bytes = this.#encode(frame);
      frames = this.#frames = this.#frames.isOpen ? this.#frames : new SharedFrames(bytes.length);
      from = frames.length;
      frames.append(bytes);
    } catch (error) {
      return rejected(error);
    }
    const to = frames.length;
    let queued = 0;
    let slow: Member[] | undefined;
    let failure: { error: unknown } | undefined;
    for (const member of this.#members.values()) {
      const { conn } = member;
      if (conn === except) continue;
      const { writer } = conn;
      const unsent = writer.unsentBytes;
      if (unsent > this.#slowAbove || writer.isFull) {
        // Ended after the loop: a listener of its signal may send, and every member is to get that later.
        (slow ??= []).push(member);
        continue;
      }
      if (member.missed > 0) failure = this.#tellMissed(member) ?? failure;
      if (writer.share(frames, from, to)) queued++;
      if (unsent + to - from > this.#slowAbove) this.#watch(member);
    }
    slow?.forEach((member) => this.#endsSlow ? this.#end(member) : this.#skip(member));
    if (failure !== undefined) return rejected(failure.error);
    return this.#above === 0 ? Promise.resolve(queued) : this.#untilNoneAbove(queued);
  }

  /** A member leaves, or its connection can send nothing more. */
  forget(member: Member): void {
    if (this.#members.get(member.conn) !== member) return;
    this.#members.delete(member.conn);
    this.#fell(member);
  }

  #encode(frame: T): Uint8Array {
    const bytes = this.#codec.encode(frame);
    if (bytes instanceof Uint8Array) return bytes;
    throw new TypeError("Cannot send a frame whose codec gives no bytes: use a Uint8Array");
  }

  #tellMissed(member: Member): { error: unknown } | undefined {
    const { missed } = member;
    member.missed = 0;
    if (this.#missed === undefined) return undefined;
    try {
      member.conn.writer.coalesce(this.#encode(this.#missed(missed)));
    } catch (error) {
      return { error };
    }
    return undefined;
  }

  #skip(member: Member): void {
    this.skipped++;
    member.skipped++;
    member.missed++;
    this.#watch(member);
  }

  #end({ conn }: Member): void {
    const error = new Deno.errors.WouldBlock(
      `Cannot send a frame to a member with ${conn.unsentBytes} bytes unsent: 'slowAbove' is ` +
        `${this.#slowAbove}, and 'slow' is "end"`,
    );
    conn.life.end("write_overflow", error);
  }

  /** Waits until a member is no longer above. */
  #watch(member: Member): void {
    if (member.isAbove) return;
    member.isAbove = true;
    this.#above++;
    const fell = () => this.#fell(member);
    member.conn.writer.below(this.#slowAbove + 1).then(fell, fell);
  }

  #fell(member: Member): void {
    if (!member.isAbove) return;
    member.isAbove = false;
    if (--this.#above > 0) return;
    this.#waiting.forEach(({ resolve }, queued) => resolve(queued));
    this.#waiting.clear();
  }

  #untilNoneAbove(queued: number): Promise<number> {
    let waiting = this.#waiting.get(queued);
    if (waiting === undefined) this.#waiting.set(queued, waiting = Promise.withResolvers());
    return waiting.promise;
  }
}

/** A connection among the members, however many times it has joined. */
class Member {
  readonly conn: SocketConnection;
  readonly #group: { forget(member: Member): void };
  /** Times that it has joined and not left. */
  joins = 0;
  skipped = 0;
  /** Frames that it was skipped for since it got one. */
  missed = 0;
  /** It has more than `slowAbove` bytes unsent. */
  isAbove = false;

  constructor(conn: SocketConnection, group: { forget(member: Member): void }) {
    this.conn = conn;
    this.#group = group;
  }

  leave(): void {
    if (--this.joins > 0) return;
    this.conn.writer.leave(this);
    this.ended();
  }

  ended(): void {
    this.#group.forget(this);
  }
}

/** One joining, which is undone once. */
class Joined implements Membership {
  readonly #member: Member;
  #hasLeft = false;

  constructor(member: Member) {
    this.#member = member;
    member.joins++;
  }

  get skipped(): number {
    return this.#member.skipped;
  }

  [Symbol.dispose](): void {
    if (this.#hasLeft) return;
    this.#hasLeft = true;
    this.#member.leave();
  }
}

/** The connection that a frame is not for. */
function exceptOf(options: SendOptions | undefined): Deno.Conn | undefined {
  if (options === undefined) return undefined;
  checkKeys("send a frame", options, ["except"]);
  return options.except === undefined ? undefined : connection(options.except);
}
