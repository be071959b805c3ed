/** Keeps the addresses of a fleet open while its workers come and go. @module */

import { extendMessage } from "../errors.ts";
import { formatAddress } from "../format_address.ts";
import type { SharedAddress } from "./messages.ts";

/** Addresses of all fleets of this process: Deno would let a second fleet share the first one's queue. */
const taken = new Set<string>();

/**
 * A clone of each listener, which never accepts. While it is open the kernel's queue outlives every
 * worker: after a crash of the last one clients wait instead of being refused.
 */
export class Door implements Disposable {
  readonly addresses: readonly SharedAddress[];
  readonly #clones: Deno.Listener[] = [];
  readonly #keys: string[] = [];

  /** @throws {Deno.errors.AddrInUse} If another fleet of this process has one of them. */
  constructor(addresses: readonly SharedAddress[]) {
    this.addresses = addresses;
    try {
      for (const address of addresses) this.#hold(address);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Whether these are the addresses that it holds. */
  isOf(addresses: readonly SharedAddress[]): boolean {
    return JSON.stringify(addresses.map(keyOf)) === JSON.stringify(this.addresses.map(keyOf));
  }

  #hold({ hostname, port, tcpBacklog }: SharedAddress): void {
    const key = keyOf({ hostname, port });
    const where = formatAddress({ transport: "tcp", hostname, port });
    if (taken.has(key)) {
      throw new Deno.errors.AddrInUse(
        `Cannot listen on ${where}: another fleet of this process has it; use another port`,
      );
    }
    const options = { hostname, port, tcpBacklog, loadBalanced: true };
    try {
      this.#clones.push(Deno.listen(options));
    } catch (error) {
      extendMessage(error, `Cannot hold ${where} open: `);
      throw error;
    }
    taken.add(key);
    this.#keys.push(key);
  }

  /** Closes the clones: with the workers' own the queue is gone. */
  [Symbol.dispose](): void {
    for (const clone of this.#clones.splice(0)) clone.close();
    for (const key of this.#keys.splice(0)) taken.delete(key);
  }
}

function keyOf({ hostname, port }: Pick<SharedAddress, "hostname" | "port">): string {
  return `${hostname}:${port}`;
}
