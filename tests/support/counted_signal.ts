/** A signal that counts its listeners. @module */

/** An abort signal that counts its listeners. */
export class CountedSignal extends EventTarget implements AbortSignal {
  aborted = false;
  reason: unknown;
  onabort: AbortSignal["onabort"] = null;
  readonly #listeners = new Set<unknown>();

  /** How many listeners there are now. */
  get listeners(): number {
    return this.#listeners.size;
  }

  /** Aborts it, as its controller would. */
  abort(reason: unknown): void {
    this.aborted = true;
    this.reason = reason;
    this.dispatchEvent(new Event("abort"));
  }

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  override addEventListener(...args: Parameters<EventTarget["addEventListener"]>): void {
    this.#listeners.add(args[1]);
    super.addEventListener(...args);
  }

  override removeEventListener(...args: Parameters<EventTarget["removeEventListener"]>): void {
    this.#listeners.delete(args[1]);
    super.removeEventListener(...args);
  }
}
