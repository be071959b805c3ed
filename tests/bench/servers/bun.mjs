/** How fast Bun's own TCP server is. See plain.ts for the arguments; `tls_echo`, too. */

import { readFileSync } from "node:fs";

const modes = { echo, tls_echo: echo, once, two_writes: twoWrites, send, discard, lines, frames };
const serve = modes[process.argv[2] ?? "echo"] ?? echo;
const bytes = Number(process.argv[3] ?? 4194304);
const block = new Uint8Array(65536);

const server = Bun.listen({
  hostname: "127.0.0.1",
  port: 0,
  ...process.argv[2] === "tls_echo" && {
    tls: {
      cert: readFileSync("build/tls/cert.pem"),
      key: readFileSync("build/tls/key.pem"),
    },
  },
  socket: {
    open: (socket) =>
      socket.data = { unsent: [], left: 0, taken: 0, rest: "", part: Buffer.alloc(0) },
    data: serve,
    drain,
    error: () => {},
  },
});
await Bun.write(Bun.stdout, `ready ${server.port}\n`);

function echo(socket, chunk) {
  write(socket, chunk);
}

function once(socket, chunk) {
  socket.end(chunk);
}

/** A splitter, and one write for all that came together, as who counts would do it. */
function lines(socket, chunk) {
  const found = (socket.data.rest + chunk.toString()).split("\n");
  socket.data.rest = found.pop();
  if (found.length > 0) write(socket, Buffer.from(found.map((line) => line + "\n").join("")));
}

function frames(socket, chunk) {
  const { part } = socket.data;
  const all = part.length === 0 ? chunk : Buffer.concat([part, chunk]);
  const answers = [];
  let at = 0;
  while (all.length - at >= 4) {
    const end = at + 4 + all.readUInt32BE(at);
    if (end > all.length) break;
    const frame = all.subarray(at + 4, end);
    const prefix = Buffer.allocUnsafe(4);
    prefix.writeUInt32BE(frame.length);
    answers.push(prefix, frame);
    at = end;
  }
  socket.data.part = Buffer.from(all.subarray(at));
  if (answers.length > 0) write(socket, Buffer.concat(answers));
}

function twoWrites(socket, chunk) {
  write(socket, chunk.subarray(0, chunk.length >> 1));
  write(socket, chunk.subarray(chunk.length >> 1));
}

function send(socket) {
  socket.data.left += bytes;
  drain(socket);
}

function discard(socket, chunk) {
  const { data } = socket;
  for (data.taken += chunk.length; data.taken >= bytes; data.taken -= bytes) write(socket, "x");
}

/** Writes, or keeps what did not fit and stops reading until it has left. */
function write(socket, chunk) {
  const { unsent } = socket.data;
  const sent = unsent.length > 0 ? 0 : socket.write(chunk);
  if (sent < chunk.length) {
    unsent.push(chunk.slice(sent));
    socket.pause();
  }
}

function drain(socket) {
  const { data } = socket;
  while (data.unsent.length > 0) {
    const first = data.unsent[0];
    const sent = socket.write(first);
    if (sent < first.length) {
      data.unsent[0] = first.subarray(sent);
      return;
    }
    data.unsent.shift();
    if (data.unsent.length === 0) socket.resume();
  }
  while (data.left > 0) {
    const part = data.left < block.length ? block.subarray(0, data.left) : block;
    const sent = socket.write(part);
    data.left -= sent;
    if (sent < part.length) return;
  }
}
