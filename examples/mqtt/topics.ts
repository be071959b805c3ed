/** Finds the subscribers of a topic, in a tree whose branches are the levels of filters. @module */

/** Levels of a topic or a filter. */
const DEEPEST = 64;

/** Whether a topic may be published to: without wildcards (MQTT 3.1.1, 3.3.2.1). */
export function isTopic(topic: string): boolean {
  return topic !== "" && !/[+#\0]/.test(topic) && topic.split("/", DEEPEST + 1).length <= DEEPEST;
}

/** Whether a filter is valid: `#` is a whole level and the last, `+` a whole level (4.7.1). */
export function isFilter(filter: string): boolean {
  const levels = filter.split("/", DEEPEST + 1);
  return filter !== "" && !filter.includes("\0") && levels.length <= DEEPEST &&
    levels.every((level, i) =>
      level === "+" || (level === "#" && i === levels.length - 1) || !/[+#]/.test(level)
    );
}

/** A node of the tree: the filters with one prefix. */
class Branch<S> {
  readonly branches = new Map<string, Branch<S>>();
  readonly subscribers = new Map<S, number>();
}

/** Subscribers by filter, each with its QoS. */
export class Topics<S> {
  readonly #root = new Branch<S>();

  add(filter: string, subscriber: S, qos: number): void {
    let at = this.#root;
    for (const level of filter.split("/")) {
      let next = at.branches.get(level);
      if (next === undefined) at.branches.set(level, next = new Branch());
      at = next;
    }
    at.subscribers.set(subscriber, qos);
  }

  delete(filter: string, subscriber: S): void {
    remove(this.#root, filter.split("/"), 0, subscriber);
  }

  /** Each of the topic's subscribers once, with the highest QoS among its filters. */
  of(topic: string): Map<S, number> {
    const found = new Map<S, number>();
    collect(this.#root, topic.split("/"), 0, found);
    return found;
  }
}

function remove<S>(at: Branch<S>, levels: readonly string[], i: number, subscriber: S): void {
  const level = levels[i];
  if (level === undefined) {
    at.subscribers.delete(subscriber);
    return;
  }
  const next = at.branches.get(level);
  if (next === undefined) return;
  remove(next, levels, i + 1, subscriber);
  // An empty branch is removed, or subscriptions of past clients would pile up.
  if (next.branches.size === 0 && next.subscribers.size === 0) at.branches.delete(level);
}

function collect<S>(
  at: Branch<S> | undefined,
  levels: readonly string[],
  i: number,
  found: Map<S, number>,
): void {
  if (at === undefined) return;
  // Names that begin with $ belong to the broker, and wildcards do not match them (4.7.2).
  const wild = i > 0 || levels[0]?.[0] !== "$";
  // `a/#` also matches `a` itself (4.7.1.2).
  if (wild) take(at.branches.get("#"), found);
  const level = levels[i];
  if (level === undefined) return take(at, found);
  collect(at.branches.get(level), levels, i + 1, found);
  if (wild) collect(at.branches.get("+"), levels, i + 1, found);
}

function take<S>(from: Branch<S> | undefined, found: Map<S, number>): void {
  for (const [subscriber, qos] of from?.subscribers ?? []) {
    found.set(subscriber, Math.max(qos, found.get(subscriber) ?? 0));
  }
}
