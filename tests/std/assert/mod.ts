/**
 * Stands in for `@std/assert` where JSR cannot be reached: the same code, from npm.
 *
 * The npm package carries no types, so `types.d.ts` says what the originals say; without
 * it every value would be `any` and no assertion would narrow anything.
 *
 * @module
 */

// @ts-types="./types.d.ts"
export * from "deno-std/assert/mod.js";
