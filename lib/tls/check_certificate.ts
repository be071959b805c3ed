/** Can this certificate serve, and is the key its own? @module */

import type { KeyObject, X509Certificate } from "node:crypto";
import { certificatesOf } from "./pem.ts";
import type { Certificate } from "./tls_options.ts";

/** The curves of ECDSA that Deno's TLS signs with. */
const CURVES = ["prime256v1", "secp384r1", "secp521r1"];

/** Bits of the shortest and the longest RSA key that Deno's TLS signs with. */
const LEAST_RSA_BITS = 2048;
const MOST_RSA_BITS = 8192;

/**
 * Bytes of the longest handshake message that every client takes, Deno's own among them, and what
 * of them goes to each certificate and to the message itself (RFC 8446, 4.4.2).
 */
const MAX_CHAIN_BYTES = 65_535;
const BYTES_BESIDE_EACH = 5;
const BYTES_BESIDE_ALL = 4;

/**
 * Refuses at once what node:tls in Deno would take without a look and then fail each handshake
 * with, some of them by never answering. Loads node:crypto, so it is for who has node:tls already.
 *
 * @param verb What is attempted, for messages.
 * @param prefix Where `cert` and `key` stand, for messages.
 * @param certificate What to look at.
 * @param clientCa What Deno sends along with it.
 */
export function checkCertificate(
  verb: string,
  prefix: string,
  { cert, key }: Certificate,
  clientCa: readonly string[],
): void {
  const { createPrivateKey } = loadCrypto();
  const chain = readCertificates(verb, `${prefix}cert`, cert);
  const privateKey = attempt(verb, `${prefix}key`, "a private key", () => createPrivateKey(key));
  checkKind(verb, `${prefix}key`, privateKey);
  if (!chain[0]!.checkPrivateKey(privateKey)) {
    const own = chain.findIndex((other) => other.checkPrivateKey(privateKey));
    throw new TypeError(
      own === -1
        ? `Cannot ${verb} with a '${prefix}key' that is not the key of '${prefix}cert': ` +
          `use the one that was made for ${subjectOf(chain[0]!)}`
        : `Cannot ${verb} with the server's own certificate in place ${own + 1} of ` +
          `'${prefix}cert': put it first`,
    );
  }
  const sent = [...chain, ...clientCa.flatMap((text) => readCertificates(verb, "clientCa", text))];
  const bytes = sent.reduce((sum, { raw }) => sum + raw.length + BYTES_BESIDE_EACH, 0);
  if (bytes + BYTES_BESIDE_ALL > MAX_CHAIN_BYTES) {
    const both = clientCa.length > 0 ? " and 'tls.clientCa'" : "";
    throw new RangeError(
      `Cannot ${verb} with '${prefix}cert'${both} of ${bytes} bytes: use less than 64 KiB, ` +
        "because each client is sent all of it and refuses more",
    );
  }
}

/** Refuses what holds a certificate that cannot be read. */
export function readCertificates(verb: string, name: string, text: string): X509Certificate[] {
  const { X509Certificate } = loadCrypto();
  const blocks = certificatesOf(text);
  return blocks.map((block, i) => {
    const place = blocks.length === 1 ? "a certificate" : `a certificate in place ${i + 1}`;
    return attempt(verb, name, place, () => new X509Certificate(block));
  });
}

/**
 * What is thrown for what `Deno.listenTls` says of a certificate, which is short and names no
 * option; other errors stay as they are. The native route has no other check: node:crypto would
 * cost a plain server 25 ms and 14 MB.
 */
export function explainNativeFault(verb: string, error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const [, name] = NATIVE_FAULTS.find(([pattern]) => pattern.test(error.message)) ?? [];
  if (name === undefined) return error;
  const message = name === "both"
    ? `Cannot ${verb} with a 'key' that is not the key of 'cert': use the one that was made for ` +
      "the first certificate there, which is the server's own"
    : unreadable(verb, name, name === "key" ? "a private key" : "a certificate", error);
  return new TypeError(message, { cause: error });
}

/** How Deno 2.9 words them, and which option is at fault. */
const NATIVE_FAULTS: readonly [RegExp, "cert" | "key" | "both"][] = [
  [/KeyMismatch/, "both"],
  [/No keys found|decode key|parse private key/, "key"],
  [/No certificates found|decode certificate|invalid peer certificate/, "cert"],
];

function loadCrypto(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}

function checkKind(verb: string, name: string, key: KeyObject): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const { modulusLength = 0, namedCurve = "" } = details ?? {};
  const fits = type === "ed25519" || (type === "ec" && CURVES.includes(namedCurve)) ||
    (type === "rsa" && modulusLength >= LEAST_RSA_BITS && modulusLength <= MOST_RSA_BITS);
  if (fits) return;
  const given = type === "rsa" ? `RSA of ${modulusLength} bits` : [type, namedCurve].join(" ");
  throw new TypeError(
    `Cannot ${verb} with a '${name}' of the kind ${given.trim()}: use RSA of ${LEAST_RSA_BITS} to ` +
      `${MOST_RSA_BITS} bits, ECDSA on P-256, P-384 or P-521, or Ed25519`,
  );
}

function attempt<T>(verb: string, name: string, what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw new TypeError(unreadable(verb, name, what, error as Error), { cause: error });
  }
}

function unreadable(verb: string, name: string, what: string, { message }: Error): string {
  return `Cannot ${verb} with '${name}', which holds ${what} that cannot be read: ${message}`;
}

/** Who the certificate is for, on one line. */
function subjectOf({ subject }: X509Certificate): string {
  return subject.replaceAll("\n", ", ");
}
