/** What TLS may be asked for? @module */

import { bad, checkKeys, checkObject, isObject } from "../check.ts";
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
 */
export interface Certificate {
  /** The certificate as PEM text, followed by those between it and its authority's, if any. */
  cert: string;
  /** Its private key as PEM text, not encrypted: RSA, ECDSA on P-256, P-384 or P-521, or Ed25519. */
  key: string;
}

/**
 * What TLS can do besides showing one certificate.
 *
 * @example Two names, and only clients that an authority of ours knows
 * ```ts
 * import type { Certificate, TlsSettings } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * function settings(site: Certificate, api: Certificate, clientCa: string): TlsSettings {
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
 */
export interface TlsSettings {
  /**
   * What does the work. `"flexible"` is `node:tls` inside and can do everything that is listed here.
   * `"native"` is Deno's own TLS: somewhat less CPU and memory, one certificate, and small replies may
   * wait 45 ms because nobody can set `noDelay` there. It also keeps the descriptor of a client that
   * is closed in its handshake, or while it does not read, until that client leaves: it is for
   * clients that can be trusted. `"flexible"` unless given; on a Deno whose `node:tls` lacks what
   * that needs, `"native"` where it can do what is asked.
   */
  route?: "native" | "flexible";
  /**
   * Which certificate is for which name that a client asks for (SNI): names such as
   * `"www.example.com"`, of which `"*.example.com"` stands for all one label longer, or a function
   * that is asked at each handshake, with the name in lower case. What has no entry, what the
   * function gives `null` for and who names nothing gets the certificate in `cert` and `key`; without
   * one the handshake is refused. So is it when the function fails, or gives something else.
   */
  serverNames?:
    | Record<string, Certificate>
    | ((serverName: string) => Certificate | null | Promise<Certificate | null>);
  /**
   * The authorities whose certificates clients may show, as PEM text. Deno tells them to every
   * client, behind the server's own certificate, so that 64 KiB are all there is room for.
   */
  clientCa?: string | string[];
  /**
   * `"required"`: who shows no certificate that one of `clientCa` signed is refused. `"requested"`:
   * who shows none, or another one, is let in, and `conn.tls` tells; without `clientCa` nobody's
   * certificate counts. `"required"` if there is a `clientCa`, otherwise nobody is asked.
   */
  clientCertificate?: "required" | "requested";
}

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
 * assertEquals(secured(file, file), { cert: "", key: "", alpnProtocols: ["mqtt"] });
 * await Deno.remove(file);
 * ```
 */
export interface TlsListenOptions extends Partial<Certificate> {
  /**
   * The protocols to agree on with the client (ALPN), the best first. A client that offers others
   * alone is refused, one that offers none is not.
   */
  alpnProtocols?: string[];
  /** What goes beyond one certificate. */
  tls?: TlsSettings;
}

/** The function form of `serverNames`, which may give anything. */
export type AskForCertificate = (serverName: string) => unknown;

/** TLS options, checked; nothing of it is the caller's, who may change what he gave. */
export interface CompleteTls {
  /** What is attempted, for messages. */
  readonly verb: string;
  /** `"any"`: nothing was asked for that only one of them can do. */
  readonly route: "native" | "flexible" | "any";
  /** For clients that name nothing, or a name that is not known. */
  readonly fallback: Certificate | undefined;
  /** Names are in lower case; a wildcard's begins with `*.`. */
  readonly serverNames: ReadonlyMap<string, Certificate> | AskForCertificate | undefined;
  readonly alpnProtocols: readonly string[];
  readonly clientCa: readonly string[];
  readonly clientCertificate: "required" | "requested" | undefined;
}

/** The keys of `TlsListenOptions`. */
export const TLS_KEYS: readonly string[] = ["cert", "key", "alpnProtocols", "tls"];

const SETTINGS_KEYS = ["route", "serverNames", "clientCa", "clientCertificate"];
const CERTIFICATE_KEYS = ["cert", "key"];

/** Bytes of the longest name of a protocol: its length is one byte. */
const MAX_PROTOCOL_BYTES = 255;

/** A DNS name as clients send it: labels of up to 63 bytes, 253 in all. */
const DNS_NAME = /^(?=.{1,253}$)(?!.*\.\d+$)(?!\d+$)(?:(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!$)|$))+$/;

/**
 * Checks and completes the TLS part of options; its other keys are the caller's to check. Nothing
 * of it given: `undefined`.
 *
 * @param verb What is attempted, for messages.
 * @param given The options.
 * @param flexibleFor What the native route cannot do and is needed, such as `'proxyProtocol'`.
 */
export function completeTls(
  verb: string,
  given: object,
  flexibleFor?: string,
): CompleteTls | undefined {
  const options = given as Record<string, unknown>;
  if (TLS_KEYS.every((key) => options[key] === undefined)) return undefined;
  const settings = completeSettings(verb, options.tls);
  const serverNames = completeServerNames(verb, settings.serverNames);
  const fallback = completeFallback(verb, options, serverNames !== undefined);
  const clientCa = completeClientCa(verb, settings.clientCa);
  const clientCertificate = completeClientCertificate(verb, settings, clientCa);
  const reason = ["serverNames", "clientCa", "clientCertificate"]
    .filter((key) => settings[key] !== undefined).map((key) => `'tls.${key}'`)[0] ?? flexibleFor;
  return {
    verb,
    route: completeRoute(verb, options, settings.route, reason),
    fallback,
    serverNames,
    alpnProtocols: completeProtocols(verb, options.alpnProtocols),
    clientCa,
    clientCertificate,
  };
}

/**
 * Checks and completes options that are about TLS and nothing else.
 *
 * @param verb What is attempted, for messages.
 * @param given The options.
 * @param flexibleFor Who takes them, which needs the flexible route: `startTls()` or `reloadTls()`.
 */
export function completeTlsAlone(verb: string, given: unknown, flexibleFor: string): CompleteTls {
  checkObject(verb, given);
  checkKeys(verb, given as object, TLS_KEYS);
  const complete = completeTls(verb, given as object, flexibleFor);
  if (complete === undefined) throw new TypeError(withoutCertificate(verb));
  return complete;
}

function completeSettings(verb: string, tls: unknown): Record<string, unknown> {
  if (tls === undefined) return {};
  if (!isObject(tls) || Array.isArray(tls)) {
    throw new TypeError(bad(verb, "tls", tls, "an object"));
  }
  checkKeys(`${verb} tls`, tls, SETTINGS_KEYS);
  return tls;
}

function completeRoute(
  verb: string,
  given: Record<string, unknown>,
  route: unknown,
  reason: string | undefined,
): CompleteTls["route"] {
  if (route !== undefined && route !== "native" && route !== "flexible") {
    throw new TypeError(bad(verb, "tls.route", route, '"native" or "flexible"'));
  }
  if (reason !== undefined && route === "native") {
    throw new TypeError(
      `Cannot ${verb} with 'tls.route' of "native" and ${reason}: use "flexible", which can do that`,
    );
  }
  const set = ["noDelay", "keepAlive"].find((name) => given[name] !== undefined);
  if (route === "native" && set !== undefined) {
    // Deno has no way to set it there: accepted, it would be ignored.
    throw new TypeError(
      `Cannot ${verb} with '${set}' on the native route of TLS: use tls: { route: "flexible" }`,
    );
  }
  if (route === "native") return route;
  return route === "flexible" || reason !== undefined || set !== undefined ? "flexible" : "any";
}

function completeFallback(
  verb: string,
  given: Record<string, unknown>,
  hasNames: boolean,
): Certificate | undefined {
  if (given.cert !== undefined || given.key !== undefined) {
    return completeCertificate(verb, "", given);
  }
  if (hasNames) return undefined;
  throw new TypeError(withoutCertificate(verb));
}

/** Checks the two halves of a certificate; `prefix` says where they stand. */
export function completeCertificate(
  verb: string,
  prefix: string,
  { cert, key }: Record<string, unknown>,
): Certificate {
  if (cert === undefined || key === undefined) {
    const [one, other] = cert === undefined ? ["key", "cert"] : ["cert", "key"];
    throw new TypeError(
      `Cannot ${verb} without '${prefix}${other}': give it beside '${prefix}${one}'`,
    );
  }
  return {
    cert: checkPem(verb, `${prefix}cert`, cert, "certificate"),
    key: checkPem(verb, `${prefix}key`, key, "key"),
  };
}

function completeServerNames(verb: string, given: unknown): CompleteTls["serverNames"] {
  if (given === undefined) return undefined;
  if (typeof given === "function") return given as AskForCertificate;
  const wanted = "an object that has a certificate for each name, or a function that gives one";
  if (!isObject(given) || Array.isArray(given) || Object.keys(given).length === 0) {
    throw new TypeError(bad(verb, "tls.serverNames", given, wanted));
  }
  const complete = new Map<string, Certificate>();
  for (const [key, value] of Object.entries(given)) {
    const name = completeServerName(verb, key);
    const place = `tls.serverNames[${JSON.stringify(key)}]`;
    if (complete.has(name)) {
      throw new TypeError(
        `Cannot ${verb} with '${place}' twice: names are told apart neither by case nor by a last dot`,
      );
    }
    if (!isObject(value)) {
      throw new TypeError(bad(verb, place, value, "an object with 'cert' and 'key'"));
    }
    checkKeys(`${verb} ${place}`, value, CERTIFICATE_KEYS);
    complete.set(name, completeCertificate(verb, `${place}.`, value));
  }
  return complete;
}

function completeServerName(verb: string, given: string): string {
  const wildcard = given.startsWith("*.") ? "*." : "";
  const name = plainServerName(inAscii(given.slice(wildcard.length)));
  if (!DNS_NAME.test(name)) {
    const wanted = 'names such as "www.example.com" or "*.example.com"; who connects to an IP ' +
      "address names nothing and gets the certificate in 'cert' and 'key'";
    throw new TypeError(bad(verb, "tls.serverNames", given, wanted));
  }
  return wildcard + name;
}

/** A name as it is looked up. */
export function plainServerName(name: string): string {
  return name.replace(/\.$/, "").toLowerCase();
}

/** Clients send the names of IDNA as ASCII; the parser of URLs knows how, and much besides names. */
function inAscii(name: string): string {
  if (!/^[\p{L}\p{M}\p{N}.\u3002-]+$/u.test(name)) return name;
  return URL.parse(`http://${name}`)?.hostname ?? name;
}

