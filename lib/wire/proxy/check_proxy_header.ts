/** Is each part of a PROXY header to be written what it has to be, and what is said when it is not? @module */

import { show } from "../check.ts";

const encoder = new TextEncoder();

/** The bytes of a text. */
export function textBytes(name: string, text: string): Uint8Array {
  if (typeof text !== "string") throw new TypeError(bad(name, text, "a string"));
  if (!text.isWellFormed()) {
    throw new RangeError(bad(name, text, "a string without half a surrogate pair"));
  }
  return encoder.encode(text);
}

export function checkBytes(name: string, value: unknown, most: number): void {
  const wanted = `a Uint8Array of at most ${most} bytes`;
  if (!(value instanceof Uint8Array)) throw new TypeError(bad(name, value, wanted));
  if (value.length > most) {
    throw new RangeError(
      `Cannot encode a PROXY header with '${name}' of ${value.length} bytes: use ${wanted}`,
    );
  }
}

export function checkWhole(name: string, value: unknown, most: number): void {
  const wanted = `a whole number from 0 to ${most}`;
  if (typeof value !== "number" || Number.isNaN(value)) {
    throw new TypeError(bad(name, value, wanted));
  }
  if (!Number.isInteger(value) || value < 0 || value > most) {
    throw new RangeError(bad(name, value, wanted));
  }
}

export function checkChoice(
  name: string,
  value: unknown,
  choices: readonly (string | number)[],
): void {
  if (choices.includes(value as string | number)) return;
  const wanted = choices.map(show).join(" or ");
  const sameType = typeof choices[0] === typeof value;
  throw new (sameType ? RangeError : TypeError)(bad(name, value, wanted));
}

export function checkObject(name: string, value: unknown): void {
  if (typeof value !== "object" || value === null) {
    throw new TypeError(bad(name, value, "an object"));
  }
}

/** Refuses what is no object, and keys that are not known: nothing is left out silently. */
export function checkKeys(name: string, value: unknown, known: readonly string[]): void {
  checkObject(name, value);
  for (const [key, one] of Object.entries(value as object)) {
    if (known.includes(key) || one === undefined) continue;
    throw new TypeError(
      `Cannot encode a PROXY header with an unknown '${key}' in '${name}': known there are ${
        known.join(", ")
      }`,
    );
  }
}

export function bad(name: string, value: unknown, wanted: string): string {
  return `Cannot encode a PROXY header with '${name}' of ${show(value)}: use ${wanted}`;
}
