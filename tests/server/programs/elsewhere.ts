/** An error from a file of its own, whose stack has not been formatted before. @module */

/** Fails if `fails`. */
export function failIf(fails: boolean): void {
  // A file without any `if` is compiled without a look at the stack's limits.
  if (fails) throw new Error("from elsewhere");
}