function completeProtocols(verb: string, given: unknown): string[] {
  if (given === undefined) return [];
  if (!Array.isArray(given) || given.length === 0) {
    throw new TypeError(
      bad(verb, "alpnProtocols", given, 'an array of names, such as ["h2", "http/1.1"]'),
    );
  }
  return given.map((protocol: unknown, i) => {
    const place = `alpnProtocols[${i}]`;
    if (typeof protocol !== "string" || protocol === "" || !protocol.isWellFormed()) {
      throw new TypeError(bad(verb, place, protocol, 'a name, such as "h2"'));
    }
    const bytes = new TextEncoder().encode(protocol).length;
    if (bytes > MAX_PROTOCOL_BYTES) {
      throw new RangeError(
        `Cannot ${verb} with '${place}' of ${bytes} bytes: use at most ${MAX_PROTOCOL_BYTES}`,
      );
    }
    if (given.indexOf(protocol) !== i) {
      throw new TypeError(`Cannot ${verb} with '${place}' of "${protocol}" again: give it once`);
    }
    return protocol;
  });
}

function completeClientCa(verb: string, given: unknown): string[] {
  if (given === undefined) return [];
  if (!Array.isArray(given)) return [checkAuthority(verb, "tls.clientCa", given)];
  if (given.length === 0) {
    throw new TypeError(
      bad(verb, "tls.clientCa", given, "the certificate of at least one authority"),
    );
  }
  return given.map((text: unknown, i) => checkAuthority(verb, `tls.clientCa[${i}]`, text));
}

