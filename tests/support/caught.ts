/** Describes an error so that it can be compared and sent between processes. @module */

/** What a caller sees of an error. */
export interface Caught {
  /** The name of its class, from the class itself and not from the error. */
  readonly kind: string;
  readonly message: string;
  readonly code: string | undefined;
}

const KINDS = Object.entries({ ...Deno.errors, Error, TypeError, RangeError, URIError });

/** Describes an error. */
export function look(thrown: unknown): Caught {
  if (!(thrown instanceof Error)) throw new TypeError(`Something else was thrown: ${thrown}`);
  const [kind = "unknown"] = KINDS.find(([, Kind]) => thrown.constructor === Kind) ?? [];
  const code = "code" in thrown ? String(thrown.code) : undefined;
  return { kind, message: thrown.message, code };
}

/** Describes what `run` throws or rejects with. */
export async function catchFrom(run: () => unknown): Promise<Caught> {
  try {
    await run();
  } catch (error) {
    return look(error);
  }
  throw new TypeError(`Nothing was thrown by ${run}`);
}
