/** Models a limited rate by a token bucket. @module */

/** A token bucket. */
export class TokenBucket {
  readonly #interval: number;
  readonly #most: number;
  /** What has come in, in ms of the rate: a token is worth `interval` of them. */
  #credit: number;

  /** @param more Ms of the rate that it holds beyond its tokens. */
  constructor({ interval, burst }: { interval: number; burst: number }, more = 0) {
    this.#interval = interval;
    this.#most = interval * burst + more;
    this.#credit = this.#most;
  }

  /** Time passes. */
  pass(ms: number): void {
    this.#credit = Math.min(this.#most, this.#credit + ms);
  }

  /** Ms until there is a token. */
  get wait(): number {
    return Math.max(0, this.#interval - this.#credit);
  }

  /** Takes a token, even one that is not there yet. */
  take(): void {
    this.#credit -= this.#interval;
  }
}
