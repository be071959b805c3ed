/** Listens with descriptors in reserve, so that a probe is accepted when the process has no other left. @module */

import { formatAddress } from "../format_address.ts";
import { type DescriptorReserve, descriptorReserves } from "../listener/descriptor_reserves.ts";

/**
 * Descriptors in reserve: for the probes of an orchestrator, a balancer and a monitoring system at
 * once, with some strangers among them.
 */
const RESERVE = 8;

/** With fewer descriptors in reserve, a connection has to close for each one that is accepted. */
const LOW = 3;

/** An `accept()` that finds a client waiting settles within this many microtasks. */
const READY_MICROTASKS = 6;

/** Ms between two tries to accept while the reserve is empty. */
const PAUSE = 5;

/** How often another free port is chosen, if a program takes it before it is bound again. */
const ATTEMPTS = 5;

/** EMFILE and ENFILE by their numbers: in Deno the latter has no code. */
const SHORTAGE = /\(os error 2[34]\)/;

/**
 * A TCP listener that gives up a descriptor of its reserve for each client that could not be accepted
 * otherwise, and takes back the next one that is free.
 *
 * The reserve consists of clones of the listener (`loadBalanced`), on which nothing is ever accepted:
 * unlike a file or another listener, a clone needs no permission that the listener did not need.
 */
export class ReservedListener
  implements Deno.Listener<Deno.TcpConn, Deno.NetAddr>, DescriptorReserve {
  readonly #listener: Deno.TcpListener;
  readonly #makeRoom: () => void;
  readonly #reserve: Deno.TcpListener[] = [];
  /** How many there are in a full reserve; 0 if the listener cannot be cloned, or is closed. */
  #size = RESERVE;

  /** @param makeRoom Closes a connection that can be spared; called when a client came and the reserve is low. */
  constructor(hostname: string, port: number, makeRoom: () => void) {
    const { listener, canBeCloned } = listenAlone(hostname, port);
    this.#listener = listener;
    this.#makeRoom = makeRoom;
    if (canBeCloned && this.refill()) descriptorReserves.add(this);
    else this.#empty();
  }

  get addr(): Deno.NetAddr {
    return this.#listener.addr;
  }

  async accept(): Promise<Deno.TcpConn> {
    for (;;) {
      try {
        const socket = await this.#listener.accept();
        this.refill();
        if (this.#size > 0 && this.#reserve.length < LOW) this.#makeRoom();
        return socket;
      } catch (error) {
        const isShort = error instanceof Error && SHORTAGE.test(error.message);
        if (!isShort || this.#size === 0) throw error;
        const spare = this.#reserve.pop();
        if (spare === undefined) await this.#pause();
        // The accept4(2) of the next round follows at once, so nothing else gets this descriptor. But
        // without a descriptor accept4(2) fails whether a client waits or not.
        else {
          spare.close();
          this.#refillUnlessAccepted();
        }
      }
    }
  }

  close(): void {
    descriptorReserves.delete(this);
    this.#listener.close();
    this.#empty();
  }

  ref(): void {
    this.#listener.ref();
  }

  unref(): void {
    this.#listener.unref();
  }

  async *[Symbol.asyncIterator](): AsyncIterableIterator<Deno.TcpConn> {
    try {
      for (;;) yield await this.accept();
    } catch (error) {
      if (!(error instanceof Deno.errors.BadResource)) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Before anything but microtasks can run, and so before another accept of this process. */
  async #refillUnlessAccepted(): Promise<void> {
    for (let i = 0; i < READY_MICROTASKS; i++) await null;
    this.refill();
  }

  /** Until a connection that made room has given up its descriptor. */
  async #pause(): Promise<void> {
    await new Promise((resolve) => {
      Deno.unrefTimer(setTimeout(resolve, PAUSE) as unknown as number);
    });
    this.refill();
  }

  refill(): boolean {
    try {
      while (this.#reserve.length < this.#size) this.#reserve.push(listenShared(this.addr));
    } catch {
      // None is free, or this Deno clones no listeners.
    }
    return this.#reserve.length === this.#size;
  }

  #empty(): void {
    this.#size = 0;
    for (const spare of this.#reserve.splice(0)) spare.close();
  }
}

/** A listener that can be cloned, where permissions and system allow it. */
function listenAlone(
  hostname: string,
  port: number,
): { readonly listener: Deno.TcpListener; readonly canBeCloned: boolean } {
  for (let attempt = 1;; attempt++) {
    // Not as a clone at first: where another listener of this process can be cloned already, that
    // would share its clients rather than throw AddrInUse; and at port 0 all clones are one.
    const listener = Deno.listen({ hostname, port });
    const { addr } = listener;
    const host = formatAddress(addr).slice("tcp://".length);
    const { state } = Deno.permissions.querySync({ name: "net", host });
    // Windows has no limit that is reached as easily.
    if (state !== "granted" || Deno.build.os === "windows") return { listener, canBeCloned: false };
    listener.close();
    try {
      return { listener: listenShared(addr), canBeCloned: true };
    } catch (error) {
      const isTaken = error instanceof Deno.errors.AddrInUse;
      if (!isTaken || port !== 0 || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Clones the listener of this address in this process, or makes the first one. */
function listenShared({ hostname, port }: Deno.NetAddr): Deno.TcpListener {
  const options = { hostname, port, loadBalanced: true };
  return Deno.listen(options);
}
