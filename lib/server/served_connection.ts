/** A connection with what only its server knows of it. @module */

import { TICK } from "../connection/coarse_clock.ts";
import { SocketConnection } from "../connection/socket_connection.ts";

/**
 * Ms without a byte received after which a loop ends when the connection is drained: what was on its
 * way has arrived by then.
 */
const DRAIN_QUIET = 100;

/** The same for a connection on which nothing has arrived yet: it was opened to say something. */
const FIRST_BYTE_TIMEOUT = 5000;

/** By which part of itself `maxAge` is made longer or shorter. */
const AGE_SPREAD = 0.1;

/**
 * How far the server has come with a connection: it waits for a slot, sends its PROXY header, makes
 * its TLS handshake, waits for the answer of `admit`, or is the handler's. `abandoned`: its handler did
 * not settle in time.
 */
export type Stage =
  | "over-limit"
  | "proxy-header"
  | "tls-handshake"
  | "admission"
  | "serving"
  | "abandoned";

/** What `admit` gave for a connection: held, or on its way back. */
export type Lease = Disposable | AsyncDisposable | "returning";

/** The connection that a handler gets from a server. */
export class ServedConnection<A extends Deno.Addr = Deno.Addr> extends SocketConnection<A> {
  stage: Stage = "over-limit";
  /** Where it stands in the set of connections. */
  place = -1;
  /** It is among those that linger. */
  lingers = false;
  /** It holds a slot. */
  hasSlot = false;
  /** The peer that it counts for, where there is a limit. */
  countedFor: string | undefined;
  /** On the clock: when it is to be the handler's; set where `admit` is asked. */
  dueAt: number = Infinity;
  /** Resolved when `admit` has answered or its time is over; there only until then. */
  asked: PromiseWithResolvers<void> | undefined;
  /** What `admit` gave for it. */
  lease: Lease | undefined;
  #draining: Draining | undefined;
  #drainer: AbortController | undefined;
  #age: AgeLimit | undefined;

  /** Bytes of the PROXY header and of TLS do not count, so none does before it is identified. */
  override get bytesRead(): number {
    return this.stage === "serving" || this.stage === "abandoned" ? this.life.bytesRead : 0;
  }

  override get draining(): boolean {
    return this.#draining !== undefined;
  }

  override get drainSignal(): AbortSignal {
    this.#drainer ??= new AbortController();
    if (this.#draining !== undefined) this.#drainer.abort(this.#draining.reason);
    return this.#drainer.signal;
  }

  /**
   * Asks the handler to finish. Of several calls the first gives the reason; the earliest end of loops
   * counts.
   *
   * @param reason Why, for `drainSignal`.
   * @param letGoAfter Ms after which loops end at the next boundary, even if the peer goes on sending.
   */
  drain(reason: DOMException, letGoAfter: number): void {
    const { clock } = this.life;
    // Not `now`, which may be long ago behind a slow handler.
    const since = clock.deadline(0) - TICK;
    this.#draining ??= { since, reason, letGoAt: Infinity };
    this.#draining.letGoAt = Math.min(this.#draining.letGoAt, clock.deadline(letGoAfter));
    this.#drainer?.abort(this.#draining.reason);
  }

  /** Whether `thrown` is what an operation rejects with that `drainSignal` has aborted. */
  isDrainReason(thrown: unknown): boolean {
    return this.#draining !== undefined && this.#draining.reason === thrown;
  }

  /**
   * Drains the connection after `maxAge` ms, give or take a tenth, so that those which came together do
   * not all leave together; and ends it `timeout` ms later.
   */
  limitAge(maxAge: number, timeout: number): void {
    const { clock } = this.life;
    const age = maxAge * (1 - AGE_SPREAD + 2 * AGE_SPREAD * Math.random());
    this.#age = { drainAt: clock.deadline(age), endAt: clock.deadline(age + timeout), timeout };
  }

  /** Called at each tick of the server's clock. */
  tick(now: number): void {
    if (this.asked !== undefined) this.#tickAdmission(this.asked, now);
    this.life.tick(now);
    if (this.#age !== undefined) this.#tickAge(this.#age, now);
    if (this.#draining === undefined) return;
    if (now >= this.#draining.letGoAt) return this.reader.endLoops();
    if (now >= this.#quietFrom(this.#draining.since) + TICK) this.#endQuietLoop();
  }

  /** From when on the peer is quiet, if nothing more is received. */
  #quietFrom(drainedAt: number): number {
    const { bytesRead, receivedAt } = this.life;
    if (bytesRead === 0) return drainedAt + FIRST_BYTE_TIMEOUT;
    return Math.max(drainedAt, receivedAt) + DRAIN_QUIET;
  }

  /** Behind a slow handler something may have arrived that is read only within the next turn. */
  #endQuietLoop(): void {
    const { bytesRead } = this.life;
    setImmediate(() => {
      if (this.life.bytesRead === bytesRead) this.reader.endLoop();
    });
  }

  /** The peer waits for us, and does not have to say anything meanwhile. */
  #tickAdmission(asked: PromiseWithResolvers<void>, now: number): void {
    this.life.movedAt = this.life.receivedAt = now;
    if (now < this.dueAt) return;
    this.life.timeOut("refused_admit", "'admit' did not settle within 'handshakeTimeout'");
    this.asked = undefined;
    asked.resolve();
  }

  #tickAge({ drainAt, endAt, timeout }: AgeLimit, now: number): void {
    if (now < drainAt) return;
    if (!this.draining) this.drain(new DOMException(OLD, "AbortError"), timeout / 3);
    if (now < endAt || this.life.closed) return;
    this.life.timeOut("max_age", "its handler did not return within 'shutdownTimeout' of 'maxAge'");
  }
}

const OLD = "The connection has reached 'maxAge'";

/** Why and since when a connection is drained. */
interface Draining {
  readonly reason: DOMException;
  /** On the clock. */
  readonly since: number;
  /** On the clock: when loops end even though the peer is not quiet. */
  letGoAt: number;
}

/** On the clock: when a connection is drained for its age, and when it is ended. */
interface AgeLimit {
  readonly drainAt: number;
  readonly endAt: number;
  /** Ms between the two. */
  readonly timeout: number;
}
