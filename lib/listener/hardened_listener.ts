/** A Deno.Listener that no client can end. @module */

import { Acceptor } from "./accept.ts";
import { setSocketOptions } from "../set_socket_options.ts";
import type { Bound } from "./bind.ts";

/** A `Deno.Listener` over a bare one, with the accept loop's way of sorting failures. */
export class HardenedListener<T extends Deno.Conn, A extends Deno.Addr>
  implements Deno.Listener<T, A> {
  readonly bound: Bound;
  readonly #acceptor: Acceptor;
  #accepting = false;

  constructor(bound: Bound) {
    this.bound = bound;
    this.#acceptor = new Acceptor(bound.listener, { aborted() {}, resources() {} });
  }

  get addr(): A {
    return this.bound.listener.addr as A;
  }

  async accept(): Promise<T> {
    if (this.#accepting) {
      throw new Deno.errors.Busy("Cannot accept while another accept is pending");
    }
    this.#accepting = true;
    try {
      const socket = await this.#acceptor.next();
      if (socket === null) throw new Deno.errors.BadResource("Listener has been closed");
      setSocketOptions(socket, this.bound);
      return socket as T;
    } finally {
      this.#accepting = false;
    }
  }

  close(): void {
    this.#acceptor.close();
  }

  ref(): void {
    this.#acceptor.ref();
  }

  unref(): void {
    this.#acceptor.unref();
  }

  /**
   * No generator: that would put `return()` off until the pending accept has settled, and close the
   * listener when one accept too many is refused as `Busy`.
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<T> {
    const done: IteratorReturnResult<undefined> = { done: true, value: undefined };
    return {
      next: async () => {
        try {
          return { done: false, value: await this.accept() };
        } catch (error) {
          if (error instanceof Deno.errors.BadResource) return done;
          throw error;
        }
      },
      return: () => {
        this.close();
        return Promise.resolve(done);
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
