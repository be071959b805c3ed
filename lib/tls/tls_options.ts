/** Checks and completes the options of TLS. @module */

import { bad, checkChoice, checkKeys, checkObject, isObject } from "../check.ts";
import { certificatesOf, checkPem } from "./pem.ts";

/**
 * A certificate and its private key.
 *
 * @example As certbot leaves them
 * ```ts
 * import type { Certificate } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * async function issued(directory: string): Promise<Certificate> {
 *   return {
 *     cert: await Deno.readTextFile(`${directory}/fullchain.pem`),
 *     key: await Deno.readTextFile(`${directory}/privkey.pem`),
 *   };
 * }
 *
 * const directory = await Deno.makeTempDir();
 * await Deno.writeTextFile(`${directory}/fullchain.pem`, "the chain");
 * await Deno.writeTextFile(`${directory}/privkey.pem`, "the key");
 * assertEquals(await issued(directory), { cert: "the chain", key: "the key" });
 * await Deno.remove(directory, { recursive: true });
 * ```
 *
 * @category TLS
 */
export interface Certificate {
  /** The certificate as PEM text, followed by the intermediate certificates, if any. */
  cert: string;
  /** Its private key as PEM text: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519. */
  key: string;
  /** What the key is encrypted with. */
  passphrase?: string;
}

/**
 * What TLS can do besides presenting one certificate.
 *
 * @example Two names, and only clients with a certificate of our own authority
 * ```ts
 * import type { Certificate, TlsSettings } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function settings(
 *   site: Certificate,
 *   api: Certificate,
 *   clientCa: string,
 * ): TlsSettings {
 *   return {
 *     serverNames: { "www.example.com": site, "*.api.example.com": api },
 *     clientCa,
 *     clientCertificate: "required",
 *   };
 * }
 *
 * const one = { cert: "a certificate", key: "its key" };
 * assertEquals(settings(one, one, "an authority").clientCa, "an authority");
 * ```
 *
 * @category TLS
 */
export interface TlsSettings {
  /**
   * The certificate for each server name that a client asks for (SNI): names such as
   * `"www.example.com"`, where `"*.example.com"` matches every name with exactly one more label, or a
   * function that is called at each handshake with the name in lower case. A name without an entry, a
   * name for which the function returns `null` and a client that sends no name get the certificate in
   * `cert` and `key`; without one the handshake is refused. It is refused as well when the function
   * fails or returns something else.
   */
  serverNames?:
    | Record<string, Certificate>
    | ((serverName: string) => Certificate | null | Promise<Certificate | null>);
  /**
   * The authorities whose certificates clients may present, as PEM text. Deno sends them to every
   * client, behind the server's own certificate: together they may have 64 KiB.
   */
  clientCa?: string | string[];
  /**
   * `"required"`: a client without a certificate that one of `clientCa` has signed is refused.
   * `"requested"`: a client that presents none, or another one, is accepted, and `conn.tls.authorized`
   * is false; without `clientCa` it is false for every client. `"required"` if `clientCa` is given,
   * otherwise no client is asked.
   */
  clientCertificate?: "required" | "requested";
  /** The lowest version of TLS to negotiate; `"TLSv1.2"` unless given. */
  minVersion?: TlsVersion;
  /** The highest version of TLS to negotiate; `"TLSv1.3"` unless given. */
  maxVersion?: TlsVersion;
}

/**
 * The versions of TLS that Deno has.
 *
 * @example Only the newest
 * ```ts
 * import type { TlsSettings, TlsVersion } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const version: TlsVersion = "TLSv1.3";
 * const settings: TlsSettings = { minVersion: version };
 * assertEquals(settings, { minVersion: "TLSv1.3" });
 * ```
 *
 * @category TLS
 */
export type TlsVersion = "TLSv1.2" | "TLSv1.3";

/**
 * The TLS of an address.
 *
 * @example A certificate from files, and a protocol to agree on
 * ```ts
 * import type { TlsListenOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function secured(cert: string, key: string): TlsListenOptions {
 *   return {
 *     cert: Deno.readTextFileSync(cert),
 *     key: Deno.readTextFileSync(key),
 *     alpnProtocols: ["mqtt"],
 *   };
 * }
 *
 * const file = await Deno.makeTempFile();
 * assertEquals(secured(file, file), {
 *   cert: "",
 *   key: "",
 *   alpnProtocols: ["mqtt"],
 * });
 * await Deno.remove(file);
 * ```
 *
 * @category TLS
 */
