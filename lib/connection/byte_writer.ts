/** Writes bytes and frames to a socket, whole and in order. @module */

import type { Encoder } from "../wire/codec/codec.ts";
import { FrameBuffer } from "./frame_buffer.ts";
import type { Lifeline } from "./lifeline.ts";
import { rejected } from "./lifeline.ts";
import { ReadSize } from "./read_size.ts";
import type { Rooms } from "./rooms.ts";
import { type SharedFrames, SharedRange } from "./shared_frames.ts";
import { type Turn, WriteQueue } from "./write_queue.ts";

/** Bytes by which a write must advance within `writeTimeout`, or its rest if that is less. */
const LEAST_PROGRESS = 1024;

/** Writes in a row that may take nothing before the socket counts as broken; kernels have none. */
const MOST_EMPTY_WRITES = 100;

/** Bytes of frames that leave in any case; what a slow peer can make us hold of them. */
export const HIGH_WATER = 65536;

/**
 * Bytes of a first write that no system holds back a part of: with nothing unacknowledged before it, Nagle's
 * algorithm sends a segment at once, and every path takes one of this size.
 */
const ONE_SEGMENT = 512;

/** Microtasks from an awaited `send()` to the next read of a loop, and some to spare. */
const FLUSH_AFTER_MICROTASKS = 5;

/**
 * Writes all of what it is given, one write after the other. A write that finds no other in progress
 * is one `then` on the socket's own promise; only what must wait is queued.
 *
 * Frames are coalesced: the replies to what has arrived leave in one write, before the next read, at
 * 64 KiB, ahead of a plain write, and at the latest when the event loop comes round, for a handler
 * that waits for something else. At a depth of 16 requests that is 9 times the replies.
 */
export class ByteWriter {
  /** Those with frames that leave when the event loop comes round. */
  static #listed: ByteWriter[] = [];
  /** The same for frames of broadcasts. */
  static #sharing: ByteWriter[] = [];
  readonly #life: Lifeline;
  readonly #maxUnsent: number;
  readonly #rooms: Rooms;
  #current: Uint8Array = EMPTY;
  /** Bytes of the current write that left. */
  #sent = 0;
  /** What the caller of the current write holds, unless that came out of the queue. */
  #handed: Promise<unknown> | undefined;
  /** Bytes that left since the write began, or had advanced enough. */
  #progress = 0;
  /** Made when first needed, as are the frames: most connections never have one. */
  #queue: WriteQueue | undefined;
  /** What came out of the queue and is being done. */
  #turn: Turn | undefined;
  /** The FIN, once it was asked for. */
  #fin: Promise<unknown> | undefined;
  #frames: FrameBuffer | undefined;
  /** Frames of a broadcast that wait to leave; there are no others then. */
  #shared: SharedRange | undefined;
  /** What of them is being written. */
  #leaving: SharedRange | undefined;
  /** Broadcasts whose member this is. */
  #memberships: Set<Membership> | undefined;
  /** It is in the list of those that flush when the event loop comes round. */
  #isListed = false;
  /** The connection was closed before all of it was written. */
  #isCut = false;
  /** The event loop came round during a write: the frames leave when that has ended. */
  #isOverdue = false;
  /** Callers that wait until less is unsent. */
  #awaitingRoom: AwaitingRoom[] | undefined;
  /** Bytes that the current write is counted with, since the kernel has taken a part of it. */
  #stuck = 0;

  /**
   * @param life What is known of the socket.
   * @param maxUnsent Bytes that may wait behind the write in progress.
   * @param rooms What counts the memory of all connections of the server.
   */
  constructor(life: Lifeline, maxUnsent: number, rooms: Rooms) {
    this.#life = life;
    this.#maxUnsent = maxUnsent;
    this.#rooms = rooms;
  }

