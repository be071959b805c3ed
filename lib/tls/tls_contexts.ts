/** Keeps the certificates of an address ready for handshakes, one for each server name. @module */

import type { SecureContext, SecureContextOptions, TLSSocket, TLSSocketOptions } from "node:tls";
import { checkCertificate, readCertificates } from "./check_certificate.ts";
import { bad, checkKeys, isObject } from "../check.ts";
import { withAlert } from "./alert.ts";
import { ClientCertificates, type ClientVerdict } from "./client_certificates.ts";
import { requireTlsEngine } from "./tls_engine.ts";
import {
  type AskForCertificate,
  type Certificate,
  completeCertificate,
  type CompleteTls,
  completeTlsAlone,
  plainServerName,
  TLS_KEYS,
  type TlsListenOptions,
  type TlsSettings,
} from "./tls_options.ts";

/** What `new TLSSocket()` takes for one handshake, and the check to make once it is complete. */
export interface HandshakeOptions extends TLSSocketOptions {
  /**
   * Verifies the peer's certificate where one is asked for; without this call any certificate passes.
   * Throws if one is required and this one is not valid.
   */
  checkPeer?: (socket: TLSSocket) => ClientVerdict;
  /** Whether the session that a client wants to resume is worth a full handshake, before it is answered. */
  mayResume?: (socket: TLSSocket) => boolean;
  /** Options for the same handshake in full; `undefined` if there is no way to one. */
  afresh?: () => HandshakeOptions | undefined;
}

/** The TLS alert for a name without a certificate (RFC 8446, 6.2). */
const UNRECOGNIZED_NAME = 112;

/** Contexts kept for what the function in `serverNames` returns; each takes some 5 KB. */
const MAX_CONTEXTS = 1000;

const RELOAD = "reload TLS";

/** The certificates of an address, ready for handshakes; they can be replaced at any time. */
export class TlsContexts {
  readonly isServer = true;
  #complete: CompleteTls;
  #options: HandshakeOptions;

  /**
   * Loads node:tls, which takes 28 ms and 10 MB once in a process.
   *
   * @param attempt What is attempted, for messages.
   * @param complete The options.
   * @throws {Deno.errors.NotSupported} If node:tls of this Deno lacks what is needed.
   * @throws {TypeError} If a certificate cannot be read, or a key is not its certificate's.
   * @throws {RangeError} If a chain is longer than clients accept.
   */
  constructor(attempt: string, complete: CompleteTls) {
    requireTlsEngine(attempt);
    this.#complete = complete;
    this.#options = optionsOf(attempt, complete);
  }

  /** The options of a handshake that begins now. */
  socketOptions(): HandshakeOptions {
    return this.#options;
  }

