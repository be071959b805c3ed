/** Writes the test certificates to files for other programs. @module */

import { ca, client, server, stranger, wildcard } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";

const FILES = { server, client, stranger, wildcard };

/**
 * A directory with `ca.pem`, and for each of `server`, `client`, `stranger` and `wildcard` one file
 * that has the certificate and its key, such as `server.pem`.
 */
export function certificateFiles(): Directory {
  const directory = new Directory();
  Deno.writeTextFileSync(directory.at("ca.pem"), ca.cert);
  for (const [name, { cert, key }] of Object.entries(FILES)) {
    Deno.writeTextFileSync(directory.at(`${name}.pem`), cert + key);
  }
  return directory;
}
