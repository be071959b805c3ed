/** Computes HalfSipHash-2-4, a hash under a secret key, so that no peer can choose where it lands. @module */

/**
 * Writes the 64 bits of the hash into `out`, as two words.
 *
 * @param bytes What to hash; its first `length` bytes.
 * @param k0 First half of the key.
 * @param k1 Second half of the key.
 */
export function keyedHash(
  bytes: Uint8Array,
  length: number,
  k0: number,
  k1: number,
  out: Int32Array,
): void {
  const v = STATE;
  v[0] = k0;
  v[1] = k1 ^ 0xee; // the variant of 64 bits
  v[2] = 0x6c796765 ^ k0;
  v[3] = 0x74656462 ^ k1;
  const whole = length & ~3;
  for (let i = 0; i < whole; i += 4) {
    compress(v, bytes[i]! | bytes[i + 1]! << 8 | bytes[i + 2]! << 16 | bytes[i + 3]! << 24);
  }
  let last = length << 24;
  for (let i = whole; i < length; i++) last |= bytes[i]! << 8 * (i - whole);
  compress(v, last);
  v[2]! ^= 0xee;
  rounds(v, 4);
  out[0] = v[1]! ^ v[3]!;
  v[1]! ^= 0xdd;
  rounds(v, 4);
  out[1] = v[1]! ^ v[3]!;
}

const STATE = new Int32Array(4);

function compress(v: Int32Array, word: number): void {
  v[3]! ^= word;
  rounds(v, 2);
  v[0]! ^= word;
}

function rounds(v: Int32Array, count: number): void {
  let a = v[0]!, b = v[1]!, c = v[2]!, d = v[3]!;
  for (let i = 0; i < count; i++) {
    a = a + b | 0;
    b = (b << 5 | b >>> 27) ^ a;
    a = a << 16 | a >>> 16;
    c = c + d | 0;
    d = (d << 8 | d >>> 24) ^ c;
    a = a + d | 0;
    d = (d << 7 | d >>> 25) ^ a;
    c = c + b | 0;
    b = (b << 13 | b >>> 19) ^ c;
    c = c << 16 | c >>> 16;
  }
  v[0] = a;
  v[1] = b;
  v[2] = c;
  v[3] = d;
}
