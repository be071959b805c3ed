/** Holds values under keys, each until it expires. @module */

/** Bytes above which a store is full, by default: 1 GiB. */
const CAPACITY = 1_073_741_824;

/** Bytes that an entry takes besides its key and its value, as measured with 300,000 of them. */
const OVERHEAD = 850;

/** Ms between two sweeps. */
const SWEEP = 100;

/** Keys that one sweep looks at: less than a millisecond of work, however many there are. */
const LOOKED_AT = 1000;

interface Entry {
  value: Uint8Array;
  /** In ms since 1970; `Infinity` for never. */
  expiresAt: number;
}

/**
 * Keys and values. Keys are strings with one character per byte.
 *
 * An expired key is removed when it is next asked for. The others are swept out little by little, by one
 * timer that runs only while some key can expire, instead of one timer per key.
 */
export class Store implements Disposable {
  readonly #entries = new Map<string, Entry>();
  /** The keys that can expire. */
  readonly #mortal = new Set<string>();
  readonly #capacity: number;
  #bytes = 0;
  /** Cycles through the keys that can expire. */
  #round: Iterator<string> = this.#mortal.values();
  #sweeper: ReturnType<typeof setInterval> | undefined;

  /** @param capacity Bytes of memory, roughly, above which it is full. */
  constructor(capacity: number = CAPACITY) {
    this.#capacity = capacity;
  }

  /** How many keys there are, including those that have expired and are not swept out yet. */
  get size(): number {
    return this.#entries.size;
  }

  /** Whether nothing more should be stored; callers must check. */
  get isFull(): boolean {
    return this.#bytes >= this.#capacity;
  }

  /** The value of a key, valid until the key is set again. */
  get(key: string): Uint8Array | undefined {
    return this.#find(key)?.value;
  }

  has(key: string): boolean {
    return this.#find(key) !== undefined;
  }

  /** When a key expires, in ms since 1970: `Infinity` if never, `undefined` if there is none. */
  expiry(key: string): number | undefined {
    return this.#find(key)?.expiresAt;
  }

  /** Stores a copy of `value`: it would keep the larger buffer that it was received in. */
  set(key: string, value: Uint8Array, expiresAt: number = Infinity): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) {
      this.#entries.set(key, { value: value.slice(), expiresAt: Infinity });
      this.#bytes += key.length + value.length + OVERHEAD;
      if (expiresAt !== Infinity) this.expire(key, expiresAt);
      return;
    }
    // Into the old value's buffer, where it fits: allocation costs a third of a SET.
    if (entry.value.length === value.length) entry.value.set(value);
    else {
      this.#bytes += value.length - entry.value.length;
      entry.value = value.slice();
    }
    if (entry.expiresAt !== expiresAt) this.#setExpiry(key, entry, expiresAt);
  }

  /** Lets a key expire; returns whether it existed. */
  expire(key: string, expiresAt: number): boolean {
    const entry = this.#find(key);
    if (entry === undefined) return false;
    this.#setExpiry(key, entry, expiresAt);
    return true;
  }

  /** Removes a key; returns whether it existed. */
  delete(key: string): boolean {
    return this.#find(key) !== undefined && this.#remove(key);
  }

  clear(): void {
    this.#entries.clear();
    this.#mortal.clear();
    this.#bytes = 0;
  }

  /** The keys that have not expired. */
  *keys(): Generator<string> {
    const now = Date.now();
    for (const [key, { expiresAt }] of this.#entries) if (expiresAt > now) yield key;
  }

  /** Stops the sweeps. */
  [Symbol.dispose](): void {
    this.clear();
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }

  #find(key: string): Entry | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expiresAt === Infinity) return entry;
    if (entry.expiresAt > Date.now()) return entry;
    this.#remove(key);
    return undefined;
  }

  #remove(key: string): boolean {
    const entry = this.#entries.get(key);
    if (entry === undefined) return false;
    this.#bytes -= key.length + entry.value.length + OVERHEAD;
    this.#mortal.delete(key);
    return this.#entries.delete(key);
  }

  #setExpiry(key: string, entry: Entry, expiresAt: number): void {
    entry.expiresAt = expiresAt;
    if (expiresAt === Infinity) this.#mortal.delete(key);
    else this.#mortal.add(key);
    if (this.#mortal.size === 0 || this.#sweeper !== undefined) return;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP);
    // Keys that expire must not keep the process alive.
    Deno.unrefTimer(this.#sweeper as unknown as number);
  }

  #sweep(): void {
    for (let i = 0; i < LOOKED_AT; i++) {
      const { done, value: key } = this.#round.next();
      if (done) {
        this.#round = this.#mortal.values();
        break;
      }
      this.#find(key);
    }
    if (this.#mortal.size > 0) return;
    clearInterval(this.#sweeper);
    this.#sweeper = undefined;
  }
}
