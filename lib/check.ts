/** Rejects wrong arguments with a message that says what to use; first comes the attempt. @module */

/** Rejects anything but a whole number from `least` to `most`, or `Infinity` where it is allowed. */
export function checkNumber(
  attempt: string,
  name: string,
  value: unknown,
  least: number,
  most: number,
  orInfinity = false,
): number {
  const wanted = `a whole number from ${least}` +
    (most === Infinity ? " up" : ` to ${name === "mode" ? "0o777" : most}`) +
    (orInfinity ? ", or Infinity" : "");
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(bad(attempt, name, value, wanted));
  }
  const whole = Number.isInteger(value) || (orInfinity && value === Infinity);
  if (!whole || value < least || value > most) {
    throw new RangeError(bad(attempt, name, value, wanted));
  }
  return value;
}

/** Rejects anything but a time in ms from 0 up. Fractions are allowed: the rest of a deadline has one. */
export function checkTime(attempt: string, name: string, value: unknown): number {
  const wanted = "milliseconds from 0 up, or Infinity";
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(bad(attempt, name, value, wanted));
  }
  if (value < 0) throw new RangeError(bad(attempt, name, value, wanted));
  return value;
}

export function checkBoolean(attempt: string, name: string, value: unknown): void {
  if (typeof value !== "boolean") throw new TypeError(bad(attempt, name, value, "true or false"));
}

/** Rejects anything but one of the choices: another type, or another value of the same type. */
export function checkChoice(
  attempt: string,
  name: string,
  value: unknown,
  choices: readonly (string | number)[],
): void {
  if (choices.includes(value as string | number)) return;
  const wanted = `one of ${choices.map(show).join(", ")}`;
  const sameType = choices.some((choice) => typeof choice === typeof value);
  throw new (sameType ? RangeError : TypeError)(bad(attempt, name, value, wanted));
}

/** Rejects anything but an object: the options themselves, or their part `name`. */
export function checkObject(attempt: string, value: unknown, name?: string): void {
  if (isObject(value)) return;
  throw new TypeError(
    name === undefined
      ? `Cannot ${attempt} with ${show(value)} as options: use an object`
      : bad(attempt, name, value, "an object"),
  );
}

/** Rejects anything but an object, and unknown keys of the options or of their part `name`. */
export function checkKeys(
  attempt: string,
  given: unknown,
  known: readonly string[],
  name?: string,
): void {
  checkObject(attempt, given, name);
  for (const [key, value] of Object.entries(given as object)) {
    if (known.includes(key) || value === undefined) continue;
    const unknown = name === undefined
      ? `option '${key}': known here are`
      : `'${key}' in '${name}': known there are`;
    throw new TypeError(`Cannot ${attempt} with an unknown ${unknown} ${known.join(", ")}`);
  }
}

/** Rejects anything but an AbortSignal; signals of other realms and fakes are accepted. */
export function checkSignal(attempt: string, value: unknown): void {
  const isSignal = isObject(value) && typeof value["addEventListener"] === "function" &&
    "aborted" in value;
  if (isSignal) return;
  throw new TypeError(`Cannot ${attempt} with a 'signal' that is none: use an AbortSignal`);
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}

/** Whether a value has a `then` method. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && "then" in value &&
    typeof value.then === "function";
}

/** The message for a wrong value: the attempt, the value, what to use. */
export function bad(attempt: string, name: string, value: unknown, wanted: string): string {
  return `Cannot ${attempt} with '${name}' of ${show(value)}: use ${wanted}`;
}

/** A value as a programmer would write it. */
export function show(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (Array.isArray(value)) return value.length === 0 ? "an empty array" : "an array";
  return isObject(value) ? "an object" : String(value);
}
