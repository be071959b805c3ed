/** What does a codec do when nothing is said? @module */

/** The defaults of the options of each codec. */
export const CODEC_DEFAULTS = Object.freeze({
  lines: Object.freeze({
    limit: 65536,
    onOversize: "error" as const,
    unterminated: "error" as const,
    encoding: "utf-8",
    fatal: false,
    ending: "\n" as const,
  }),
  delimited: Object.freeze({
    limit: 65536,
    onOversize: "error" as const,
    unterminated: "error" as const,
  }),
  lengthPrefixed: Object.freeze({
    bytes: 4 as const,
    endian: "big" as const,
    offset: 0,
    adjustment: 0,
    includePrefix: false,
    limit: 1_048_576,
    onOversize: "error" as const,
  }),
});
