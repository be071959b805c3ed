/** Finds the certificate of an example: in the files given, or a self-signed one that is kept. @module */

import { X509Certificate } from "node:crypto";
import type { Certificate } from "jsr:@usher/server@^0.2.0";
import { selfSigned } from "./self_signed.ts";

/** The flags of an example that needs a certificate. */
export const CERTIFICATE_OPTIONS = { cert: "FILE", key: "FILE", dir: "DIRECTORY" } as const;

/** The values of these flags. */
export type CertificateFlags = Partial<Record<keyof typeof CERTIFICATE_OPTIONS, string>>;

/** A certificate, and the file it is in. */
export interface Kept extends Certificate {
  readonly certFile: string;
}

/** The names of the two files of the self-signed certificate. */
const CERT_FILE = "localhost.pem";
const KEY_FILE = "localhost-key.pem";

/** Ms for which a kept certificate must still be valid to be used again. */
const ENOUGH = 86_400_000;

/** Reads `--cert` and `--key`, or the certificate in `--dir`, which is made if it is not there. */
export async function findCertificate({ cert, key, dir }: CertificateFlags): Promise<Kept> {
  if (cert !== undefined || key !== undefined) {
    if (cert === undefined || key === undefined || dir !== undefined) {
      throw new TypeError(
        "Cannot use --cert, --key and --dir so: give the first two, or the third",
      );
    }
    const read = { cert: await Deno.readTextFile(cert), key: await Deno.readTextFile(key) };
    return { ...read, certFile: cert };
  }
  const directory = (dir ?? ".").replace(/\/$/, "");
  const certFile = `${directory}/${CERT_FILE}`, keyFile = `${directory}/${KEY_FILE}`;
  const kept = await readBoth(certFile, keyFile);
  if (kept !== null) return { ...checkValid(kept, certFile), certFile };
  const made = await selfSigned();
  // Never overwrites a file, and never readable by other users, not even for a moment.
  const mine = { createNew: true, mode: 0o600 };
  await Deno.writeTextFile(keyFile, made.key, mine);
  await Deno.writeTextFile(certFile, made.cert, mine);
  return { ...made, certFile };
}

/** Both files, or `null` if neither is there. */
async function readBoth(certFile: string, keyFile: string): Promise<Certificate | null> {
  const [cert, key] = await Promise.all([certFile, keyFile].map(unlessMissing));
  if (typeof cert === "string" && typeof key === "string") return { cert, key };
  if (cert === key) return null;
  const [there, missing] = cert === null ? [keyFile, certFile] : [certFile, keyFile];
  throw new RangeError(`Cannot use ${there} without ${missing}: remove it, and start again`);
}

async function unlessMissing(file: string): Promise<string | null> {
  try {
    return await Deno.readTextFile(file);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Checks the dates: clients reject an expired certificate and say little about why. */
function checkValid(certificate: Certificate, certFile: string): Certificate {
  const { validTo } = new X509Certificate(certificate.cert);
  if (Date.parse(validTo) > Date.now() + ENOUGH) return certificate;
  throw new RangeError(
    `Cannot use ${certFile}, which is valid until ${validTo}: remove it and its key, and start again`,
  );
}