  /** Bytes that count as occupied by this writer; those of a broadcast for each that sends them. */
  get occupied(): number {
    const shared = (this.#shared?.length ?? 0) + (this.#leaving?.length ?? 0);
    return this.#stuck + shared + (this.#queue?.size ?? 0) + (this.#turn?.size ?? 0) +
      (this.#frames?.occupied ?? 0);
  }

  /** Bytes accepted by `write()` and `send()` that have not been handed to the kernel. */
  get unsentBytes(): number {
    if (this.#life.closed) return 0;
    return this.#current.length - this.#sent + (this.#queue?.length ?? 0) + this.coalesced;
  }

  /** Bytes of frames that wait to leave together. */
  get coalesced(): number {
    return this.#shared?.length ?? this.#frames?.length ?? 0;
  }

  /** Nothing can be queued any more without ending the connection. */
  get isFull(): boolean {
    return this.#queue !== undefined && this.#queue.size >= this.#maxUnsent;
  }

  /** The FIN was sent, or stands in the queue. */
  get finished(): boolean {
    return this.#fin !== undefined;
  }

  /** Writes all of `p` behind the frames sent before; resolves with its length. */
  write(p: Uint8Array): Promise<number> {
    if (this.coalesced === 0) return this.#write(p);
    // With nothing before it but frames that leave because of it, it waits for itself only.
    const isFirst = !this.#life.writing;
    this.flush();
    return this.#write(p, isFirst);
  }

  /** Coalesces bytes among the frames; resolves as for a frame. */
  coalesce(p: Uint8Array): Promise<unknown> {
    return this.send(RAW, p);
  }

  /** Coalesces a frame; resolves at once, or from 64 KiB on when everything was written. */
  send<T>(encoder: Encoder<T>, frame: T): Promise<unknown> {
    const refused = this.#refused();
    if (refused !== undefined) return refused;
    const frames = this.#frames ??= new FrameBuffer(this.#rooms);
    try {
      if (this.#shared !== undefined) this.#copyShared(this.#shared, frames);
      frames.put(encoder, frame);
    } catch (error) {
      return rejected(error);
    }
    return this.#coalesced(frames.length);
  }

  /**
   * Coalesces frames that other connections send, too, unless nothing can be sent any more: they are
   * copied only to stand among own ones.
   */
  share(shared: SharedFrames, from: number, to: number): boolean {
    if (this.#life.closed || this.finished) return false;
    if (from === to) return true;
    if (this.#life.writing) {
      if (this.coalesced > 0) this.flush();
      (this.#queue ??= new WriteQueue(this.#rooms)).share(shared, from, to);
      return true;
    }
    const before = this.#shared;
    if (this.coalesced === 0) {
      this.#shared = new SharedRange(shared, from, to, this.#rooms);
    } else if (before === undefined || !before.extend(shared, from, to)) {
      const frames = this.#frames ??= new FrameBuffer(this.#rooms);
      if (before !== undefined) this.#copyShared(before, frames);
      frames.put(RAW, shared.slice(from, to));
    }
    if (this.coalesced >= HIGH_WATER) this.flush();
    else if (before === undefined) ByteWriter.#share(this);
    return true;
  }

  /** Writes the coalesced frames; resolves when they, and everything before them, were written. */
  flush(): Promise<unknown> {
    const { closed, writing } = this.#life;
    if (this.coalesced === 0) return writing || closed ? this.#allWritten() : SENT;
    this.#isOverdue = false;
    const shared = this.#shared;
    if (shared !== undefined) {
      this.#shared = undefined;
      this.#leaving = shared;
      return this.#write(shared.bytes);
    }
    const frames = this.#frames!;
    return this.#write(writing ? frames.leaveLater() : frames.leave());
  }

  /** Remembers a broadcast, to leave it when nothing more can be sent; whether something can. */
  join(membership: Membership): boolean {
    if (this.#life.closed || this.finished) return false;
    (this.#memberships ??= new Set()).add(membership);
    return true;
  }

  /** Forgets a broadcast. */
  leave(membership: Membership): void {
    this.#memberships?.delete(membership);
  }

  /** Resolves once fewer than `n` bytes are unsent. */
  below(n: number): Promise<void> {
    if (this.#life.closed) return rejected(this.#life.refusal());
    if (this.unsentBytes < n) return SENT;
    const waiting = { n, ...Promise.withResolvers<void>() };
    waiting.promise.catch(() => {});
    (this.#awaitingRoom ??= []).push(waiting);
    return waiting.promise;
  }

  /** Sends FIN behind every write before it; resolves when it was sent. */
  finish(): Promise<unknown> {
    const life = this.#life;
    if (life.closed) return rejected(life.refusal());
    if (this.#fin !== undefined) return this.#fin;
    this.#leaveAll();
    return this.#fin = this.#behind(() => {
      life.advancedAt = life.clock.now;
      return life.socket.closeWrite();
    });
  }

  /** Takes a step behind every earlier write and before every later one. */
  async between<T>(step: () => Promise<T>): Promise<T> {
    const refused = this.#refused();
    if (refused !== undefined) return await refused;
    let result: T;
    await this.#behind(async () => {
      result = await step();
    });
    return result!;
  }

  /** Resolves when every write made so far has ended, whatever became of it. */
  async idle(): Promise<void> {
    if (!this.#life.writing) return;
    // The last in line settles last; with nothing in line it is the current one.
    await (this.#queue?.promise ?? this.#turn?.promise ?? this.#handed)?.catch(() => {});
  }

  /**
   * A handler that goes on to its next read flushes by itself, a few microtasks later. Only if it has
   * not by then is the event loop asked to come round, once for all connections: asked each time, it
   * would poll the kernel twice as often, which was a quarter of a small request.
   */
  static #flushSoon(waited: number): void {
    if (waited < FLUSH_AFTER_MICROTASKS) {
      return queueMicrotask(() => ByteWriter.#flushSoon(waited + 1));
    }
    ByteWriter.#listed = ByteWriter.#listed.filter((writer) => writer.#staysListed());
    if (ByteWriter.#listed.length > 0) setImmediate(ByteWriter.#flushListed);
  }

  /**
   * Lists one with frames of a broadcast. They leave when the event loop comes round in any case: looking
   * before whether they have left would be one more pass over all members.
   */
  static #share(writer: ByteWriter): void {
    if (ByteWriter.#sharing.push(writer) === 1) setImmediate(ByteWriter.#flushSharing);
  }

  static #flushSharing(): void {
    const sharing = ByteWriter.#sharing;
    ByteWriter.#sharing = [];
    for (const writer of sharing) if (writer.coalesced > 0) writer.#flushOnce();
  }

  static #flushListed(): void {
    const listed = ByteWriter.#listed;
    ByteWriter.#listed = [];
    for (const writer of listed) {
      if (writer.#staysListed()) writer.#flushOnce();
      writer.#isListed = false;
    }
  }

  /** Flushes now, or when the write in progress has ended. */
  #flushOnce(): void {
    if (this.#life.writing) this.#isOverdue = true;
    else this.flush();
  }

  /** Whether frames still wait; if not, it is off the list. */
  #staysListed(): boolean {
    return this.#isListed = this.coalesced > 0 && !this.#life.closed;
  }

  /** Frames have been coalesced, `length` bytes in all. */
  #coalesced(length: number): Promise<unknown> {
    if (length >= HIGH_WATER) return this.flush();
    if (!this.#isListed) {
      this.#isListed = true;
      if (ByteWriter.#listed.push(this) === 1) ByteWriter.#flushSoon(0);
    }
    return SENT;
  }

  /** Copies frames of a broadcast, to which own ones or those of another broadcast are joined. */
  #copyShared(shared: SharedRange, frames: FrameBuffer): void {
    frames.put(RAW, shared.bytes);
    this.#shared = undefined;
    shared.release();
  }

  #leaveAll(): void {
    const memberships = this.#memberships;
    this.#memberships = undefined;
    memberships?.forEach((membership) => membership.ended());
  }

  /** A rejection, if nothing can be written any more. */
  #refused(): Promise<never> | undefined {
    if (this.#life.closed) return rejected(this.#life.refusal());
    return this.finished ? rejected(new Deno.errors.BrokenPipe(AFTER_FIN)) : undefined;
  }

  #write(p: Uint8Array, isTaken = false): Promise<number> {
    const life = this.#life;
    if (life.closed || this.finished) return this.#refused()!;
    if (p.length === 0) return Promise.resolve(0);
    if (life.writing) return this.#enqueue(p, isTaken);
    life.writing = true;
    if (!life.reading) life.movedAt = life.clock.now;
    this.#begin(p);
    const handed = life.socket.write(p).then(this.#written, this.#lost);
    this.#handed = handed;
    return handed;
  }

  #begin(p: Uint8Array): void {
    const life = this.#life;
    if (life.noDelayDue && (life.bytesWritten > 0 || p.length > ONE_SEGMENT)) life.setNoDelay();
    this.#current = p;
    this.#sent = 0;
    this.#progress = 0;
    life.advancedAt = life.clock.now;
  }

  readonly #written = (n: number): number | Promise<number> => {
    this.#count(n);
    if (n < this.#current.length) return this.#writeRest();
    return this.#end();
  };

  readonly #lost = (error: unknown): never => this.#life.fail(this.#handed, error);

  #count(n: number): void {
    const life = this.#life;
    life.bytesWritten += n;
    life.movedAt = life.clock.now;
    this.#sent += n;
    this.#progress += n;
    if (this.#progress >= LEAST_PROGRESS) {
      this.#progress = 0;
      life.advancedAt = life.clock.now;
    }
    if (this.#awaitingRoom !== undefined) this.#resolveRoom(this.#awaitingRoom);
  }

  #resolveRoom(waiting: AwaitingRoom[]): void {
    const unsent = this.unsentBytes;
    for (const { n, resolve } of waiting) if (unsent < n) resolve();
    const left = waiting.filter(({ n }) => unsent >= n);
    this.#awaitingRoom = left.length > 0 ? left : undefined;
  }

  /** The kernel took a part: the peer reads more slowly than we write. */
  async #writeRest(): Promise<number> {
    // Frames are counted already. What is larger than an echo makes it is large by the program's will.
    if (this.#leaving === undefined && !this.#frames?.isLeaving) {
      this.#stuck = Math.min(this.#current.length - this.#sent, ReadSize.MOST);
      this.#rooms.take(this.#stuck);
    }
    try {
      await this.#writeOut();
    } catch (error) {
      return this.#lost(error);
    } finally {
      this.#unstick();
    }
    return this.#end();
  }

  #unstick(): void {
    this.#rooms.give(this.#stuck);
    this.#stuck = 0;
  }

  async #writeOut(): Promise<void> {
    const p = this.#current;
    for (let empty = 0; this.#sent < p.length;) {
      const n = await this.#life.socket.write(this.#sent === 0 ? p : p.subarray(this.#sent));
      empty = n === 0 ? empty + 1 : 0;
      // Without a limit, a socket that takes nothing at once would keep the whole process busy.
      if (empty > MOST_EMPTY_WRITES) {
        throw new Deno.errors.WriteZero("Cannot write: the socket takes no bytes");
      }
      this.#count(n);
    }
  }

  /** The current write is whole: the next in line begins. */
  #end(): number {
    const n = this.#current.length;
    this.#handed = undefined;
    this.#forgetCurrent();
    if (this.#queue === undefined || this.#queue.isEmpty) this.#allEnded();
    else this.#writeQueue();
    return n;
  }

  #forgetCurrent(): void {
    this.#current = EMPTY;
    this.#sent = 0;
    this.#life.advancedAt = -1;
    if (this.#leaving !== undefined) this.#left(this.#leaving);
  }

  #left(shared: SharedRange): void {
    this.#leaving = undefined;
    shared.release();
  }

