/** Which certificate is for which name? @module */

import type { SecureContext, TLSSocket, TLSSocketOptions } from "node:tls";
import { checkCertificate, readCertificates } from "./check_certificate.ts";
import { bad, checkKeys, isObject } from "../check.ts";
import { ClientCertificates, type ClientVerdict } from "./client_certificates.ts";
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

/** What `new TLSSocket()` takes for one handshake, and what is to be asked when it is complete. */
export interface HandshakeOptions extends TLSSocketOptions {
  /**
   * Whether the client's certificate counts; there where one is asked for. Without this call every
   * certificate does. Throws if one is required and this one does not.
   */
  checkClient?: (socket: TLSSocket) => ClientVerdict;
}

/** The alert of TLS that no certificate is for the name (RFC 8446, 6.2). */
const UNRECOGNIZED_NAME = 112;

/** Contexts that are kept for what the function in `serverNames` gives; each is some 5 KB. */
const MAX_CONTEXTS = 1000;

const VERB = "reload TLS";

/** Errors that say to the client more than that the handshake failed. */
const unrecognized = new WeakSet<object>();

/** The alert to send for an error of `SNICallback`, where there is a fitting one: Deno sends none. */
export function alertOf(error: unknown): number | undefined {
  return isObject(error) && unrecognized.has(error) ? UNRECOGNIZED_NAME : undefined;
}

/** The certificates of an address, ready for handshakes; they can be exchanged at any time. */
export class TlsContexts {
  #complete: CompleteTls;
  #options: HandshakeOptions;

  /**
   * Loads node:tls, which costs 28 ms and 10 MB once in a process.
   *
   * @throws {TypeError} If a certificate cannot be read, or a key is not its certificate's.
   * @throws {RangeError} If a chain is longer than clients take.
   */
  constructor(complete: CompleteTls) {
    this.#complete = complete;
    this.#options = optionsOf(complete);
  }

  /** For the next handshake. */
  socketOptions(): HandshakeOptions {
    return this.#options;
  }

