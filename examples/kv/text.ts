/** Converts between bytes, text and numbers. @module */

/** Text with one character per byte, for any bytes. */
export function latin1(bytes: Uint8Array): string {
  // Calls with more arguments than this might overflow the stack.
  if (bytes.length <= 4096) return String.fromCharCode.apply(null, bytes as unknown as number[]);
  let text = "";
  for (let at = 0; at < bytes.length; at += 4096) text += latin1(bytes.subarray(at, at + 4096));
  return text;
}

/** The bytes of such a text. */
export function fromLatin1(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

/** The 64-bit number in a text, in the form that Redis writes; `null` if it is none. */
export function parseInteger(text: string): bigint | null {
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(text)) return null;
  const number = BigInt(text);
  return BigInt.asIntN(64, number) === number ? number : null;
}
