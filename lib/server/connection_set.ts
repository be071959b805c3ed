/** Holds connections in the order in which they came, and nothing of those that have left. @module */

import type { ServedConnection } from "./served_connection.ts";

/** Places of connections that have left, beyond as many as there are connections, before they are closed up. */
const MOST_LEFT = 32;

/**
 * A `Set` of connections whose memory scavenges can free. Each time that a `Set` gets a new table, V8 has the
 * old one point to it, and leaves in it what was there. As soon as one of them is in the old generation, where
 * what is dead stays until a mark-compact, each scavenge keeps the tables after it, and so every connection
 * that has come since: a fifth of all garbage, and a third of usher's part of a short connection.
 */
export class ConnectionSet implements ReadonlySet<ServedConnection> {
  /** In the order of their ids. */
  readonly #places: (ServedConnection | undefined)[] = [];
  #size = 0;
  /** How often places were closed up. */
  #moves = 0;

  get size(): number {
    return this.#size;
  }

  has(conn: ServedConnection): boolean {
    return this.#places[conn.place] === conn;
  }

  add(conn: ServedConnection): void {
    if (this.has(conn)) return;
    if (this.#places.length > 2 * this.#size + MOST_LEFT) this.#closeUp();
    conn.place = this.#places.push(conn) - 1;
    this.#size++;
  }

  /** Whether it was there. */
  delete(conn: ServedConnection): boolean {
    if (!this.has(conn)) return false;
    this.#places[conn.place] = undefined;
    this.#size--;
    return true;
  }

  /** As with a `Set`, what comes meanwhile is visited, and what leaves before its turn is not. */
  *values(): SetIterator<ServedConnection> {
    for (let i = 0; i < this.#places.length; i++) {
      const conn = this.#places[i];
      if (conn === undefined) continue;
      const moves = this.#moves;
      yield conn;
      if (moves !== this.#moves) i = this.#placeAfter(conn.id) - 1;
    }
  }

  [Symbol.iterator](): SetIterator<ServedConnection> {
    return this.values();
  }

  keys(): SetIterator<ServedConnection> {
    return this.values();
  }

  *entries(): SetIterator<[ServedConnection, ServedConnection]> {
    for (const conn of this.values()) yield [conn, conn];
  }

  forEach(
    callback: (
      value: ServedConnection,
      key: ServedConnection,
      set: ReadonlySet<ServedConnection>,
    ) => void,
    thisArg?: unknown,
  ): void {
    // Not by `values()`: each step of a generator is some 30 ns, and the clock asks every connection.
    for (let i = 0; i < this.#places.length; i++) {
      const conn = this.#places[i];
      if (conn === undefined) continue;
      const moves = this.#moves;
      callback.call(thisArg, conn, conn, this);
      if (moves !== this.#moves) i = this.#placeAfter(conn.id) - 1;
    }
  }

  union<T>(other: ReadonlySetLike<T>): Set<ServedConnection | T> {
    return new Set(this).union(other);
  }

  intersection<T>(other: ReadonlySetLike<T>): Set<ServedConnection & T> {
    return new Set(this).intersection(other);
  }

  difference<T>(other: ReadonlySetLike<T>): Set<ServedConnection> {
    return new Set(this).difference(other);
  }

  symmetricDifference<T>(other: ReadonlySetLike<T>): Set<ServedConnection | T> {
    return new Set(this).symmetricDifference(other);
  }

  isSubsetOf(other: ReadonlySetLike<unknown>): boolean {
    return new Set(this).isSubsetOf(other);
  }

  isSupersetOf(other: ReadonlySetLike<unknown>): boolean {
    return new Set(this).isSupersetOf(other);
  }

  isDisjointFrom(other: ReadonlySetLike<unknown>): boolean {
    return new Set(this).isDisjointFrom(other);
  }

  /** In place: another array would be one more thing that dies in the old generation. */
  #closeUp(): void {
    let i = 0;
    for (const conn of this.#places) {
      if (conn === undefined) continue;
      conn.place = i;
      this.#places[i++] = conn;
    }
    this.#places.length = i;
    this.#moves++;
  }

  /** The first place of a connection that came after the one with this id. */
  #placeAfter(id: number): number {
    const place = this.#places.findIndex((conn) => conn !== undefined && conn.id > id);
    return place === -1 ? this.#places.length : place;
  }
}
