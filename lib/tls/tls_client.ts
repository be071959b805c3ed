/** Makes handshakes as a client, which accepts only the server that it means. @module */

import type { TLSSocket } from "node:tls";
import { checkCertificate, readCertificates } from "./check_certificate.ts";
import type { ClientVerdict } from "./client_certificates.ts";
import { certificatesOf } from "./pem.ts";
import type { HandshakeOptions } from "./tls_contexts.ts";
import { requireTlsEngine } from "./tls_engine.ts";
import type { CompleteTlsClient } from "./tls_options.ts";
import { verificationFault } from "./verification_fault.ts";

/** Certificates that are remembered, each with the name that it was verified for. */
const MAX_VERIFIED = 4096;

/**
 * By name and fingerprint, the authorities that a server's certificate was verified with. Deno keeps the
 * sessions of all clients of a process together by name, so that one which was made without any check
 * could be resumed here; and of a resumed session nothing is verified.
 */
const verifiedWith = new Map<string, ReadonlySet<string>>();

/** The client's side of a handshake with one server. */
export class TlsClient {
  readonly isServer = false;
  readonly #serverName: string;
  readonly #authorities: ReadonlySet<string>;
  readonly #options: HandshakeOptions;

  /**
   * Loads node:tls, which takes 28 ms and 10 MB once in a process.
   *
   * @param attempt What is attempted, for messages.
   * @param complete The options.
   * @throws {Deno.errors.NotSupported} If node:tls of this Deno lacks what is needed.
   * @throws {TypeError} If a certificate cannot be read, or a key is not its certificate's.
   */
  constructor(attempt: string, complete: CompleteTlsClient) {
    requireTlsEngine(attempt);
    const { serverName, caCerts, alpnProtocols, certificate } = complete;
    for (const text of caCerts) readCertificates(attempt, "caCerts", text);
    if (certificate !== undefined) checkCertificate(attempt, "", certificate, []);
    const secureContext = process.getBuiltinModule("node:tls").createSecureContext(certificate);
    const { context } = secureContext as unknown as { context: { addCACert(pem: string): void } };
    // Beside the authorities that Deno trusts; the option `ca` would take their place.
    for (const text of caCerts) context.addCACert(text);
    this.#serverName = serverName;
    this.#authorities = new Set(
      caCerts.flatMap(certificatesOf).map((pem) => pem.replaceAll(/\s/g, "")),
    );
    this.#options = {
      isServer: false,
      requestCert: true,
      secureContext,
      ...(alpnProtocols.length > 0 && { ALPNProtocols: [...alpnProtocols] }),
      // What Deno takes, though it is in no type.
      ...{ servername: serverName },
      checkPeer: (socket) => this.#check(socket),
    };
  }

  /** The options of a handshake that begins now. */
  socketOptions(): HandshakeOptions {
    return this.#options;
  }

  #check(socket: TLSSocket): ClientVerdict {
    const fault = this.#faultOf(socket);
    if (fault === undefined) return { authorized: true };
    throw new Deno.errors.InvalidData(
      `Cannot accept the certificate of ${JSON.stringify(this.#serverName)}: ${fault}`,
    );
  }

  #faultOf(socket: TLSSocket): string | undefined {
    const certificate = socket.getPeerCertificate(true);
    if (certificate?.fingerprint256 === undefined) return "it presented none";
    if (!(Date.now() < Date.parse(certificate.valid_to))) return "CERT_HAS_EXPIRED";
    const { checkServerIdentity } = process.getBuiltinModule("node:tls");
    const key = `${certificate.fingerprint256} ${this.#serverName}`;
    if (socket.isSessionReused()) {
      return verifiedWith.get(key)?.isSubsetOf(this.#authorities) === true
        ? undefined
        : "a session of this process was resumed in which it was not verified";
    }
    const fault = verificationFault(socket) ??
      checkServerIdentity(this.#serverName, certificate)?.message;
    if (fault === undefined) this.#remember(key);
    return fault;
  }

  #remember(key: string): void {
    verifiedWith.delete(key);
    verifiedWith.set(key, this.#authorities);
    if (verifiedWith.size > MAX_VERIFIED) verifiedWith.delete(verifiedWith.keys().next().value!);
  }
}
