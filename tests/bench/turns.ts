/** Lets measurements that are all under way run one at a time. @module */

export class Turns {
  readonly #waiting: (() => void)[] = [];
  #taken = false;

  /** Resolves when nothing else runs; those who wait come in the order of their calls. */
  async take(): Promise<void> {
    if (this.#taken) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#taken = true;
  }

  /** Ends the caller's turn. */
  pass(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#taken = false;
    else next();
  }

  /** Lets everything else that waits have its turn first. */
  async yield(): Promise<void> {
    this.pass();
    await this.take();
  }
}
