/**
 * Stands in for `@std/testing/mock` where JSR cannot be reached: the spies and stubs that
 * the tests use, and no more.
 *
 * @module
 */

import { assertEquals, AssertionError, assertIsError } from "@std/assert";

/** What is wrong when something cannot be spied on, or is asked for more than it has. */
export class MockError extends Error {
  override name = "MockError";
}

/** One call, as a spy has seen it. */
export interface SpyCall<Self = unknown, Args extends unknown[] = unknown[], Return = unknown> {
  /** What it was called with. */
  args: Args;
  /** What it returned; left out if it threw. */
  returned?: Return;
  /** What it threw; left out if it returned. */
  error?: Error;
  /** What it was called on; left out if on nothing. */
  self?: Self;
}

/** A function that remembers its calls. */
export interface Spy<Self = unknown, Args extends unknown[] = unknown[], Return = unknown> {
  (this: Self, ...args: Args): Return;
  /** The function spied on. */
  original: (this: Self, ...args: Args) => Return;
  /** The calls so far, oldest first. */
  calls: SpyCall<Self, Args, Return>[];
  /** Whether the method is back in its place. */
  restored: boolean;
  /** Puts the method back in its place; throws if there is none to put back. */
  restore(): void;
}

/** A spy in the place of a method, until disposed. */
export interface MethodSpy<Self = unknown, Args extends unknown[] = unknown[], Return = unknown>
  extends Spy<Self, Args, Return>, Disposable {}

/** A replacement in the place of a method, until disposed. */
export interface Stub<Self = unknown, Args extends unknown[] = unknown[], Return = unknown>
  extends MethodSpy<Self, Args, Return> {
  /** The function called instead of the method. */
  fake: (this: Self, ...args: Args) => Return;
}

/** What a call should have been like; what is left out may be anything. */
export interface ExpectedSpyCall<
  Self = unknown,
  Args extends unknown[] = unknown[],
  Return = unknown,
> {
  /** What it should have been called with. */
  args?: [...Args, ...unknown[]];
  /** What it should have been called on. */
  self?: Self;
  /** What it should have returned. */
  returned?: Return;
  /** What it should have thrown. */
  error?: { Class?: new (...args: never[]) => Error; msgIncludes?: string };
}

/** The parameters of a method. */
export type GetParametersFromProp<Self, Prop extends keyof Self> = Self[Prop] extends
  (...args: infer Args) => unknown ? Args : unknown[];

/** What a method returns. */
export type GetReturnFromProp<Self, Prop extends keyof Self> = Self[Prop] extends
  (...args: never[]) => infer Return ? Return : unknown;

type Method<Self, Args extends unknown[], Return> = (this: Self, ...args: Args) => Return;

/** Makes a function that remembers its calls and returns nothing. */
export function spy<Self = unknown, Args extends unknown[] = unknown[], Return = undefined>(): Spy<
  Self,
  Args,
  Return
>;
/** Makes a function that remembers its calls and passes them on. */
export function spy<Self, Args extends unknown[], Return>(
  func: (this: Self, ...args: Args) => Return,
): Spy<Self, Args, Return>;
/** Puts a function that remembers its calls and passes them on in the place of a method. */
export function spy<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
): MethodSpy<Self, GetParametersFromProp<Self, Prop>, GetReturnFromProp<Self, Prop>>;
export function spy<Self, Args extends unknown[], Return>(
  target?: Method<Self, Args, Return> | Self,
  property?: keyof Self,
): Spy<Self, Args, Return> {
  if (property !== undefined) {
    const self = target as Self;
    if (typeof self[property] !== "function") {
      throw new MockError(`Cannot spy on '${String(property)}': it is not a method`);
    }
    return replace(self, property, self[property] as Method<Self, Args, Return>);
  }
  const original = (target ?? (() => {})) as Method<Self, Args, Return>;
  const recorder = record(original);
  return Object.assign(recorder, {
    original,
    restored: false,
    restore() {
      throw new MockError("Cannot restore: the spy is in no method's place");
    },
  });
}

