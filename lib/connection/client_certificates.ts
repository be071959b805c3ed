/** Does the certificate that a client showed count? @module */

import type { TLSSocket } from "node:tls";

/** What came of asking a client for its certificate. */
export interface ClientVerdict {
  /** Whether one of the authorities signed what it showed. */
  readonly authorized: boolean;
  /** Why not, in the words of OpenSSL where it has them. */
  readonly authorizationError?: string;
}

/** Certificates that are remembered; each is one that an authority of ours signed. */
const MAX_PROVEN = 65_536;

/**
 * Deno's TLS lets every certificate through, and leaves it to `tls.createServer` to look at what was
 * wrong with it. That looks at a new session alone: a resumed one passes as it is, and tickets are
 * good for every server of the process, so that a certificate which was refused, or none at all,
 * comes in with the ticket of another server. Hence this memory of what was seen to be good here.
 */
export class ClientCertificates {
  readonly #required: boolean;
  /** When the certificates run out that were verified here, by their fingerprint. */
  readonly #proven = new Map<string, number>();

  constructor(required: boolean) {
    this.#required = required;
  }

  /**
   * To be called when the handshake is complete, before a byte of the client is believed.
   *
   * @throws {Deno.errors.InvalidData} If a certificate is required, and this one does not count.
   */
  check(socket: TLSSocket): ClientVerdict {
    const fault = this.#faultOf(socket);
    if (fault === undefined) return { authorized: true };
    if (!this.#required) return { authorized: false, authorizationError: fault };
    throw new Deno.errors.InvalidData(`Cannot let the client in by its certificate: ${fault}`);
  }

  #faultOf(socket: TLSSocket): string | undefined {
    const { fingerprint256, valid_to } = socket.getPeerCertificate() ?? {};
    if (fingerprint256 === undefined) return "it showed none";
    const end = Date.parse(valid_to!);
    if (!(Date.now() < end)) return "CERT_HAS_EXPIRED";
    if (socket.isSessionReused()) {
      return this.#proven.has(fingerprint256) ? undefined : "its session was resumed, not verified";
    }
    const fault = verificationFault(socket);
    this.#proven.delete(fingerprint256);
    if (fault !== undefined) return fault;
    this.#proven.set(fingerprint256, end);
    if (this.#proven.size > MAX_PROVEN) this.#proven.delete(this.#proven.keys().next().value!);
    return undefined;
  }
}

/** There is no public way to ask: what is documented is filled in by `tls.createServer` alone. */
function verificationFault(socket: TLSSocket): string | undefined {
  const { ssl } = socket as unknown as { ssl?: { verifyError?: () => unknown } };
  if (typeof ssl?.verifyError !== "function") {
    return "this Deno does not tell what is wrong with it";
  }
  const fault = ssl.verifyError();
  if (fault === "" || fault === null || fault === undefined) return undefined;
  const { code = String(fault) } = Object(fault) as { code?: string };
  return code;
}
