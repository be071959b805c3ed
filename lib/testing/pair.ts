/** Makes the two ends of an in-memory connection. @module */

import { checkKeys } from "../check.ts";
import { completeFaults, type Faults } from "./faults.ts";
import { MemorySocket } from "./memory_socket.ts";
import { type Fate, Pipe } from "./pipe.ts";

/** Default address of the first end; RFC 5737 reserves this network for examples. */
export const CLIENT: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.2", port: 40_007 };

/** Default address of the second end. */
export const SERVER: Deno.NetAddr = { transport: "tcp", hostname: "192.0.2.1", port: 7 };

/**
 * One end of an in-memory connection. It behaves as a `Deno.TcpConn` does on Linux, errors included.
 *
 * @typeParam A The kind of address.
 *
 * @example A client that resets
 * ```ts
 * import { type End, pair } from "@usher/server/testing";
 * import { assertRejects } from "@std/assert";
 *
 * const [client, server]: [End, End] = pair();
 * const reading = server.read(new Uint8Array(10));
 * client.reset();
 * await assertRejects(() => reading, Deno.errors.ConnectionReset);
 * ```
 *
 * @category Testing
 */
export interface End<A extends Deno.Addr = Deno.NetAddr> extends Deno.Conn<A> {
  /**
   * Resets the connection: whatever waits at either end rejects with `ConnectionReset`, or else the
   * next operation does. What has arrived can be read first.
   */
  reset(): void;
}

/**
 * The addresses of the two ends, and the faults between them.
 *
 * @typeParam A The kind of address.
 *
 * @example A buffer that fills up soon
 * ```ts
 * import { pair, type PairOptions } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const options: PairOptions = { toSecond: { capacity: 3 } };
 * const [first, second] = pair(options);
 * assertEquals(await first.write(new Uint8Array(5)), 3);
 * const more = first.write(new Uint8Array(2)); // waits until there is room
 * assertEquals(await second.read(new Uint8Array(10)), 3);
 * assertEquals(await more, 2);
 * ```
 *
 * @category Testing
 */
export interface PairOptions<A extends Deno.Addr = Deno.NetAddr> {
  /** The addresses of the first and of the second end; TCP addresses unless given. */
  addrs?: readonly [first: A, second: A];
  /** Faults on the way from the second end to the first. */
  toFirst?: Faults;
  /** Faults on the way from the first end to the second. */
  toSecond?: Faults;
}

/**
 * Makes the two ends of an in-memory connection, with half-close, a bounded buffer, partial reads and
 * writes, and resets, as with sockets.
 *
 * A read returns bytes of one write only, so what is written in two pieces is read in two. Nothing
 * waits for a timer; the event loop gets a turn after each 1024 operations.
 *
 * @param options Addresses and faults.
 * @returns The two ends. Nothing leaks if they are not closed.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 *
 * @example Copy from one connection to another
 * ```ts
 * import { copy } from "@usher/server";
 * import { pair } from "@usher/server/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [source, from] = pair();
 * const [to, sink] = pair({ toSecond: { bytesPerWrite: 2 } });
 * const copied = copy(from, to);
 * await source.write(new TextEncoder().encode("hello"));
 * await source.closeWrite();
 * assertEquals(await copied, 5);
 * to.close();
 * assertEquals(await new Response(sink.readable).text(), "hello");
 * ```
 *
 * @category Testing
 */
export function pair<A extends Deno.Addr = Deno.NetAddr>(
  options: PairOptions<A> = {},
): [first: End<A>, second: End<A>] {
  const verb = "make a pair";
  checkKeys(verb, options, ["addrs", "toFirst", "toSecond"]);
  const { addrs: [here, there] = [CLIENT as Deno.Addr as A, SERVER as Deno.Addr as A] } = options;
  const first: Fate = { reset: false, reported: false };
  const second: Fate = { reset: false, reported: false };
  const reset = () => {
    if (first.reset) return;
    first.reset = second.reset = true;
    toFirst.move();
    toSecond.move();
  };
  const toFirst = new Pipe(completeFaults(verb, "toFirst", options.toFirst), first, second, reset);
  const toSecond = new Pipe(
    completeFaults(verb, "toSecond", options.toSecond),
    second,
    first,
    reset,
  );
  // A reset after 0 bytes happens now.
  toFirst.move();
  toSecond.move();
  return [
    new MemorySocket(here, there, toFirst, toSecond, reset),
    new MemorySocket(there, here, toSecond, toFirst, reset),
  ];
}
