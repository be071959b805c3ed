/** A socket that reads the memory of a write only when the write completes. @module */

import { ScriptedSocket } from "./scripted_socket.ts";

/**
 * A scripted socket whose writes wait, and which, as a kernel does, reads the memory of each only when
 * the test lets it: what was overwritten meanwhile arrives wrong.
 */
export class LateSocket extends ScriptedSocket {
  /** The writes that wait: the memory itself, not a copy. */
  readonly late: { readonly p: Uint8Array; readonly settle: PromiseWithResolvers<number> }[] = [];
  readonly #received: Uint8Array[] = [];

  /** Everything that was received so far. */
  get received(): Uint8Array {
    const all = new Uint8Array(this.#received.reduce((sum, { length }) => sum + length, 0));
    let at = 0;
    for (const part of this.#received) {
      all.set(part, at);
      at += part.length;
    }
    return all;
  }

  override write(p: Uint8Array): Promise<number> {
    if (this.closed) return super.write(p);
    const settle = Promise.withResolvers<number>();
    this.late.push({ p, settle });
    this.mostWrites = Math.max(this.mostWrites, this.late.length);
    return settle.promise;
  }

  /** Lets the waiting write take `n` bytes, or all. */
  let(n: number = Infinity): void {
    const { p, settle } = this.late.shift()!;
    this.#received.push(p.slice(0, n));
    settle.resolve(Math.min(n, p.length));
  }

  override close(): void {
    super.close();
    const error = Object.assign(new Deno.errors.Interrupted("operation canceled"), {
      code: "EINTR",
    });
    for (const { settle } of this.late.splice(0)) settle.reject(error);
  }
}
