/**
 * How fast node:tls is. The same program runs on Node and on Deno, under two names; see plain.ts
 * for the arguments, echo only. The certificate is where build.ts puts it.
 */

import { readFileSync } from "node:fs";
import process from "node:process";
import { createServer } from "node:tls";

const certificate = {
  cert: readFileSync("build/tls/cert.pem"),
  key: readFileSync("build/tls/key.pem"),
};
const server = createServer({ ...certificate, noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
});
server.on("tlsClientError", () => {});
server.listen(0, "127.0.0.1", () => process.stdout.write(`ready ${server.address().port}\n`));