  /**
   * Makes others ready; calling what this gives puts them in force, which cannot fail. Handshakes
   * under way, and connections, go on with what they have. What is not given stays as it is, so that
   * a new certificate does not let every client in.
   *
   * @throws {TypeError} As the constructor does, and if nothing is given.
   * @throws {RangeError} As the constructor does.
   */
  prepare(options: TlsListenOptions): () => void {
    const complete = completeTlsAlone(VERB, this.#with(options), "reloadTls()");
    const made = optionsOf(complete);
    return () => {
      this.#complete = complete;
      this.#options = made;
    };
  }

  /** What is in force, with some of it replaced. */
  #with(options: TlsListenOptions): TlsListenOptions {
    checkKeys(VERB, options, TLS_KEYS);
    const given = withoutUndefined(options);
    if (Object.keys(given).length === 0) {
      throw new TypeError(`Cannot ${VERB} with nothing new: give ${TLS_KEYS.join(", ")}`);
    }
    // One half would find the other half of the old pair.
    if (given.cert !== undefined || given.key !== undefined) completeCertificate(VERB, "", given);
    const now = asOptions(this.#complete);
    const tls = isObject(given.tls) ? { ...now.tls, ...withoutUndefined(given.tls) } : given.tls;
    return { ...now, ...given, ...(tls !== undefined && { tls: tls as TlsSettings }) };
  }
}

/** The options that completed to this. */
function asOptions(complete: CompleteTls): TlsListenOptions {
  const { fallback, serverNames, alpnProtocols, clientCa, clientCertificate } = complete;
  return {
    ...fallback,
    ...(alpnProtocols.length > 0 && { alpnProtocols: [...alpnProtocols] }),
    tls: withoutUndefined({
      serverNames: serverNames instanceof Map ? Object.fromEntries(serverNames) : serverNames,
      clientCa: clientCa.length > 0 ? [...clientCa] : undefined,
      clientCertificate,
    }),
  };
}

function optionsOf(complete: CompleteTls): HandshakeOptions {
  const { verb, fallback, serverNames, alpnProtocols, clientCa, clientCertificate } = complete;
  for (const text of clientCa) readCertificates(verb, "tls.clientCa", text);
  const contexts = new Contexts(clientCa);
  const byDefault = fallback && contexts.of(verb, "", fallback);
  return {
    isServer: true,
    // Given always: without it, node:tls makes one for each handshake.
    secureContext: byDefault ?? loadTls().createSecureContext(),
    ...(alpnProtocols.length > 0 && { ALPNProtocols: [...alpnProtocols] }),
    ...(serverNames !== undefined && {
      SNICallback: sniCallback(chooserOf(verb, serverNames, contexts), byDefault),
    }),
    ...(clientCertificate !== undefined && askClient(clientCertificate === "required", clientCa)),
  };
}

function askClient(required: boolean, clientCa: readonly string[]): HandshakeOptions {
  const certificates = new ClientCertificates(required, clientCa);
  return {
    requestCert: true,
    rejectUnauthorized: required,
    checkClient: (socket) => certificates.check(socket),
  };
}

/** Finds the context for a name, `null` where there is none. */
type Chooser = (name: string) => SecureContext | null | Promise<SecureContext | null>;

function chooserOf(
  verb: string,
  serverNames: ReadonlyMap<string, Certificate> | AskForCertificate,
  contexts: Contexts,
): Chooser {
  if (typeof serverNames === "function") return asking(serverNames, contexts);
  const known = new Map([...serverNames].map(([name, certificate]) => {
    const prefix = `tls.serverNames[${JSON.stringify(name)}].`;
    return [name, contexts.of(verb, prefix, certificate)];
  }));
  return (name) => known.get(name) ?? known.get(name.replace(/^[^.]+/, "*")) ?? null;
}

function asking(ask: AskForCertificate, contexts: Contexts): Chooser {
  return (name) => {
    const verb = `find the certificate for ${JSON.stringify(name)}`;
    const use = (given: unknown): SecureContext | null => {
      if (given === null) return null;
      if (!isObject(given)) {
        throw new TypeError(
          bad(verb, "tls.serverNames()", given, "an object with 'cert' and 'key', or null"),
        );
      }
      const prefix = "tls.serverNames().";
      return contexts.of(verb, prefix, completeCertificate(verb, prefix, given));
    };
    const failed = (error: unknown): never => {
      const told = error instanceof Error ? error.message : String(error);
      throw new TypeError(`Cannot ${verb}: 'tls.serverNames' failed with ${told}`, {
        cause: error,
      });
    };
    let given: unknown, isPromise: boolean;
    try {
      given = ask(name);
      isPromise = isObject(given) && typeof given.then === "function";
    } catch (error) {
      return failed(error);
    }
    return isPromise ? Promise.resolve(given).then(use, failed) : use(given);
  };
}

/** node:tls calls it with an empty name for clients that name nothing. */
function sniCallback(
  choose: Chooser,
  byDefault: SecureContext | undefined,
): NonNullable<TLSSocketOptions["SNICallback"]> {
  return (given, answer) => {
    const name = plainServerName(given);
    const take = (context: SecureContext | null) => {
      const chosen = context ?? byDefault;
      if (chosen === undefined) throw nobodyIs(name);
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

function nobodyIs(name: string): Error {
  const asked = name === "" ? "a client that names none" : JSON.stringify(name);
  const error = new Deno.errors.InvalidData(
    `Cannot find a certificate for ${asked}: 'tls.serverNames' has none, and there is no 'cert'`,
  );
  unrecognized.add(error);
  return error;
}

/** Secure contexts by their certificates; to make one takes 0.3 ms, to check it first 0.5 ms more. */
class Contexts {
  readonly #clientCa: readonly string[];
  /** By the text of the certificate: who gives a new object each time has few certificates. */
  readonly #made = new Map<string, { readonly key: string; readonly context: SecureContext }>();

  constructor(clientCa: readonly string[]) {
    this.#clientCa = clientCa;
  }

  of(verb: string, prefix: string, certificate: Certificate): SecureContext {
    const { cert, key } = certificate;
    const before = this.#made.get(cert);
    if (before?.key === key) return before.context;
    checkCertificate(verb, prefix, certificate, this.#clientCa);
    // Each needs the authorities: node:tls takes them from the context that was chosen.
    const ca = this.#clientCa.length > 0 ? { ca: [...this.#clientCa] } : {};
    const context = loadTls().createSecureContext({ cert, key, ...ca });
    this.#made.delete(cert);
    this.#made.set(cert, { key, context });
    if (this.#made.size > MAX_CONTEXTS) this.#made.delete(this.#made.keys().next().value!);
    return context;
  }
}

function loadTls(): typeof import("node:tls") {
  return process.getBuiltinModule("node:tls");
}

function withoutUndefined(given: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}
