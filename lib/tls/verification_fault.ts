/** Asks node:tls what is wrong with the peer's certificate. @module */

import type { TLSSocket } from "node:tls";

/**
 * Why no authority vouches for the peer's certificate, in OpenSSL's words where it has any; `undefined`
 * if one does. There is no public way to ask: only `tls.createServer` and `tls.connect` fill in what is
 * documented. Of a resumed session nothing is verified.
 */
export function verificationFault(socket: TLSSocket): string | undefined {
  const { ssl } = socket as unknown as { ssl?: { verifyError?: () => unknown } };
  if (typeof ssl?.verifyError !== "function") {
    return "this Deno does not tell what is wrong with it";
  }
  const fault = ssl.verifyError();
  if (fault === "" || fault === null || fault === undefined) return undefined;
  const { code = String(fault) } = Object(fault) as { code?: string };
  return code;
}
