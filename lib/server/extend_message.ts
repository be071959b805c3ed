/** How is an error told more of without becoming another one? @module */

/**
 * Puts `before` in front of an error's message. The same object is kept, because a new one would
 * have neither the `code` nor the class; an error that cannot be changed stays as it is.
 */
export function extendMessage(error: unknown, before: string, after = ""): void {
  try {
    if (!(error instanceof Error) || error.message.startsWith(before)) return;
    error.message = `${before}${error.message}${after}`;
  } catch {
    // Frozen, or a DOMException, whose message has no setter.
  }
}
