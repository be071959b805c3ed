/**
 * Sends back to each client what it sends, inside TLS. Its first start makes a self-signed certificate,
 * which it keeps in the current directory (or in `--dir`) and uses again; `--cert` and `--key` name
 * files to use instead.
 *
 * deno run --allow-net --allow-read --allow-write examples/tls_echo.ts
 *
 * @module
 */

import { type Connection, formatAddress, serve } from "jsr:@usher/server@^0.2.0";
import { CERTIFICATE_OPTIONS, findCertificate } from "./certificate.ts";
import { start } from "./start.ts";

/** Serves one client. The handshake is complete by now, and `conn.tls` has its result. */
export async function tlsEcho(conn: Connection): Promise<void> {
  for await (const chunk of conn) await conn.write(chunk);
}

if (import.meta.main) {
  const command = "deno run --allow-net --allow-read --allow-write examples/tls_echo.ts";
  await start({ command, port: 7443, options: CERTIFICATE_OPTIONS }, async (place, files) => {
    const { cert, key, certFile } = await findCertificate(files);
    const listening = serve({ ...place, cert, key }, tlsEcho);
    const where = formatAddress(listening.addr).replace("tcp://", "");
    const hint = `openssl s_client -connect ${where} -CAfile ${certFile}`;
    return { listening, hint };
  });
}
