/** Who is told of every connection that is over, besides `onEnd`? @module */

import type { EndRecord } from "./options.ts";

/** Told of each connection of a server, once it is over. */
export type EndObserver = (record: EndRecord) => void;

/** Outside of servers: one that nobody observes holds nothing for it. */
const observed = new WeakMap<object, Set<EndObserver>>();

/** Has `observer` told from now on, until what is returned is disposed. */
export function observeEnds(server: object, observer: EndObserver): Disposable {
  const observers = observed.get(server) ?? new Set();
  observers.add(observer);
  observed.set(server, observers);
  return {
    [Symbol.dispose]() {
      observers.delete(observer);
      if (observers.size === 0 && observed.get(server) === observers) observed.delete(server);
    },
  };
}

/** Who observes a server; `undefined` if nobody does. */
export function endObserversOf(server: object): ReadonlySet<EndObserver> | undefined {
  return observed.get(server);
}
