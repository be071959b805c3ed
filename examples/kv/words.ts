/** Splits a typed line into words. @module */

import { ProtocolError } from "jsr:@usher/server@^0.2.0";
import { fromLatin1 } from "./text.ts";

const SPACES = /[ \t\v\f\r]*/y;

/** A word, with or without quotes, or both as in `a"b c"`; a space or nothing follows. */
const WORD =
  /([^ \t\v\f\r"']*)(?:"((?:\\[^]|[^"\\])*)"|'((?:\\'|\\(?!')|[^'\\])*)')?(?=[ \t\v\f\r]|$)/y;

const ESCAPES: Record<string, string> = { n: "\n", r: "\r", t: "\t", b: "\b", a: "\x07" };

/**
 * Splits an inline command.
 *
 * @throws {ProtocolError} If a quote is not closed, or text follows its end.
 */
export function wordsOf(line: string): Uint8Array[] {
  const command: Uint8Array[] = [];
  for (let at = behind(SPACES, line, 0); at < line.length; at = behind(SPACES, line, at)) {
    WORD.lastIndex = at;
    const match = WORD.exec(line);
    if (match === null) throw new ProtocolError("Protocol error: unbalanced quotes in request");
    const [all, plain = "", double = "", single = ""] = match;
    at += all.length;
    command.push(fromLatin1(plain + unescaped(double) + single.replaceAll("\\'", "'")));
  }
  return command;
}

function behind(pattern: RegExp, line: string, at: number): number {
  pattern.lastIndex = at;
  pattern.test(line);
  return pattern.lastIndex;
}

function unescaped(text: string): string {
  return text.replaceAll(
    /\\(?:x([\da-fA-F]{2})|([^]))/g,
    (_, hex, char) => hex ? String.fromCharCode(parseInt(hex, 16)) : ESCAPES[char] ?? char,
  );
}