  /** No write is in progress any more, and none waits. */
  #allEnded(): void {
    this.#life.writing = false;
    this.#frames?.written();
    if (this.#isOverdue && !this.#life.closed) this.flush();
  }

  /** Resolves when everything sent so far was written, unless it never will be. */
  #allWritten(): Promise<void> {
    const written = this.idle().then(() => {
      const { closed, error } = this.#life;
      if (closed && (this.#isCut || error !== undefined)) throw this.#life.refusal();
    });
    written.catch(() => {});
    return written;
  }

  #enqueue(p: Uint8Array, isTaken: boolean): Promise<number> {
    const queue = this.#queue ??= new WriteQueue(this.#rooms);
    if (queue.size < this.#maxUnsent || isTaken) return queue.add(p);
    const error = new Deno.errors.WouldBlock(
      `Cannot queue ${p.length} more bytes: ${queue.length} already wait behind the write in ` +
        `progress, ${queue.size} with their overhead, and 'maxUnsent' is ${this.#maxUnsent}; await ` +
        `each write, or look at 'unsentBytes' first`,
    );
    this.#life.end("write_overflow", error);
    return rejected(error);
  }

  /** Queues a step behind every write made so far. */
  #behind(step: () => Promise<unknown>): Promise<unknown> {
    if (this.coalesced > 0) this.flush();
    const taken = (this.#queue ??= new WriteQueue(this.#rooms)).addStep(step);
    if (!this.#life.writing) {
      this.#life.writing = true;
      this.#writeQueue();
    }
    return taken;
  }

  /** Works off the queue; what is added meanwhile is worked off as well. */
  async #writeQueue(): Promise<void> {
    // The caller of the write that has just ended learns of it before the next one begins.
    await null;
    const life = this.#life;
    try {
      for (let turn; !life.closed && (turn = this.#queue!.take()) !== undefined;) {
        this.#turn = turn;
        if (turn.step === undefined) {
          this.#begin(turn.bytes);
          await this.#writeOut();
        } else await turn.step();
        this.#turn = undefined;
        turn.resolve();
        this.#queue!.release(turn);
        this.#forgetCurrent();
      }
      this.#allEnded();
    } catch (error) {
      life.failed(error);
    }
  }

  /** The socket is closed: what still waits will never be sent. */
  closed(): void {
    this.#isCut = this.#life.writing || this.coalesced > 0;
    this.#life.writing = false;
    this.#unstick();
    this.#frames?.close();
    this.#shared?.release();
    this.#shared = undefined;
    if (this.#leaving !== undefined) this.#left(this.#leaving);
    this.#leaveAll();
    this.#awaitingRoom?.forEach(({ reject }) => reject(this.#life.refusal()));
    this.#awaitingRoom = undefined;
    // An error that no promise needs is 4 % of a short connection.
    if (this.#turn === undefined && (this.#queue === undefined || this.#queue.isEmpty)) return;
    const error = this.#life.failed(
      new Deno.errors.Interrupted("The connection was closed before everything was sent"),
    );
    if (this.#turn !== undefined) {
      this.#turn.reject(error);
      this.#queue!.release(this.#turn);
    }
    this.#queue?.reject(error);
  }
}

/** What is to know that a connection can send nothing more. */
export interface Membership {
  ended(): void;
}

/** A caller that waits until fewer than `n` bytes are unsent. */
interface AwaitingRoom extends PromiseWithResolvers<void> {
  readonly n: number;
}

const EMPTY = new Uint8Array(0);
const SENT: Promise<void> = Promise.resolve();
const RAW: Encoder<Uint8Array> = { encode: (p) => p };
const AFTER_FIN = "Cannot write after closeWrite() or end()";
