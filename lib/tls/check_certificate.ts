/** Refuses a certificate that no handshake could use, and a key that is not its own. @module */

import type { KeyObject, X509Certificate } from "node:crypto";
import { certificatesOf } from "./pem.ts";
import type { Certificate } from "./tls_options.ts";

/** The ECDSA curves that Deno's TLS signs with. */
const CURVES = ["prime256v1", "secp384r1", "secp521r1"];

/** Bits of the shortest and the longest RSA key that Deno's TLS signs with. */
const LEAST_RSA_BITS = 2048;
const MOST_RSA_BITS = 8192;

/**
 * Bytes of the longest handshake message that every client accepts, Deno's own included, and the
 * overhead of each certificate and of the message itself (RFC 8446, 4.4.2).
 */
const MAX_CHAIN_BYTES = 65_535;
const OVERHEAD_OF_EACH = 5;
const OVERHEAD_OF_MESSAGE = 4;

/**
 * Refuses at once what node:tls in Deno would accept without checking, only to fail every handshake
 * later, in some cases by never answering. Loads node:crypto, which node:tls has loaded already.
 *
 * @param attempt What is attempted, for messages.
 * @param prefix Where `cert` and `key` are in the options, for messages.
 * @param certificate The certificate and its key.
 * @param clientCa What Deno sends along with it.
 */
export function checkCertificate(
  attempt: string,
  prefix: string,
  { cert, key, passphrase }: Certificate,
  clientCa: readonly string[],
): void {
  const { createPrivateKey } = loadCrypto();
  const chain = readCertificates(attempt, `${prefix}cert`, cert);
  const privateKey = read(
    attempt,
    `${prefix}key`,
    "a private key",
    () => createPrivateKey(passphrase === undefined ? key : { key, passphrase }),
  );
  checkKind(attempt, `${prefix}key`, privateKey);
  if (!chain[0]!.checkPrivateKey(privateKey)) {
    const own = chain.findIndex((other) => other.checkPrivateKey(privateKey));
    throw new TypeError(
      own === -1
        ? `Cannot ${attempt} with a '${prefix}key' that is not the key of '${prefix}cert': ` +
          `use the one that was made for ${subjectOf(chain[0]!)}`
        : `Cannot ${attempt} with the server's own certificate in place ${own + 1} of ` +
          `'${prefix}cert': put it first`,
    );
  }
  const sent = [
    ...chain,
    ...clientCa.flatMap((text) => readCertificates(attempt, "clientCa", text)),
  ];
  const bytes = sent.reduce((sum, { raw }) => sum + raw.length + OVERHEAD_OF_EACH, 0);
  if (bytes + OVERHEAD_OF_MESSAGE > MAX_CHAIN_BYTES) {
    const both = clientCa.length > 0 ? " and 'tls.clientCa'" : "";
    throw new RangeError(
      `Cannot ${attempt} with '${prefix}cert'${both} of ${bytes} bytes: use less than 64 KiB, ` +
        "because each client is sent all of it and refuses more",
    );
  }
}

/** The certificates of a PEM text; throws if one of them cannot be read. */
export function readCertificates(attempt: string, name: string, text: string): X509Certificate[] {
  const { X509Certificate } = loadCrypto();
  const blocks = certificatesOf(text);
  return blocks.map((block, i) => {
    const place = blocks.length === 1 ? "a certificate" : `a certificate in place ${i + 1}`;
    return read(attempt, name, place, () => new X509Certificate(block));
  });
}

function loadCrypto(): typeof import("node:crypto") {
  return process.getBuiltinModule("node:crypto");
}

function checkKind(attempt: string, name: string, key: KeyObject): void {
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key;
  const { modulusLength = 0, namedCurve = "" } = details ?? {};
  const fits = type === "ed25519" || (type === "ec" && CURVES.includes(namedCurve)) ||
    (type === "rsa" && modulusLength >= LEAST_RSA_BITS && modulusLength <= MOST_RSA_BITS);
  if (fits) return;
  const given = type === "rsa" ? `RSA of ${modulusLength} bits` : [type, namedCurve].join(" ");
  throw new TypeError(
    `Cannot ${attempt} with a '${name}' of the kind ${given.trim()}: use RSA of ${LEAST_RSA_BITS} to ` +
      `${MOST_RSA_BITS} bits, ECDSA on P-256, P-384 or P-521, or Ed25519`,
  );
}

function read<T>(attempt: string, name: string, what: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    const { message } = error as Error;
    throw new TypeError(
      `Cannot ${attempt} with '${name}', which holds ${what} that cannot be read: ${message}`,
      { cause: error },
    );
  }
}

/** The subject of a certificate, on one line. */
function subjectOf({ subject }: X509Certificate): string {
  return subject.replaceAll("\n", ", ");
}
