/** Groups members by peer, and finds the peer with most of them. @module */

/** Members of groups in the order in which they were added; every operation takes constant time. */
export class PeerGroups<T> {
  readonly #groups = new Map<string, Set<T>>();
  /** The groups that have as many members as the index says. */
  readonly #bySize: Set<Set<T>>[] = [new Set()];

  add(key: string, member: T): void {
    const group = this.#groups.get(key) ?? new Set();
    this.#groups.set(key, group);
    this.#resize(group, () => group.add(member));
  }

  /** What is not a member is ignored. */
  delete(key: string, member: T): void {
    const group = this.#groups.get(key);
    if (group === undefined || !group.has(member)) return;
    this.#resize(group, () => group.delete(member));
    if (group.size === 0) {
      this.#groups.delete(key);
      this.#bySize[0]!.delete(group);
    }
  }

  /** How many members a peer has. */
  sizeOf(key: string): number {
    return this.#groups.get(key)?.size ?? 0;
  }

  /**
   * The oldest member of the peer with most; of several such peers, of the one that has had so many for
   * longest. `undefined` if there is no member.
   */
  oldestOfLargest(): T | undefined {
    const [largest] = this.#bySize.at(-1)!;
    return largest?.values().next().value;
  }

  #resize(group: Set<T>, change: () => void): void {
    this.#bySize[group.size]?.delete(group);
    change();
    (this.#bySize[group.size] ??= new Set()).add(group);
    while (this.#bySize.length > 1 && this.#bySize.at(-1)!.size === 0) this.#bySize.pop();
  }
}
