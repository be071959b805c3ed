/** May another one come in? @module */

/** The right to hold one connection; given back once, however often it is disposed. */
export class Slot implements Disposable {
  #admission: Admission | undefined;

  constructor(admission: Admission) {
    this.#admission = admission;
  }

  [Symbol.dispose](): void {
    this.#admission?.giveBack();
    this.#admission = undefined;
  }
}

/**
 * The slots of one server, shared by all its listeners.
 *
 * Nothing is accepted without a free slot, so the kernel's queue holds what is too many. An accept
 * that was pending when the last slot went to another listener, when the limit was lowered or the
 * server paused cannot be taken back: its socket is a surplus and stands first in line.
 */
export class Admission {
  #limit: number;
  #taken = 0;
  #paused = false;
  readonly #line: ((slot: Slot | null) => void)[] = [];
  #change: PromiseWithResolvers<void> | undefined;
  #fullSince: number | undefined;
  #fullFor = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many slots there are. */
  get limit(): number {
    return this.#limit;
  }

  set limit(limit: number) {
    this.#limit = limit;
    this.#moveOn();
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** Every slot is taken. */
  get full(): boolean {
    return this.#taken >= this.#limit;
  }

  /** Ms for which every slot was taken. */
  get fullFor(): number {
    return this.#fullFor +
      (this.#fullSince === undefined ? 0 : performance.now() - this.#fullSince);
  }

  /** A slot is to be had at once: nobody stands in line for it. */
  get open(): boolean {
    return !this.#paused && !this.full && this.#line.length === 0;
  }

  /** Resolves at the next change of anything that decides who may come in. */
  changed(): Promise<void> {
    this.#change ??= Promise.withResolvers();
    return this.#change.promise;
  }

  /** A slot, or `null` when none is to be had at once. */
  take(): Slot | null {
    return this.open ? this.#next() : null;
  }

  /** A slot as soon as those before have theirs; `null` if the line is sent away. */
  wait(): Promise<Slot | null> {
    if (this.open) return Promise.resolve(this.#next());
    return new Promise((resolve) => {
      this.#line.push(resolve);
    });
  }

  pause(): void {
    this.#paused = true;
    this.#moveOn();
  }

  resume(): void {
    this.#paused = false;
    this.#moveOn();
  }

  /** Nobody who stands in line will get a slot. */
  sendAway(): void {
    for (const turn of this.#line.splice(0)) turn(null);
    this.#moveOn();
  }

  /** Called by the slot. */
  giveBack(): void {
    this.#taken--;
    this.#moveOn();
  }

  #next(): Slot {
    this.#taken++;
    this.#watchTheClock();
    return new Slot(this);
  }

  #moveOn(): void {
    while (!this.#paused && !this.full && this.#line.length > 0) this.#line.shift()!(this.#next());
    this.#watchTheClock();
    this.#change?.resolve();
    this.#change = undefined;
  }

  #watchTheClock(): void {
    if (this.full === (this.#fullSince !== undefined)) return;
    const now = performance.now();
    if (this.#fullSince !== undefined) this.#fullFor += now - this.#fullSince;
    this.#fullSince = this.full ? now : undefined;
  }
}
