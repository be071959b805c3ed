/** Slots, each the right to hold one connection, shared by all listeners of a server. @module */

import type { Semaphore } from "./limits.ts";

/**
 * The slots of one server.
 *
 * Accept is called only while a slot is free, so the kernel's queue holds the clients beyond
 * `maxConnections`. An accept that was pending when another listener took the last slot, when the
 * limit was lowered or when the server was paused cannot be taken back: its connection is over-limit
 * and waits first in line.
 */
export class Slots {
  readonly #semaphore: Semaphore;
  readonly #onFree = () => this.#changed();
  #paused = false;
  readonly #line: ((taken: boolean) => void)[] = [];
  #change: PromiseWithResolvers<void> | undefined;
  #saturatedSince: number | undefined;
  #saturatedFor = 0;

  /** @param semaphore Counts the slots, of this server alone or of several threads. */
  constructor(semaphore: Semaphore) {
    this.#semaphore = semaphore;
  }

  /** How many slots there are. */
  get limit(): number {
    return this.#semaphore.limit;
  }

  set limit(limit: number) {
    this.#semaphore.limit = limit;
    this.#changed();
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Every slot is taken. */
  get saturated(): boolean {
    return !this.#semaphore.free;
  }

  /** Ms for which every slot was taken, so far. */
  get saturatedFor(): number {
    return this.#saturatedFor +
      (this.#saturatedSince === undefined ? 0 : performance.now() - this.#saturatedSince);
  }

  /** A slot is free, and no over-limit connection waits for it. */
  get free(): boolean {
    return !this.#paused && !this.saturated && this.#line.length === 0;
  }

  /** Resolves at the next change of what decides whether a slot is free; to be called while none is. */
  changed(): Promise<void> {
    this.#change ??= Promise.withResolvers();
    this.#watch();
    return this.#change.promise;
  }

  /** Takes a slot if one is free. Whether it did. */
  take(): boolean {
    if (this.#paused || this.#line.length > 0 || !this.#semaphore.take()) return false;
    this.#measure();
    return true;
  }

  /** Takes a slot as soon as those before in the line have theirs. `false` after `dismiss()`. */
  wait(): Promise<boolean> {
    if (this.take()) return Promise.resolve(true);
    return new Promise((resolve) => {
      this.#line.push(resolve);
      this.#watch();
    });
  }

  /** Gives back one that was taken; once for each. */
  giveBack(): void {
    this.#semaphore.giveBack();
    this.#changed();
  }

  pause(): void {
    this.#paused = true;
    this.#changed();
  }

  resume(): void {
    this.#paused = false;
    this.#changed();
  }

  /** Ends the waiting of the whole line without a slot. */
  dismiss(): void {
    for (const resolve of this.#line.splice(0)) resolve(false);
    this.#changed();
  }

  #changed(): void {
    while (!this.#paused && this.#line.length > 0 && this.#semaphore.take()) {
      this.#line.shift()!(true);
    }
    this.#measure();
    this.#change?.resolve();
    this.#change = undefined;
    if (this.#line.length > 0) this.#watch();
  }

  /** Another thread may free a slot, too; during a pause none is wanted. */
  #watch(): void {
    if (!this.#paused) this.#semaphore.watch(this.#onFree);
  }

  #measure(): void {
    if (this.saturated === (this.#saturatedSince !== undefined)) return;
    const now = performance.now();
    if (this.#saturatedSince !== undefined) this.#saturatedFor += now - this.#saturatedSince;
    this.#saturatedSince = this.saturated ? now : undefined;
  }
}
