/**
 * How fast node:net is. The same program runs on Node and on Deno, under two names; see plain.ts for
 * the arguments.
 */

import { Buffer } from "node:buffer";
import { createServer } from "node:net";
import process from "node:process";

const modes = { echo, once, two_writes: twoWrites, send, discard, lines, frames };
const serve = modes[process.argv[2] ?? "echo"] ?? echo;
const bytes = Number(process.argv[3] ?? 4194304);

const server = createServer((socket) => {
  socket.on("error", () => {});
  serve(socket);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`ready ${server.address().port}\n`));

function echo(socket) {
  socket.pipe(socket);
}

function once(socket) {
  socket.once("data", (chunk) => socket.end(chunk));
}

/** A splitter, and one write for all that came together, as who counts would do it. */
function lines(socket) {
  let rest = "";
  socket.setNoDelay(true);
  socket.setEncoding("utf8");
  socket.on("data", (chunk) => {
    const found = (rest + chunk).split("\n");
    rest = found.pop();
    socket.cork();
    for (const line of found) socket.write(line + "\n");
    socket.uncork();
  });
}

function frames(socket) {
  let rest = Buffer.alloc(0);
  socket.setNoDelay(true);
  socket.on("data", (chunk) => {
    const all = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let at = 0;
    socket.cork();
    while (all.length - at >= 4) {
      const end = at + 4 + all.readUInt32BE(at);
      if (end > all.length) break;
      const frame = all.subarray(at + 4, end);
      const prefix = Buffer.allocUnsafe(4);
      prefix.writeUInt32BE(frame.length);
      socket.write(prefix);
      socket.write(frame);
      at = end;
    }
    socket.uncork();
    rest = all.subarray(at);
  });
}

function twoWrites(socket) {
  socket.on("data", (chunk) => {
    socket.write(chunk.subarray(0, chunk.length >> 1));
    socket.write(chunk.subarray(chunk.length >> 1));
  });
}

function send(socket) {
  const block = new Uint8Array(65536);
  let left = 0;
  const more = () => {
    while (left > 0) {
      const part = left < block.length ? block.subarray(0, left) : block;
      left -= part.length;
      if (!socket.write(part)) return;
    }
  };
  socket.on("drain", more);
  socket.on("data", () => {
    left += bytes;
    more();
  });
}

function discard(socket) {
  let taken = 0;
  socket.on("data", (chunk) => {
    for (taken += chunk.length; taken >= bytes; taken -= bytes) socket.write("x");
  });
}