function checkAuthority(verb: string, name: string, value: unknown): string {
  const text = checkPem(verb, name, value, "certificate");
  if (text.includes("PRIVATE KEY-----")) {
    // It signs whatever client it likes; here, it would be one break-in away from everybody.
    throw new TypeError(
      `Cannot ${verb} with a private key in '${name}': give the authority's certificate alone`,
    );
  }
  return certificatesOf(text).join("\n");
}

function completeClientCertificate(
  verb: string,
  { clientCertificate: given }: Record<string, unknown>,
  clientCa: readonly string[],
): "required" | "requested" | undefined {
  // Who names an authority means its clients alone; a server must not stand open for want of a word.
  if (given === undefined) return clientCa.length > 0 ? "required" : undefined;
  if (given !== "required" && given !== "requested") {
    throw new TypeError(bad(verb, "tls.clientCertificate", given, '"required" or "requested"'));
  }
  if (given === "required" && clientCa.length === 0) {
    throw new TypeError(
      `Cannot ${verb} with 'tls.clientCertificate' of "required" and without 'tls.clientCa': ` +
        "give the authorities whose certificates are let in",
    );
  }
  return given;
}

/** The message for TLS that has nothing to show. */
function withoutCertificate(verb: string): string {
  return `Cannot ${verb} without a certificate: give 'cert' and 'key', or 'tls.serverNames'`;
}
