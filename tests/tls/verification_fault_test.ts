/** Tests what is read out of node:tls about a certificate. @module */

import { assertEquals } from "@std/assert";
import type { TLSSocket } from "node:tls";
import { verificationFault } from "../../lib/tls/verification_fault.ts";

function faultOf(ssl: unknown): string | undefined {
  return verificationFault({ ssl } as unknown as TLSSocket);
}

Deno.test("verificationFault() gives nothing for a certificate that was verified", () => {
  for (const good of ["", null, undefined]) {
    assertEquals(faultOf({ verifyError: () => good }), undefined);
  }
});

Deno.test("verificationFault() gives the code of a fault, whatever form it has", () => {
  const error = Object.assign(new TypeError("no"), { code: "CERT_REVOKED" });
  assertEquals(faultOf({ verifyError: () => error }), "CERT_REVOKED");
  assertEquals(faultOf({ verifyError: () => "CERT_REVOKED" }), "CERT_REVOKED");
  assertEquals(faultOf({ verifyError: () => false }), "false");
});

Deno.test("verificationFault() takes no answer for a fault", () => {
  for (const ssl of [undefined, null, {}, { verifyError: true }]) {
    assertEquals(faultOf(ssl), "this Deno does not tell what is wrong with it");
  }
});
