/** Predicts how much the next read of a connection brings. @module */

/** Fewest bytes to make room for: less is left over, and more messages come in one piece. */
const LEAST = 256;

/**
 * Most bytes to read at once. An echo that is never short of bytes costs 20 % less CPU with 256 KiB than
 * with 64, since it writes less often; reading and discarding alone costs 6 % more.
 */
const MOST = 262_144;

/**
 * Reads in a row of less than an eighth of what is expected, after which that is forgotten: more than
 * the few by which a stream that piles up begins anew, few enough that a burst is soon forgotten.
 */
const MOST_SMALL = 16;

/**
 * What one connection's last reads brought. It follows a larger read at once, smaller ones slowly,
 * since messages of two sizes in turn are common, and a change of kind after 16 reads, so that the
 * memory for a burst is not kept.
 */
export class ReadSize {
  static readonly MOST: number = MOST;

  /** Bytes that the next read is expected to bring. */
  expected: number = LEAST;
  /** Reads in a row that brought less than an eighth of that. */
  #small = 0;

  /** A read has brought `n` bytes, and filled its room or not. */
  learn(n: number, full: boolean): void {
    const { expected } = this;
    if (n >= expected) {
      this.#small = 0;
      this.expected = Math.min(full ? 2 * n : n, MOST);
    } else if (8 * n >= expected) {
      this.#small = 0;
      this.expected = Math.max(expected - ((expected - n + 15) >> 4), LEAST);
    } else if (++this.#small === MOST_SMALL) {
      this.#small = 0;
      this.expected = Math.max(n, LEAST);
    }
  }
}
