/** Computes CRC32C checksums. @module */

/** Castagnoli's polynomial, its lowest power in the highest bit (RFC 4960, appendix B). */
const POLYNOMIAL = 0x82f63b78;

/** The change that each byte makes to the checksum. */
const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  for (let bit = 0; bit < 8; bit++) byte = byte >>> 1 ^ (byte & 1 ? POLYNOMIAL : 0);
  return byte;
});

/**
 * Computes the checksum of the bytes from `from` to `to`.
 *
 * @param before The checksum of what precedes them; 0 for nothing.
 */
export function crc32c(bytes: Uint8Array, from: number, to: number, before: number): number {
  let crc = ~before;
  for (let i = from; i < to; i++) crc = crc >>> 8 ^ TABLE[(crc ^ bytes[i]!) & 255]!;
  return ~crc >>> 0;
}