export interface TlsListenOptions extends Partial<Certificate> {
  /**
   * The protocols to negotiate with the client (ALPN), the preferred one first. A client that offers
   * only others is refused, a client that offers none is not.
   */
  alpnProtocols?: string[];
  /** What goes beyond one certificate and ALPN. */
  tls?: TlsSettings;
}

/**
 * The TLS of a client: which server is meant, and which authorities vouch for it.
 *
 * @example A server with a certificate of our own authority
 * ```ts
 * import type { TlsClientOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function mailServer(serverName: string, authority: string): TlsClientOptions {
 *   return { serverName, caCerts: [authority] };
 * }
 *
 * assertEquals(mailServer("mail.example", "PEM").caCerts, ["PEM"]);
 * ```
 *
 * @category TLS
 */
export interface TlsClientOptions extends Partial<Certificate> {
  /** The DNS name or the IP address that the server's certificate must be for. A name is sent as SNI. */
  serverName: string;
  /** Authorities to trust beside those that Deno trusts, as PEM text. */
  caCerts?: string[];
  /** The protocols to negotiate with the server (ALPN), the preferred one first. */
  alpnProtocols?: string[];
}

/** The function form of `serverNames`, which may return anything. */
export type AskForCertificate = (serverName: string) => unknown;

/** TLS options, checked and copied: what the caller changes later has no effect. */
export interface CompleteTls {
  /** For clients that send no name, or an unknown one. */
  readonly fallback: Certificate | undefined;
  /** Names are in lower case; a wildcard's begins with `*.`. */
  readonly serverNames: ReadonlyMap<string, Certificate> | AskForCertificate | undefined;
  readonly alpnProtocols: readonly string[];
  readonly clientCa: readonly string[];
  readonly clientCertificate: "required" | "requested" | undefined;
  readonly minVersion: TlsVersion | undefined;
  readonly maxVersion: TlsVersion | undefined;
}

/** Options of TLS as a client, checked and copied. */
export interface CompleteTlsClient {
  readonly serverName: string;
  readonly caCerts: readonly string[];
  readonly alpnProtocols: readonly string[];
  readonly certificate: Certificate | undefined;
}

/** The keys of `TlsListenOptions`. */
export const TLS_KEYS: readonly string[] = ["cert", "key", "passphrase", "alpnProtocols", "tls"];

const SETTINGS_KEYS = ["serverNames", "clientCa", "clientCertificate", "minVersion", "maxVersion"];
const CERTIFICATE_KEYS = ["cert", "key", "passphrase"];
const CLIENT_KEYS = [...CERTIFICATE_KEYS, "serverName", "caCerts", "alpnProtocols"];

/** The oldest first. */
const VERSIONS: readonly TlsVersion[] = ["TLSv1.2", "TLSv1.3"];

/** Bytes of the longest name of a protocol: its length is one byte. */
const MAX_PROTOCOL_BYTES = 255;

/** A DNS name as clients send it: labels of up to 63 bytes, 253 in all. */
const DNS_NAME = /^(?=.{1,253}$)(?!.*\.\d+$)(?!\d+$)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!$)|$))+$/;

/**
 * Checks and completes the TLS part of options, `undefined` if none of it is given; the other keys
 * are the caller's to check.
 *
 * @param attempt What is attempted, for messages.
 * @param given The options.
 */
export function completeTls(attempt: string, given: object): CompleteTls | undefined {
  const options = given as Record<string, unknown>;
  if (TLS_KEYS.every((key) => options[key] === undefined)) return undefined;
  const settings = completeSettings(attempt, options["tls"]);
  const serverNames = completeServerNames(attempt, settings["serverNames"]);
  const fallback = completeFallback(attempt, options, serverNames !== undefined);
  const clientCa = completeClientCa(attempt, settings["clientCa"]);
  const clientCertificate = completeClientCertificate(attempt, settings, clientCa);
  return {
    fallback,
    serverNames,
    alpnProtocols: completeProtocols(attempt, options["alpnProtocols"]),
    clientCa,
    clientCertificate,
    ...completeVersions(attempt, settings),
  };
}

/**
 * Checks and completes options that are about TLS and nothing else.
 *
 * @param attempt What is attempted, for messages.
 * @param given The options.
 */
export function completeTlsAlone(attempt: string, given: unknown): CompleteTls {
  checkObject(attempt, given);
  checkKeys(attempt, given as object, TLS_KEYS);
  const complete = completeTls(attempt, given as object);
  if (complete === undefined) throw new TypeError(withoutCertificate(attempt));
  return complete;
}

/**
 * Checks and completes the options of TLS as a client.
 *
 * @param attempt What is attempted, for messages.
 * @param given The options.
 */
