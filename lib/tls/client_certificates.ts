/** Verifies the certificates that clients present, in resumed sessions too. @module */

import type { TLSSocket } from "node:tls";
import { certificatesOf } from "./pem.ts";
import { verificationFault } from "./verification_fault.ts";

/** What came of asking a client for its certificate. */
export interface ClientVerdict {
  /** Whether one of the authorities has signed it. */
  readonly authorized: boolean;
  /** Why not, in OpenSSL's words where it has any. */
  readonly authorizationError?: string;
}

/** A set of authorities, whatever order they were given in. */
type Authorities = ReadonlySet<string>;

/** What came of verifying a certificate with some authorities. */
interface Finding {
  readonly authorities: Authorities;
  /** Why it is not valid; `undefined` if it is. */
  readonly fault: string | undefined;
}

/** Certificates that are remembered, and findings about each: as many servers as one client meets. */
const MAX_CERTIFICATES = 65_536;
const MAX_FINDINGS = 4;

/** By fingerprint, and for the whole process, as tickets are. */
const findings = new Map<string, readonly Finding[]>();

/** The fault of a certificate that was never verified with our authorities. */
const UNVERIFIED = "its session was resumed, not verified";

/**
 * Deno's TLS lets every certificate through and leaves it to `tls.createServer` to look at the fault.
 * That looks at new sessions only: a resumed one passes as it is, and a ticket is good for every server
 * of the process, so that a refused certificate, or none, comes in with the ticket of another server.
 * Hence a memory of which certificate was verified with which authorities.
 */
export class ClientCertificates {
  readonly #required: boolean;
  readonly #authorities: Authorities;

  /**
   * @param required Whether a client without a valid certificate is refused.
   * @param clientCa The authorities, as PEM.
   */
  constructor(required: boolean, clientCa: readonly string[]) {
    this.#required = required;
    const authorities = clientCa.flatMap(certificatesOf).map((pem) => pem.replaceAll(/\s/g, ""));
    this.#authorities = new Set(authorities);
  }

  /**
   * Whether the session being resumed, if one is, is worth a full handshake. Where a certificate is only
   * requested, a client without a valid one resumes as what it is.
   */
  mayResume(socket: TLSSocket): boolean {
    if (!socket.isSessionReused()) return true;
    const fault = this.#faultOf(socket);
    return fault === undefined || (!this.#required && fault !== UNVERIFIED);
  }

  /**
   * To be called when the handshake is complete, before a byte of the client is believed.
   *
   * @throws {Deno.errors.InvalidData} If a certificate is required, and this one is not valid.
   */
  check(socket: TLSSocket): ClientVerdict {
    const fault = this.#faultOf(socket);
    if (fault === undefined) return { authorized: true };
    if (!this.#required) return { authorized: false, authorizationError: fault };
    throw new Deno.errors.InvalidData(`Cannot accept the client's certificate: ${fault}`);
  }

  #faultOf(socket: TLSSocket): string | undefined {
    const { fingerprint256, valid_to } = socket.getPeerCertificate() ?? {};
    if (fingerprint256 === undefined) return "it presented none";
    // Nothing else would notice in a session that is resumed again and again.
    if (!(Date.now() < Date.parse(valid_to!))) return "CERT_HAS_EXPIRED";
    if (socket.isSessionReused()) return this.#knownFaultOf(fingerprint256);
    const fault = verificationFault(socket);
    // A refused certificate is in no session.
    if (fault === undefined || !this.#required) this.#remember(fingerprint256, fault);
    return fault;
  }

  /** More authorities keep a certificate valid, and fewer keep it invalid. */
  #knownFaultOf(fingerprint: string): string | undefined {
    const known = findings.get(fingerprint) ?? [];
    const ours = this.#authorities;
    const isValid = known.some(({ fault, authorities }) =>
      fault === undefined && authorities.isSubsetOf(ours)
    );
    if (isValid) return undefined;
    const invalid = known.find(({ fault, authorities }) =>
      fault !== undefined && ours.isSubsetOf(authorities)
    );
    return invalid?.fault ?? UNVERIFIED;
  }

  #remember(fingerprint: string, fault: string | undefined): void {
    const authorities = this.#authorities;
    if (authorities.size === 0) return; // which would be a part of any other set
    const others = (findings.get(fingerprint) ?? [])
      .filter((finding) => finding.authorities !== authorities);
    findings.delete(fingerprint);
    findings.set(fingerprint, [...others.slice(1 - MAX_FINDINGS), { authorities, fault }]);
    if (findings.size > MAX_CERTIFICATES) findings.delete(findings.keys().next().value!);
  }
}
