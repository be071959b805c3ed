/** Matches a text against a pattern with `*`, `?`, `[a-z]`, `[^a]` and `\`. @module */

/**
 * Compares in steps of at most the product of both lengths: after a mismatch the last star takes one
 * character more; stars before it need not be tried again.
 */
export function matchesGlob(text: string, pattern: string): boolean {
  let at = 0;
  let star: { readonly behind: number; from: number } | undefined;
  for (let i = 0; at < text.length || i < pattern.length;) {
    if (pattern[i] === "*") {
      star = { behind: ++i, from: at };
      continue;
    }
    const end = at < text.length && i < pattern.length ? matchOne(text[at]!, pattern, i) : -1;
    if (end >= 0) {
      at++;
      i = end;
    } else if (star !== undefined && star.from < text.length) {
      at = ++star.from;
      i = star.behind;
    } else return false;
  }
  return true;
}

/** Where the pattern goes on after the part that matches this character; -1 if it does not match. */
function matchOne(character: string, pattern: string, i: number): number {
  switch (pattern[i]) {
    case "?":
      return i + 1;
    case "[":
      return matchSet(character, pattern, i + 1);
    case "\\":
      // At the end of the pattern it is a literal.
      if (i + 1 < pattern.length) i++;
  }
  return pattern[i] === character ? i + 1 : -1;
}

/** `i` is after the bracket; an unclosed set ends with the pattern. */
function matchSet(character: string, pattern: string, i: number): number {
  const negated = pattern[i] === "^";
  if (negated) i++;
  let found = false;
  for (; i < pattern.length && pattern[i] !== "]"; i++) {
    if (pattern[i] === "\\" && i + 1 < pattern.length) {
      found ||= pattern[++i] === character;
    } else if (pattern[i + 1] === "-" && i + 2 < pattern.length) {
      const ends = [pattern[i]!, pattern[i + 2]!].toSorted();
      found ||= ends[0]! <= character && character <= ends[1]!;
      i += 2;
    } else found ||= pattern[i] === character;
  }
  return found !== negated ? i + 1 : -1;
}
