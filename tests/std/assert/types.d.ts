/** Declares what `@std/assert` exports, for the untyped npm package that holds its code. @module */

/** A class, abstract or not, whose instances are `T`. */
type ClassOf<T> = abstract new (...args: never[]) => T;

/** Any class. */
export type AnyConstructor = ClassOf<unknown>;

/** The type of the instances of a class. */
export type GetConstructorType<T extends AnyConstructor> = T extends ClassOf<infer Instance>
  ? Instance
  : never;

/** Something with a length and elements, but not a string. */
export type ArrayLikeArg<T> = ArrayLike<T> & object;

/** What counts as false in a condition. */
export type Falsy = false | 0 | 0n | "" | null | undefined;

/** What a failed assertion throws. */
export class AssertionError extends Error {
  constructor(message: string, options?: ErrorOptions);
}

/** Passes if `expr` counts as true. */
export function assert(expr: unknown, msg?: string): asserts expr;

/** Passes if `expr` counts as false. */
export function assertFalse(expr: unknown, msg?: string): asserts expr is Falsy;

/** Passes if `actual` is neither `null` nor `undefined`. */
export function assertExists<T>(actual: T, msg?: string): asserts actual is NonNullable<T>;

/** Passes if the two are deeply equal. */
export function assertEquals<T>(actual: T, expected: T, msg?: string): void;

/** Passes if the two are not deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, msg?: string): void;

/** Passes if the two are the same by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  msg?: string,
): asserts actual is T;

/** Passes if the two are not the same by `Object.is`. */
export function assertNotStrictEquals<T>(actual: T, expected: T, msg?: string): void;

/** Passes if the two differ by at most `tolerance`, a ten-millionth of `expected` if left out. */
export function assertAlmostEquals(
  actual: number,
  expected: number,
  tolerance?: number,
  msg?: string,
): void;

/** Passes if `actual > expected`. */
export function assertGreater<T>(actual: T, expected: T, msg?: string): void;

/** Passes if `actual >= expected`. */
export function assertGreaterOrEqual<T>(actual: T, expected: T, msg?: string): void;

/** Passes if `actual < expected`. */
export function assertLess<T>(actual: T, expected: T, msg?: string): void;

/** Passes if `actual <= expected`. */
export function assertLessOrEqual<T>(actual: T, expected: T, msg?: string): void;

/** Passes if the pattern matches. */
export function assertMatch(actual: string, expected: RegExp, msg?: string): void;

/** Passes if the pattern does not match. */
export function assertNotMatch(actual: string, expected: RegExp, msg?: string): void;

/** Passes if `actual` has `expected` in it. */
export function assertStringIncludes(actual: string, expected: string, msg?: string): void;

/** Passes if each element of `expected` deeply equals one of `actual`. */
export function assertArrayIncludes<T>(
  actual: ArrayLikeArg<T>,
  expected: ArrayLikeArg<T>,
  msg?: string,
): void;

/** Passes if `actual` has all that `expected` has, deeply, whatever else it has. */
export function assertObjectMatch(
  actual: object,
  expected: Record<PropertyKey, unknown>,
  msg?: string,
): void;

/** Passes if `actual` is an instance of the class. */
export function assertInstanceOf<T extends AnyConstructor>(
  actual: unknown,
  expectedType: T,
  msg?: string,
): asserts actual is GetConstructorType<T>;

/** Passes if `actual` is not an instance of the class. */
export function assertNotInstanceOf<A, T>(
  actual: A,
  unexpectedType: ClassOf<T>,
  msg?: string,
): asserts actual is Exclude<A, T>;

/** Passes if `error` is an `Error`, of the class and with the message asked for. */
export function assertIsError<E extends Error = Error>(
  error: unknown,
  ErrorClass?: ClassOf<E>,
  msgMatches?: string | RegExp,
  msg?: string,
): asserts error is E;

/** Passes if `fn` throws, and gives back what it threw. */
export function assertThrows(fn: () => unknown, msg?: string): unknown;
/** Passes if `fn` throws an error of the class, and gives it back. */
export function assertThrows<E extends Error = Error>(
  fn: () => unknown,
  ErrorClass: ClassOf<E>,
  msgIncludes?: string,
  msg?: string,
): E;

/** Passes if the promise of `fn` rejects, and gives back the reason. */
export function assertRejects(fn: () => PromiseLike<unknown>, msg?: string): Promise<unknown>;
/** Passes if the promise of `fn` rejects with an error of the class, and gives it back. */
export function assertRejects<E extends Error = Error>(
  fn: () => PromiseLike<unknown>,
  ErrorClass: ClassOf<E>,
  msgIncludes?: string,
  msg?: string,
): Promise<E>;

/** Tells whether the two are deeply equal. */
export function equal(a: unknown, b: unknown): boolean;

/** Fails. */
export function fail(msg?: string): never;

/** Fails, where code is yet to be written. */
export function unimplemented(msg?: string): never;

/** Fails, where no code should come. */
export function unreachable(msg?: string): never;
