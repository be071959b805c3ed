/** Is an option of a codec what it has to be, and what is said when it is not? @module */

/** Refuses what is no object, and keys that are not known. */
export function checkOptions(codec: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`Cannot make ${codec} with ${show(options)} as options: use an object`);
  }
  for (const [key, value] of Object.entries(options)) {
    if (known.includes(key) || value === undefined) continue;
    throw new TypeError(
      `Cannot make ${codec} with an unknown option '${key}': known here are ${known.join(", ")}`,
    );
  }
}

export function checkNumber(
  codec: string,
  name: string,
  value: unknown,
  least: number,
  most: number,
): void {
  const wanted = `a whole number from ${least} to ${most}`;
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(bad(codec, name, value, wanted));
  }
  if (!Number.isInteger(value) || value < least || value > most) {
    throw new RangeError(bad(codec, name, value, wanted));
  }
}

export function checkBoolean(codec: string, name: string, value: unknown): void {
  if (typeof value !== "boolean") throw new TypeError(bad(codec, name, value, "true or false"));
}

/** Refuses what is none of the choices: another type or another value of the same type. */
export function checkChoice(
  codec: string,
  name: string,
  value: unknown,
  choices: readonly (string | number)[],
): void {
  if (choices.includes(value as string | number)) return;
  const wanted = `one of ${choices.map(show).join(", ")}`;
  const sameType = choices.some((choice) => typeof choice === typeof value);
  throw new (sameType ? RangeError : TypeError)(bad(codec, name, value, wanted));
}

/** The message for a wrong option: what was attempted, what was given, what would do. */
export function bad(codec: string, name: string, value: unknown, wanted: string): string {
  return `Cannot make ${codec} with '${name}' of ${show(value)}: use ${wanted}`;
}

/** Values as a reader of the message would write them. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  return typeof value === "object" && value !== null ? "an object" : String(value);
}
