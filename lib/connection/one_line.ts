/** How does foreign text stay on one line? @module */

/**
 * The text with its control characters written out. What a peer, a path or a message brings along
 * must not forge a second line in a log or move the cursor of a terminal.
 */
export function oneLine(text: string): string {
  return text.replace(
    // deno-lint-ignore no-control-regex -- control characters are what is looked for
    /[\x00-\x1f\x7f-\x9f\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