  /**
   * Makes others ready; calling the returned function puts them in force, which cannot fail.
   * Handshakes in progress and connections keep what they have. Options that are not given stay as
   * they are, so that a new certificate does not switch the check of clients off.
   *
   * @throws {TypeError} As the constructor does, and if nothing is given.
   * @throws {RangeError} As the constructor does.
   */
  prepare(options: TlsListenOptions): () => void {
    const complete = completeTlsAlone(RELOAD, this.#with(options));
    const made = optionsOf(RELOAD, complete);
    return () => {
      this.#complete = complete;
      this.#options = made;
    };
  }

  /** The options in force, some of them replaced. */
  #with(options: TlsListenOptions): TlsListenOptions {
    checkKeys(RELOAD, options, TLS_KEYS);
    const given = withoutUndefined(options);
    if (Object.keys(given).length === 0) {
      throw new TypeError(`Cannot ${RELOAD} with nothing new: give ${TLS_KEYS.join(", ")}`);
    }
    // By itself, one half would be paired with the other half of the old certificate.
    if (given["cert"] !== undefined || given["key"] !== undefined) {
      completeCertificate(RELOAD, "", given);
    }
    const now = asOptions(this.#complete);
    const tls = isObject(given["tls"])
      ? { ...now.tls, ...withoutUndefined(given["tls"]) }
      : given["tls"];
    return { ...now, ...given, ...(tls !== undefined && { tls: tls as TlsSettings }) };
  }
}

/** The options that completed to this. */
function asOptions(complete: CompleteTls): TlsListenOptions {
  const { fallback, serverNames, alpnProtocols, clientCa, clientCertificate } = complete;
  const { minVersion, maxVersion } = complete;
  return {
    ...fallback,
    ...(alpnProtocols.length > 0 && { alpnProtocols: [...alpnProtocols] }),
    tls: withoutUndefined({
      serverNames: serverNames instanceof Map ? Object.fromEntries(serverNames) : serverNames,
      clientCa: clientCa.length > 0 ? [...clientCa] : undefined,
      clientCertificate,
      minVersion,
      maxVersion,
    }),
  };
}

function optionsOf(attempt: string, complete: CompleteTls): HandshakeOptions {
  const { fallback, serverNames, alpnProtocols, clientCa, clientCertificate } = complete;
  for (const text of clientCa) readCertificates(attempt, "tls.clientCa", text);
  const contexts = new Contexts(complete);
  const byDefault = fallback && contexts.of(attempt, "", fallback);
  return {
    isServer: true,
    // Always given: without it, node:tls makes one for each handshake.
    secureContext: byDefault ?? loadTls().createSecureContext(versionsOf(complete)),
    ...(alpnProtocols.length > 0 && { ALPNProtocols: [...alpnProtocols] }),
    ...(serverNames !== undefined && {
      SNICallback: sniCallback(chooserOf(attempt, serverNames, contexts), byDefault),
    }),
    ...(clientCertificate !== undefined && askClient(attempt, complete)),
  };
}

function askClient(attempt: string, complete: CompleteTls): HandshakeOptions {
  const { clientCertificate, clientCa, maxVersion } = complete;
  const required = clientCertificate === "required";
  const certificates = new ClientCertificates(required, clientCa);
  let afresh: HandshakeOptions | undefined;
  return {
    requestCert: true,
    rejectUnauthorized: required,
    checkPeer: (socket) => certificates.check(socket),
    mayResume: (socket) => certificates.mayResume(socket),
    // Deno has one key for the tickets of the whole process, and no way not to accept one. A session of
    // TLS 1.3 is not resumed with TLS 1.2, which nearly every client offers as well.
    ...(complete.minVersion !== "TLSv1.3" && maxVersion !== "TLSv1.2" && {
      afresh: () => afresh ??= optionsOf(attempt, { ...complete, maxVersion: "TLSv1.2" }),
    }),
  };
}

/** Finds the context for a name; `null` if there is none. */
type Chooser = (name: string) => SecureContext | null | Promise<SecureContext | null>;

function chooserOf(
  attempt: string,
  serverNames: ReadonlyMap<string, Certificate> | AskForCertificate,
  contexts: Contexts,
): Chooser {
  if (typeof serverNames === "function") return asking(serverNames, contexts);
  const known = new Map([...serverNames].map(([name, certificate]) => {
    const prefix = `tls.serverNames[${JSON.stringify(name)}].`;
    return [name, contexts.of(attempt, prefix, certificate)];
  }));
  return (name) => known.get(name) ?? known.get(name.replace(/^[^.]+/, "*")) ?? null;
}

function asking(ask: AskForCertificate, contexts: Contexts): Chooser {
  return (name) => {
    const attempt = `find the certificate for ${JSON.stringify(name)}`;
    const use = (given: unknown): SecureContext | null => {
      if (given === null) return null;
      if (!isObject(given)) {
        throw new TypeError(
          bad(attempt, "tls.serverNames()", given, "an object with 'cert' and 'key', or null"),
        );
      }
      const prefix = "tls.serverNames().";
      return contexts.of(attempt, prefix, completeCertificate(attempt, prefix, given));
    };
    const failed = (error: unknown): never => {
      const message = error instanceof Error ? error.message : String(error);
      throw new TypeError(`Cannot ${attempt}: 'tls.serverNames' failed with ${message}`, {
        cause: error,
      });
    };
    let given: unknown, isPromise: boolean;
    try {
      given = ask(name);
      isPromise = isObject(given) && typeof given["then"] === "function";
    } catch (error) {
      return failed(error);
    }
    return isPromise ? Promise.resolve(given).then(use, failed) : use(given);
  };
}

/** node:tls calls it with an empty name for clients that send none. */
function sniCallback(
  choose: Chooser,
  byDefault: SecureContext | undefined,
): NonNullable<TLSSocketOptions["SNICallback"]> {
  return (given, answer) => {
    const name = plainServerName(given);
    const take = (context: SecureContext | null) => {
      const chosen = context ?? byDefault;
      if (chosen === undefined) throw noCertificateFor(name);
      answer(null, chosen);
    };
    try {
      const chosen = name === "" ? null : choose(name);
      if (!(chosen instanceof Promise)) return take(chosen);
      chosen.then(take).catch(answer);
    } catch (error) {
      answer(error as Error);
    }
  };
}

function noCertificateFor(name: string): Error {
  const asked = name === "" ? "a client that sends no name" : JSON.stringify(name);
  const error = new Deno.errors.InvalidData(
    `Cannot find a certificate for ${asked}: 'tls.serverNames' has none, and there is no 'cert'`,
  );
  return withAlert(error, UNRECOGNIZED_NAME);
}

/** Secure contexts by certificate; making one takes 0.3 ms, checking the certificate 0.5 ms. */
class Contexts {
  readonly #complete: CompleteTls;
  /** By the text of the certificate, since a function may return a new object each time. */
  readonly #made = new Map<string, { readonly key: string; readonly context: SecureContext }>();

  constructor(complete: CompleteTls) {
    this.#complete = complete;
  }

  of(attempt: string, prefix: string, certificate: Certificate): SecureContext {
    const { cert, key, passphrase } = certificate;
    const before = this.#made.get(cert);
    if (before?.key === key) return before.context;
    const { clientCa } = this.#complete;
    checkCertificate(attempt, prefix, certificate, clientCa);
    const context = loadTls().createSecureContext({
      cert,
      key,
      ...(passphrase !== undefined && { passphrase }),
      // Each needs the authorities: node:tls takes them from the chosen context.
      ...(clientCa.length > 0 && { ca: [...clientCa] }),
      ...versionsOf(this.#complete),
    });
    this.#made.delete(cert);
    this.#made.set(cert, { key, context });
    if (this.#made.size > MAX_CONTEXTS) this.#made.delete(this.#made.keys().next().value!);
    return context;
  }
}

function versionsOf({ minVersion, maxVersion }: CompleteTls): SecureContextOptions {
  return {
    ...(minVersion !== undefined && { minVersion }),
    ...(maxVersion !== undefined && { maxVersion }),
  };
}

function loadTls(): typeof import("node:tls") {
  return process.getBuiltinModule("node:tls");
}

function withoutUndefined(given: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
