/** Stops and starts a server again and again on a socket that systemd holds, under load. @module */

import { Directory } from "../support/directory.ts";
import { LOOPBACK } from "../support/peers.ts";
import { Program, type ProgramOptions } from "../support/program.ts";
import { turn } from "../support/wait.ts";
import { LoopingClients } from "./looping.ts";
import { reach, type Route } from "./routes.ts";

const SERVER = new URL("../listener/programs/inherited_server.ts", import.meta.url);

/** Holds the socket, starts a server for each line, and says when that has ended. */
export const HOLDER: readonly string[] = [
  ...["sh", "-c", 'while read -r go; do "$0" "$@"; echo down; done'],
];

/** Where a socket is made that a server is then started with. */
export const PLACES: Readonly<Record<"TCP" | "Unix", (directory: Directory) => Route>> = {
  TCP: () => {
    using listener = Deno.listen(LOOPBACK);
    return { kind: "tcp", at: listener.addr.port };
  },
  Unix: (directory) => ({ kind: "unix", at: directory.at("s") }),
};

/** A server on the socket that systemd's own program has made for it; started by the first client. */
export async function activate(
  route: Route,
  args: string[],
  { under = [], program: url = SERVER, ...options }: ProgramOptions & { program?: URL } = {},
): Promise<Program> {
  const place = typeof route.at === "string" ? route.at : `127.0.0.1:${route.at}`;
  const program = new Program(url, {
    args,
    ...options,
    under: ["systemd-socket-activate", `--listen=${place}`, "--fdname=web", ...under],
  });
  // Listens before it says so; the first client starts the server.
  while (!(await program.complaint() ?? "Listening").startsWith("Listening")) await turn();
  (await reach(route)).close();
  return program;
}

/** Stops and starts under 64 looping clients; returns the clients. */
export async function restart(
  kind: "TCP" | "Unix",
  how: "stop" | "SIGKILL",
  restarts: number,
): Promise<LoopingClients> {
  using directory = new Directory();
  const route = PLACES[kind](directory);
  await using program = await activate(route, ['{"fd":3}'], { under: [...HOLDER] });
  let { pid } = JSON.parse(await program.ask("go"));
  const clients = new LoopingClients(route);
  for (let i = 0; i < restarts; i++) {
    await clients.more(128);
    if (how === "stop") await program.ask("stop");
    else Deno.kill(pid, how);
    if (await program.line() !== "down") throw new Error("The server said something else");
    ({ pid } = JSON.parse(await program.ask("go")));
  }
  await clients.more(128);
  await clients.stop();
  await program.ask("stop");
  return clients;
}
