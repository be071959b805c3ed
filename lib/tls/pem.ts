/** Checks that a text is PEM of the kind that an option wants. @module */

import { bad } from "../check.ts";

/** What a PEM text must contain. */
export type PemContent = "certificate" | "key" | "encrypted key";

/** The labels that node:tls reads. */
const LABELS: Record<PemContent, readonly string[]> = {
  certificate: ["CERTIFICATE"],
  key: ["PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"],
  "encrypted key": ["ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "PRIVATE KEY"],
};

/** What looks like the name of a PEM file; base64, which may be a secret, has no dot. */
const FILE_NAME = /^[^\n]{0,200}\.\w{1,12}$/;

/** Refuses what is not PEM, or PEM of something else. No part of a key gets into a message. */
export function checkPem(
  attempt: string,
  name: string,
  value: unknown,
  content: PemContent,
): string {
  const wanted = `PEM text, which begins with "-----BEGIN ${LABELS[content][0]}-----"`;
  if (typeof value !== "string" || value.trim() === "") {
    throw new TypeError(bad(attempt, name, value, wanted));
  }
  const labels = [...value.matchAll(/-----BEGIN ([^\n-]+)-----/g)].map(([, label = ""]) => label);
  if (labels.length === 0) {
    if (FILE_NAME.test(value)) {
      const itself = "the PEM text itself, as Deno.readTextFileSync reads it";
      throw new TypeError(bad(attempt, name, value, itself));
    }
    throw new TypeError(`Cannot ${attempt} with a '${name}' that is not PEM: use ${wanted}`);
  }
  if (content === "key" && (labels.includes("ENCRYPTED PRIVATE KEY") || isEncrypted(value))) {
    throw new TypeError(
      `Cannot ${attempt} with an encrypted '${name}' and without its 'passphrase': give that beside it`,
    );
  }
  if (!labels.some((label) => LABELS[content].includes(label))) {
    throw new TypeError(
      `Cannot ${attempt} with a '${name}' that holds a ${labels[0]}: use ${wanted}`,
    );
  }
  return value;
}

/** The certificates in a text, each as a PEM block of its own. */
export function certificatesOf(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^]*?(?:-----END CERTIFICATE-----|$)/g) ?? [];
}

/** The traditional form, which has a header of its own instead of a label. */
function isEncrypted(text: string): boolean {
  return /^Proc-Type:\s*4,\s*ENCRYPTED/m.test(text);
}
