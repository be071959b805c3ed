/** Is an option what it has to be, and what is said when it is not? @module */

export function checkNumber(
  verb: string,
  name: string,
  value: unknown,
  least: number,
  most: number,
  orInfinity: boolean,
): number {
  const wanted = `a whole number from ${least}` +
    (most === Infinity ? " up" : ` to ${name === "mode" ? "0o777" : most}`) +
    (orInfinity ? ", or Infinity" : "");
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(bad(verb, name, value, wanted));
  }
  const whole = Number.isInteger(value) || (orInfinity && value === Infinity);
  if (!whole || value < least || value > most) {
    throw new RangeError(bad(verb, name, value, wanted));
  }
  return value;
}

export function checkObject(verb: string, options: unknown): void {
  if (!isObject(options)) {
    throw new TypeError(`Cannot ${verb} with ${show(options)} as options: use an object`);
  }
}

/** Refuses keys that are not known: an option that is accepted and ignored is a defect. */
export function checkKeys(verb: string, given: object, known: readonly string[]): void {
  for (const [key, value] of Object.entries(given)) {
    if (known.includes(key) || value === undefined) continue;
    throw new TypeError(
      `Cannot ${verb} with an unknown option '${key}': known here are ${known.join(", ")}`,
    );
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** The message for an option of the wrong kind: what was attempted, what was given, what would do. */
export function bad(verb: string, name: string, value: unknown, wanted: string): string {
  return `Cannot ${verb} with '${name}' of ${show(value)}: use ${wanted}`;
}

/** Values as a reader of the message would write them. */
function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  return isObject(value) ? "an object" : String(value);
}