export function completeTlsClient(attempt: string, given: unknown): CompleteTlsClient {
  checkObject(attempt, given);
  const options = given as Record<string, unknown>;
  checkKeys(attempt, options, CLIENT_KEYS);
  const { caCerts = [], alpnProtocols } = options;
  if (!Array.isArray(caCerts)) {
    throw new TypeError(bad(attempt, "caCerts", caCerts, "an array of certificates, as PEM text"));
  }
  return {
    serverName: completeIdentity(attempt, options["serverName"]),
    caCerts: caCerts.map((text: unknown, i) => checkAuthority(attempt, `caCerts[${i}]`, text)),
    alpnProtocols: completeProtocols(attempt, alpnProtocols),
    certificate: hasCertificate(options) ? completeCertificate(attempt, "", options) : undefined,
  };
}

/** The name or the address that a server's certificate must be for. */
function completeIdentity(attempt: string, given: unknown): string {
  if (typeof given === "string") {
    if (process.getBuiltinModule("node:net").isIP(given) !== 0) return given;
    const name = plainServerName(inAscii(given));
    if (DNS_NAME.test(name)) return name;
  }
  const wanted = "the name or the IP address that the server's certificate is for";
  throw new TypeError(bad(attempt, "serverName", given, wanted));
}

function hasCertificate(options: Record<string, unknown>): boolean {
  return CERTIFICATE_KEYS.some((key) => options[key] !== undefined);
}

function completeSettings(attempt: string, tls: unknown): Record<string, unknown> {
  if (tls === undefined) return {};
  if (!isObject(tls) || Array.isArray(tls)) {
    throw new TypeError(bad(attempt, "tls", tls, "an object"));
  }
  checkKeys(attempt, tls, SETTINGS_KEYS, "tls");
  return tls;
}

function completeFallback(
  attempt: string,
  given: Record<string, unknown>,
  hasNames: boolean,
): Certificate | undefined {
  if (hasCertificate(given)) return completeCertificate(attempt, "", given);
  if (hasNames) return undefined;
  throw new TypeError(withoutCertificate(attempt));
}

/** Checks a certificate and its key; `prefix` is where they are in the options. */
export function completeCertificate(
  attempt: string,
  prefix: string,
  { cert, key, passphrase }: Record<string, unknown>,
): Certificate {
  if (Array.isArray(cert) || Array.isArray(key)) {
    // Deno presents the first one only, and refuses every client that needs the other.
    throw new TypeError(
      `Cannot ${attempt} with several certificates in '${prefix}cert': use one, as 'node:tls' of ` +
        "Deno presents no second one for the same name; clients of the last ten years take ECDSA",
    );
  }
  if (cert === undefined || key === undefined) {
    const [one, other] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new TypeError(
      `Cannot ${attempt} without '${prefix}${other}': give it beside '${prefix}${one}'`,
    );
  }
  if (passphrase !== undefined && typeof passphrase !== "string") {
    throw new TypeError(
      `Cannot ${attempt} with a '${prefix}passphrase' that is no text: use a string`,
    );
  }
  return {
    cert: checkPem(attempt, `${prefix}cert`, cert, "certificate"),
    key: checkPem(attempt, `${prefix}key`, key, passphrase === undefined ? "key" : "encrypted key"),
    ...(passphrase !== undefined && { passphrase }),
  };
}

function completeServerNames(attempt: string, given: unknown): CompleteTls["serverNames"] {
  if (given === undefined) return undefined;
  if (typeof given === "function") return given as AskForCertificate;
  const wanted = "an object that has a certificate for each name, or a function that returns one";
  if (!isObject(given) || Array.isArray(given) || Object.keys(given).length === 0) {
    throw new TypeError(bad(attempt, "tls.serverNames", given, wanted));
  }
  const complete = new Map<string, Certificate>();
  for (const [key, value] of Object.entries(given)) {
    const name = completeServerName(attempt, key);
    const place = `tls.serverNames[${JSON.stringify(key)}]`;
    if (complete.has(name)) {
      throw new TypeError(
        `Cannot ${attempt} with '${place}' twice: neither case nor a trailing dot makes names differ`,
      );
    }
    if (!isObject(value)) {
      throw new TypeError(bad(attempt, place, value, "an object with 'cert' and 'key'"));
    }
    checkKeys(attempt, value, CERTIFICATE_KEYS, place);
    complete.set(name, completeCertificate(attempt, `${place}.`, value));
  }
  return complete;
}

