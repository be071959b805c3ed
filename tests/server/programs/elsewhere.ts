/** An error that comes from a file of its own, whose stack nobody has looked at before. @module */

/** Fails if it is told to. */
export function failIf(fails: boolean): void {
  // A file without any `if` is compiled without a look at the stack's limits.
  if (fails) throw new Error("from elsewhere");
}
