/** Does the certificate that a client showed count? @module */

import type { TLSSocket } from "node:tls";

/** What came of asking a client for its certificate. */
export interface ClientVerdict {
  /** Whether one of the authorities signed what it showed. */
  readonly authorized: boolean;
  /** Why not, in the words of OpenSSL where it has them. */
  readonly authorizationError?: string;
}

/** Certificates that are remembered for the same authorities, each of which they signed. */
const MAX_PROVEN = 65_536;

/**
 * Which certificates were seen to be good, by the authorities they were verified with, and by their
 * fingerprint. For the whole process, as the tickets are with which clients resume.
 */
const provenBy = new Map<string, Set<string>>();

/**
 * Deno's TLS lets every certificate through, and leaves it to `tls.createServer` to look at what was
 * wrong with it. That looks at a new session alone: a resumed one passes as it is, and tickets are
 * good for every server of the process, so that a certificate which was refused, or none at all,
 * comes in with the ticket of another server. Hence a memory of what was seen to be good.
 */
export class ClientCertificates {
  readonly #required: boolean;
  readonly #proven: Set<string>;

  /**
   * @param required Whether a client is refused whose certificate does not count.
   * @param clientCa The authorities, as PEM.
   */
  constructor(required: boolean, clientCa: readonly string[]) {
    this.#required = required;
    const authorities = clientCa.join("\n");
    this.#proven = provenBy.get(authorities) ?? new Set();
    provenBy.set(authorities, this.#proven);
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
    // Of a session that is resumed again and again, nobody else would notice.
    if (!(Date.now() < Date.parse(valid_to!))) return "CERT_HAS_EXPIRED";
    if (socket.isSessionReused()) {
      return this.#proven.has(fingerprint256) ? undefined : "its session was resumed, not verified";
    }
    const fault = verificationFault(socket);
    if (fault === undefined) this.#remember(fingerprint256);
    return fault;
  }

  #remember(fingerprint: string): void {
    this.#proven.delete(fingerprint);
    this.#proven.add(fingerprint);
    if (this.#proven.size > MAX_PROVEN) this.#proven.delete(this.#proven.keys().next().value!);
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
