/** Makes the bytes in tests visible. @module */

/** The bytes of a text, for literals in tests: bytes`hello`. */
export function bytes(parts: TemplateStringsArray, ...values: unknown[]): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(String.raw({ raw: parts }, ...values));
}

/** The text of some bytes. */
export function text(p: Uint8Array): string {
  return new TextDecoder().decode(p);
}
