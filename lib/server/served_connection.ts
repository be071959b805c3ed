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
 * its TLS handshake, or is the handler's. `abandoned`: its handler did not settle in time.
 */
export type Stage = "over-limit" | "proxy-header" | "tls-handshake" | "serving" | "abandoned";

/** The connection that a handler gets from a server. */
export class ServedConnection<A extends Deno.Addr = Deno.Addr> extends SocketConnection<A> {
  stage: Stage = "over-limit";
  /** It holds a slot. */
  hasSlot = false;
  /** The peer that it counts for, where there is a limit. */
  countedFor: string | undefined;
  /** On the clock: since when it is drained; `undefined` while it is not. */
  #drainedAt: number | undefined;
  #drainer: AbortController | undefined;
  #age: AgeLimit | undefined;

  /** Bytes of the PROXY header and of TLS do not count, so none does before it is identified. */
  override get bytesRead(): number {
    return this.stage === "serving" || this.stage === "abandoned" ? this.life.bytesRead : 0;
  }

  override get draining(): boolean {
    return this.#drainedAt !== undefined;
  }

  override get drainSignal(): AbortSignal {
    this.#drainer ??= new AbortController();
    if (this.draining) this.#drainer.abort(this.#drainReason());
    return this.#drainer.signal;
  }

  /** Asks the handler to finish. */
  drain(): void {
    if (this.draining) return;
    // Not `now`, which may be long ago behind a slow handler.
    this.#drainedAt = this.life.clock.deadline(0) - TICK;
    this.#drainer?.abort(this.#drainReason());
  }

  /**
   * Drains the connection after `maxAge` ms, give or take a tenth, so that those which came together do
   * not all leave together; and ends it `timeout` ms later.
   */
  limitAge(maxAge: number, timeout: number): void {
    const { clock } = this.life;
    const age = maxAge * (1 - AGE_SPREAD + 2 * AGE_SPREAD * Math.random());
    this.#age = { drainAt: clock.deadline(age), endAt: clock.deadline(age + timeout) };
  }

  /** Called at each tick of the server's clock. */
  tick(now: number): void {
    this.life.tick(now);
    if (this.#age !== undefined) this.#tickAge(this.#age, now);
    if (this.#drainedAt === undefined) return;
    const { bytesRead, movedAt } = this.life;
    const quiet = bytesRead === 0
      ? this.#drainedAt + FIRST_BYTE_TIMEOUT
      : Math.max(this.#drainedAt, movedAt) + DRAIN_QUIET;
    if (now >= quiet + TICK) this.reader.endLoop();
  }

  #tickAge({ drainAt, endAt }: AgeLimit, now: number): void {
    if (now < drainAt) return;
    this.drain();
    if (now < endAt || this.life.closed) return;
    this.life.timeOut("max_age", "its handler did not return within 'shutdownTimeout' of 'maxAge'");
  }

  #drainReason(): DOMException {
    const old = this.#age !== undefined && this.life.clock.now >= this.#age.drainAt;
    return new DOMException(
      old ? "The connection has reached 'maxAge'" : "The server is stopping",
      "AbortError",
    );
  }
}

/** On the clock: when a connection is drained for its age, and when it is ended. */
interface AgeLimit {
  readonly drainAt: number;
  readonly endAt: number;
}