/** Puts a function that remembers its calls and does something else in the place of a method. */
export function stub<Self, Prop extends keyof Self>(
  self: Self,
  property: Prop,
  func?: (
    this: Self,
    ...args: GetParametersFromProp<Self, Prop>
  ) => GetReturnFromProp<Self, Prop>,
): Stub<Self, GetParametersFromProp<Self, Prop>, GetReturnFromProp<Self, Prop>> {
  if (self[property] !== undefined && typeof self[property] !== "function") {
    throw new MockError(`Cannot stub '${String(property)}': it is not a method`);
  }
  const fake = func ?? (() => {}) as NonNullable<typeof func>;
  return Object.assign(replace(self, property, fake), { fake });
}

/** Makes a function that returns one value after another; the errors among them it throws. */
export function returnsNext<Return, Self = unknown, Args extends unknown[] = unknown[]>(
  values: Iterable<Return | Error>,
): (this: Self, ...args: Args) => Return {
  const iterator = values[Symbol.iterator]();
  let calls = 0;
  return () => {
    const { done, value } = iterator.next();
    if (done) throw new MockError(`Cannot return a value: all ${calls} are used up`);
    calls++;
    if (value instanceof Error) throw value;
    return value;
  };
}

/** Passes if the spy was called so many times. */
export function assertSpyCalls<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  expectedCalls: number,
): void {
  assertEquals(spy.calls.length, expectedCalls, "number of calls");
}

/** Passes if the spy was called often enough and that call was as expected. */
export function assertSpyCall<Self, Args extends unknown[], Return>(
  spy: Spy<Self, Args, Return>,
  callIndex: number,
  expected: ExpectedSpyCall<Self, Args, Return> = {},
): void {
  const call = spy.calls[callIndex];
  if (!call) {
    throw new AssertionError(`Expected call ${callIndex}, but there are ${spy.calls.length} calls`);
  }
  if ("returned" in expected && "error" in expected) {
    throw new TypeError("Cannot expect a call both to return and to throw: expect one of the two");
  }
  if (expected.args) assertEquals<unknown[]>(call.args, expected.args, "arguments of the call");
  if ("self" in expected) assertEquals(call.self, expected.self, "what it was called on");
  if ("returned" in expected) {
    if ("error" in call) throw new AssertionError(`Expected a return, but it threw: ${call.error}`);
    assertEquals(call.returned, expected.returned, "what it returned");
  }
  if ("error" in expected) {
    if ("returned" in call) throw new AssertionError("Expected an error, but it returned");
    assertIsError(call.error, expected.error?.Class, expected.error?.msgIncludes);
  }
}

/** Wraps a function so that its calls are remembered. */
function record<Self, Args extends unknown[], Return>(
  func: Method<Self, Args, Return>,
): Method<Self, Args, Return> & { calls: SpyCall<Self, Args, Return>[] } {
  const calls: SpyCall<Self, Args, Return>[] = [];
  function recorder(this: Self, ...args: Args): Return {
    const call: SpyCall<Self, Args, Return> = { args };
    if (this) call.self = this;
    try {
      return call.returned = func.apply(this, args);
    } catch (error) {
      call.error = error as Error;
      throw error;
    } finally {
      calls.push(call);
    }
  }
  return Object.assign(recorder, { calls });
}

/** Puts a function in the place of a method and remembers its calls until the method is back. */
function replace<Self, Args extends unknown[], Return>(
  self: Self,
  property: keyof Self,
  func: Method<Self, Args, Return>,
): MethodSpy<Self, Args, Return> {
  const original = self[property] as Method<Self, Args, Return>;
  const before = Object.getOwnPropertyDescriptor(self, property);
  if (before?.configurable === false) {
    throw new MockError(`Cannot replace '${String(property)}': it is not configurable`);
  }
  if (original !== undefined && "calls" in original && "restored" in original) {
    throw new MockError(`Cannot replace '${String(property)}': a spy is in its place`);
  }
  const spy = Object.assign(record(func), {
    original,
    restored: false,
    restore() {
      if (spy.restored) throw new MockError("Cannot restore: the method is already restored");
      spy.restored = true;
      if (before) Object.defineProperty(self, property, before);
      else delete self[property];
    },
    [Symbol.dispose](): void {
      spy.restore();
    },
  });
  Object.defineProperty(self, property, {
    configurable: true,
    enumerable: before?.enumerable ?? false,
    writable: before?.writable ?? false,
    value: spy,
  });
  return spy;
}
