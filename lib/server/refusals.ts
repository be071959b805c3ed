/** Reports refused connections in aggregate. @module */

import type { CoarseClock, Ticking } from "../connection/coarse_clock.ts";
import { RefusedError } from "../errors.ts";
import { peerKey } from "../wire/address/peer_key.ts";
import type { Reporter } from "./reporter.ts";
import type { RefusalCause } from "./statistics.ts";

/** Ms that are reported in one line: an attack would fill the log with lines of its own. */
const WINDOW = 10_000;

/** Peers that are counted separately in that time; one that matters is among the first. */
const MAX_PEERS = 1000;

/** The causes that are about one peer. */
const OF_A_PEER: readonly RefusalCause[] = ["peerLimit", "rate"];

/** Counts refusals, and reports them together some seconds after the first of them. */
export class Refusals implements Ticking {
  readonly #clock: CoarseClock;
  readonly #reporter: Reporter;
  /** Refused connections that are still being sent the reason. */
  lingering = 0;
  readonly #counts: Partial<Record<RefusalCause, number>> = {};
  /** Connections beyond the limits per peer, by peer. */
  readonly #peers = new Map<string, number>();
  /** On the clock: when the first of them was refused. */
  #since: number | undefined;

  constructor(clock: CoarseClock, reporter: Reporter) {
    this.#clock = clock;
    this.#reporter = reporter;
  }

  /** Counts a connection that was refused, of a client at `addr` if that matters. */
  add(cause: RefusalCause, addr?: Deno.Addr): void {
    if (this.#since === undefined) {
      this.#since = this.#clock.now;
      this.#clock.watch(this);
    }
    this.#counts[cause] = (this.#counts[cause] ?? 0) + 1;
    if (!OF_A_PEER.includes(cause) || addr === undefined || !("hostname" in addr)) return;
    const key = peerKey(addr.hostname);
    const count = this.#peers.get(key) ?? 0;
    if (count > 0 || this.#peers.size < MAX_PEERS) this.#peers.set(key, count + 1);
  }

  tick(now: number): void {
    if (now >= this.#since! + WINDOW) this.report();
  }

  /** Reports what was not reported yet, if there is something. */
  report(): void {
    if (this.#since === undefined) return;
    const seconds = Math.max(1, Math.round((this.#clock.now - this.#since) / 1000));
    const counts = { ...this.#counts };
    for (const cause of Object.keys(counts)) delete this.#counts[cause as RefusalCause];
    const [peer] = [...this.#peers].toSorted(([, one], [, other]) => other - one)[0] ?? [];
    this.#peers.clear();
    this.#since = undefined;
    this.#clock.unwatch(this);
    this.#reporter.report(new RefusedError(counts, seconds, peer));
  }
}
