/** Carries an error from one thread to another, class and code included. @module */

/** An error as it travels: structured cloning would leave every class but the language's own behind. */
export interface SentError {
  readonly name: string;
  readonly message: string;
  readonly code: string | undefined;
  readonly stack: string | undefined;
}

/** What to send of an error, or of anything else that was thrown. */
export function packError(thrown: unknown): SentError {
  if (!(thrown instanceof Error)) {
    return { name: "Error", message: String(thrown), code: undefined, stack: undefined };
  }
  const { name, message, stack } = thrown;
  const { code } = thrown as { code?: unknown };
  return { name, message, code: typeof code === "string" ? code : undefined, stack };
}

/** The error that was sent, of the class that it was of where this thread knows it. */
export function unpackError({ name, message, code, stack }: SentError): Error {
  const error = make(name, message);
  const properties = { ...(code !== undefined && { code }), ...(stack !== undefined && { stack }) };
  for (const [key, value] of Object.entries(properties)) {
    Object.defineProperty(error, key, { value, configurable: true, writable: true });
  }
  if (error.name !== name) error.name = name;
  return error;
}

type ErrorClass = new (message: string) => Error;

function make(name: string, message: string): Error {
  if (name === "AbortError" || name === "TimeoutError") return new DOMException(message, name);
  const errors = { ...Deno.errors, TypeError, RangeError, SyntaxError, ReferenceError, URIError };
  const { [name]: Known = Error } = errors as unknown as Record<string, ErrorClass>;
  return new Known(message);
}
