/** Node's cluster, each of whose processes echoes behind some computing: cluster_work.mjs STEPS WORKERS. */

import cluster from "node:cluster";
import { createServer } from "node:net";
import process from "node:process";
import { compute } from "./work.mjs";

const [, , steps = "0", workers = "1"] = process.argv;

if (cluster.isPrimary) {
  let listening = 0;
  cluster.on("listening", (_, { port }) => {
    if (++listening === Number(workers)) process.stdout.write(`ready ${port}\n`);
  });
  for (let i = 0; i < Number(workers); i++) cluster.fork();
} else {
  createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {});
    socket.on("data", (chunk) => {
      compute(Number(steps));
      socket.write(chunk);
    });
  }).listen(0, "127.0.0.1");
}
