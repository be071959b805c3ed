/** Gives a fleet its program. @module */

/** A server that does what a line asks for. */
export const SERVED: URL = new URL("./programs/served.ts", import.meta.url);

/** A program from a text, in which `usher` is where the library is. */
export function programOf(source: (usher: string) => string): URL {
  const text = source(new URL("../../mod.ts", import.meta.url).href);
  return new URL(`data:text/javascript,${encodeURIComponent(text)}`);
}
