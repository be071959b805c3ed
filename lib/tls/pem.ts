/** Is this text the PEM that it should be? @module */

import { bad } from "../check.ts";

/** What a text of PEM may be asked to hold. */
export type PemContent = "certificate" | "key";

/** The labels that node:tls and `Deno.listenTls` both read. */
const LABELS: Record<PemContent, readonly string[]> = {
  certificate: ["CERTIFICATE"],
  key: ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"],
};

/** How a file of PEM is likely to be called; base64, which may be a secret, has no dot. */
const FILE_NAME = /^[^\n]{0,200}\.\w{1,12}$/;

/** Refuses what is no PEM, or PEM of something else. What a key says is never part of a message. */
export function checkPem(verb: string, name: string, value: unknown, content: PemContent): string {
  const wanted = `PEM text, which begins with "-----BEGIN ${LABELS[content][0]}-----"`;
  if (typeof value !== "string" || value.trim() === "") {
    throw new TypeError(bad(verb, name, value, wanted));
  }
  const labels = [...value.matchAll(/-----BEGIN ([^\n-]+)-----/g)].map(([, label = ""]) => label);
  if (labels.length === 0) {
    if (FILE_NAME.test(value)) {
      const itself = "the PEM text itself, as Deno.readTextFileSync reads it";
      throw new TypeError(bad(verb, name, value, itself));
    }
    throw new TypeError(`Cannot ${verb} with a '${name}' that is no PEM: use ${wanted}`);
  }
  if (content === "key" && (labels.includes("ENCRYPTED PRIVATE KEY") || isEncrypted(value))) {
    throw new TypeError(
      `Cannot ${verb} with an encrypted '${name}': decrypt it first, as openssl pkey does`,
    );
  }
  if (!labels.some((label) => LABELS[content].includes(label))) {
    throw new TypeError(
      `Cannot ${verb} with a '${name}' that holds a ${labels[0]}: use ${wanted}`,
    );
  }
  return value;
}

/** The certificates of a text, each as PEM of its own. */
export function certificatesOf(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^]*?(?:-----END CERTIFICATE-----|$)/g) ?? [];
}

/** The older form, which has its own header instead of its own label. */
function isEncrypted(text: string): boolean {
  return /^Proc-Type:\s*4,\s*ENCRYPTED/m.test(text);
}
