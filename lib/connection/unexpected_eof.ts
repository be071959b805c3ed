/** What is said when the stream ends where more was due? @module */

/** `partial` is what came of it; it is still there to be read. */
export function unexpectedEof(where: string, partial: Uint8Array): Deno.errors.UnexpectedEof {
  return Object.assign(new Deno.errors.UnexpectedEof(`The stream ended ${where}`), { partial });
}