function completeServerName(attempt: string, given: string): string {
  const wildcard = given.startsWith("*.") ? "*." : "";
  const name = plainServerName(inAscii(given.slice(wildcard.length)));
  if (!DNS_NAME.test(name)) {
    const wanted =
      'names such as "www.example.com" or "*.example.com"; a client that connects to ' +
      "an IP address sends no name and gets the certificate in 'cert' and 'key'";
    throw new TypeError(bad(attempt, "tls.serverNames", given, wanted));
  }
  return wildcard + name;
}

/** The form in which a name is looked up. */
export function plainServerName(name: string): string {
  return name.replace(/\.$/, "").toLowerCase();
}

/** Clients send IDNA names as ASCII. The URL parser converts them, but accepts much besides names. */
function inAscii(name: string): string {
  if (!/^[\p{L}\p{M}\p{N}.\u3002-]+$/u.test(name)) return name;
  return URL.parse(`http://${name}`)?.hostname ?? name;
}

function completeProtocols(attempt: string, given: unknown): string[] {
  if (given === undefined) return [];
  if (!Array.isArray(given) || given.length === 0) {
    throw new TypeError(
      bad(attempt, "alpnProtocols", given, 'an array of names, such as ["h2", "http/1.1"]'),
    );
  }
  return given.map((protocol: unknown, i) => {
    const place = `alpnProtocols[${i}]`;
    if (typeof protocol !== "string" || protocol === "" || !protocol.isWellFormed()) {
      throw new TypeError(bad(attempt, place, protocol, 'a name, such as "h2"'));
    }
    const bytes = new TextEncoder().encode(protocol).length;
    if (bytes > MAX_PROTOCOL_BYTES) {
      throw new RangeError(
        `Cannot ${attempt} with '${place}' of ${bytes} bytes: use at most ${MAX_PROTOCOL_BYTES}`,
      );
    }
    if (given.indexOf(protocol) !== i) {
      throw new TypeError(`Cannot ${attempt} with '${place}' of "${protocol}" again: give it once`);
    }
    return protocol;
  });
}

function completeClientCa(attempt: string, given: unknown): string[] {
  if (given === undefined) return [];
  if (!Array.isArray(given)) return [checkAuthority(attempt, "tls.clientCa", given)];
  if (given.length === 0) {
    throw new TypeError(
      bad(attempt, "tls.clientCa", given, "the certificate of at least one authority"),
    );
  }
  return given.map((text: unknown, i) => checkAuthority(attempt, `tls.clientCa[${i}]`, text));
}

function checkAuthority(attempt: string, name: string, value: unknown): string {
  const text = checkPem(attempt, name, value, "certificate");
  if (text.includes("PRIVATE KEY-----")) {
    // With it any client certificate can be signed, so it must not lie on an exposed server.
    throw new TypeError(
      `Cannot ${attempt} with a private key in '${name}': give only the authority's certificate`,
    );
  }
  return certificatesOf(text).join("\n");
}

function completeClientCertificate(
  attempt: string,
  { clientCertificate: given }: Record<string, unknown>,
  clientCa: readonly string[],
): "required" | "requested" | undefined {
  // Naming an authority means its clients only: an omitted option must not leave the server open.
  if (given === undefined) return clientCa.length > 0 ? "required" : undefined;
  if (given !== "required" && given !== "requested") {
    throw new TypeError(bad(attempt, "tls.clientCertificate", given, '"required" or "requested"'));
  }
  if (given === "required" && clientCa.length === 0) {
    throw new TypeError(
      `Cannot ${attempt} with 'tls.clientCertificate' of "required" and without 'tls.clientCa': ` +
        "give the authorities whose certificates are accepted",
    );
  }
  return given;
}

function completeVersions(
  attempt: string,
  { minVersion, maxVersion }: Record<string, unknown>,
): { minVersion: TlsVersion | undefined; maxVersion: TlsVersion | undefined } {
  for (const [name, value] of Object.entries({ minVersion, maxVersion })) {
    if (value !== undefined) checkChoice(attempt, `tls.${name}`, value, VERSIONS);
  }
  const [least, most] = [minVersion, maxVersion] as (TlsVersion | undefined)[];
  if (least !== undefined && most !== undefined && least > most) {
    throw new RangeError(
      `Cannot ${attempt} with 'tls.minVersion' of "${least}" above 'tls.maxVersion' of "${most}": ` +
        "use one that is not above it",
    );
  }
  return { minVersion: least, maxVersion: most };
}

/** The message for TLS without any certificate. */
function withoutCertificate(attempt: string): string {
  const other = attempt === "start TLS" ? `, or as the client 'role' of "client"` : "";
  return `Cannot ${attempt} without a certificate: give 'cert' and 'key', or 'tls.serverNames'${other}`;
}
