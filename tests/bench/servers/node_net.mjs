/**
 * How fast node:net is. The same program runs on Node and on Deno, under two names; see plain.ts for
 * the arguments.
 */

import { createServer } from "node:net";
import process from "node:process";

const modes = { echo, once, two_writes: twoWrites, send, discard };
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
