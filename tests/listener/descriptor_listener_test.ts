/** A server works on a socket that it was started with as it does on one of its own. @module */

import { assert, assertEquals } from "@std/assert";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { LoopingClients } from "../soak/looping.ts";
import { text } from "../support/bytes.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { LOOPBACK, readAll, readExactly, writeAll } from "../support/peers.ts";
import { Program, type ProgramOptions } from "../support/program.ts";
import { turn, until } from "../support/wait.ts";

const SERVER = new URL("./programs/inherited_server.ts", import.meta.url);
const ALONE = new URL("./programs/accept_alone.ts", import.meta.url);
const NEEDS = { os: ["linux" as const], programs: ["systemd-socket-activate"] };

/** Clients that come and go without a pause, and how often each server is replaced under them. */
const LOOPING = 64;
const RESTARTS = 8;

/** Holds the socket, starts a server for each line, and says when that has ended. */
const HOLDER = ["sh", "-c", 'while read -r go; do "$0" "$@"; echo down; done'];

type Address = Deno.ConnectOptions & { hostname: string } | Deno.UnixConnectOptions;

/** Where a socket is made that a server is then started with. */
const PLACES: Record<string, (directory: Directory) => Address> = {
  TCP: () => {
    using listener = Deno.listen(LOOPBACK);
    return { hostname: "127.0.0.1", port: listener.addr.port };
  },
  Unix: (directory) => ({ transport: "unix", path: directory.at("s") }),
};

function dial(address: Address): Promise<Deno.Conn> {
  return "path" in address ? Deno.connect(address) : Deno.connect(address);
}

/** A server on the socket that systemd's own program has made for it; started by the first client. */
async function activate(
  address: Address,
  args: string[],
  { under = [], program: url = SERVER, ...options }: ProgramOptions & { program?: URL } = {},
): Promise<Program> {
  const place = "path" in address ? address.path : `${address.hostname}:${address.port}`;
  const program = new Program(url, {
    args,
    ...options,
    under: ["systemd-socket-activate", `--listen=${place}`, "--fdname=web", ...under],
  });
  // Listens before it says so; the first client starts the server.
  while (!(await program.complaint() ?? "Listening").startsWith("Listening")) await turn();
  (await dial(address)).close();
  return program;
}

async function ask(conn: Deno.Conn, question: string): Promise<string> {
  await writeAll(conn, new TextEncoder().encode(question));
  return text(await readExactly(conn, question.length));
}

for (const [kind, placeOf] of Object.entries(PLACES)) {
  netTest(`serve() serves the clients of an inherited ${kind} socket, and drains`, async () => {
    using directory = new Directory();
    const address = placeOf(directory);
    await using program = await activate(address, ["inherited"]);
    const { addr, name } = JSON.parse(await program.line());
    assertEquals(name, "web");
    assertEquals(
      addr,
      "path" in address ? { transport: "unix", path: "/dev/fd/3" } : {
        transport: "tcp",
        ...address,
      },
    );
    await Promise.all(Array.from({ length: LOOPING }, async (_, i) => {
      for (let round = 0; round < 5; round++) {
        using conn = await dial(address);
        assertEquals(await ask(conn, `${i} ${round}`), `${i} ${round}`);
      }
    }));
    using late = await dial(address);
    assertEquals(await ask(late, "hello"), "hello");
    const report = JSON.parse(await program.ask("stop"));
    assertEquals([report.completed, report.forced], [1, 0]);
    assertEquals((await program.status).code, 0);
  }, NEEDS);

  netTest(`serve() holds to maxConnections on an inherited ${kind} socket`, async () => {
    using directory = new Directory();
    const address = placeOf(directory);
    await using program = await activate(address, ['{"fd":3}', '{"maxConnections":2}']);
    await program.line();
    const clients = await Promise.all(Array.from({ length: 6 }, () => dial(address)));
    const answers = clients.map((conn, i) => ask(conn, `${i}`));
    const served: number[] = [];
    for (const [i, answer] of answers.entries()) answer.then(() => served.push(i));
    for (let done = 0; done < clients.length; done++) {
      await until(() => served.length > done);
      const { accepted, ended } = JSON.parse(await program.ask("stats"));
      // At most one more than there are slots is accepted, and waits.
      assert(accepted - ended.completed <= 3, `${accepted} accepted`);
      assert(served.length <= done + 2, `${served.length} served`);
      clients[served[done]!]!.close();
    }
    await program.ask("stop");
  }, NEEDS);

  netTest(
    `serve() outlives a time without descriptors on an inherited ${kind} socket`,
    async () => {
      using directory = new Directory();
      const address = placeOf(directory);
      // More connections than there are descriptors.
      await using program = await activate(address, ['{"fd":3}', '{"maxConnections":1000}'], {
        under: ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"'],
      });
      await program.line();
      const flood = await Promise.all(Array.from({ length: 100 }, () => dial(address)));
      for (let complaint = ""; !complaint.includes("Cannot accept on");) {
        complaint = await program.complaint() ?? "Cannot accept on: the program ended";
      }
      const { acceptFailures } = JSON.parse(await program.ask("stats"));
      assert(acceptFailures.resources > 0);
      for (const conn of flood) conn.close();
      for (let i = 0; i < 3; i++) {
        using conn = await dial(address);
        assertEquals(await ask(conn, "still here?"), "still here?");
      }
      await program.ask("stop");
    },
    NEEDS,
  );

  netTest(`${RESTARTS} restarts on an inherited ${kind} socket lose no client`, async () => {
    using directory = new Directory();
    const address = placeOf(directory);
    await using program = await activate(address, ['{"fd":3}'], {
      under: HOLDER,
    });
    await program.ask("go");
    const clients = new LoopingClients(
      "path" in address ? { kind: "unix", at: address.path } : { kind: "tcp", at: address.port },
    );
    for (let i = 0; i < RESTARTS; i++) {
      await clients.more(2 * LOOPING);
      await program.ask("stop");
      assertEquals(await program.line(), "down");
      await program.ask("go");
    }
    await clients.more(LOOPING);
    await clients.stop();
    await program.ask("stop");
    assertEquals(clients.failures, []);
    const { longest } = clients;
    assert(longest < 20_000, `${longest} ms`);
  }, NEEDS);

  netTest(
    `a server on an inherited ${kind} socket that is killed takes its own clients along only`,
    async () => {
      using directory = new Directory();
      const address = placeOf(directory);
      await using program = await activate(address, ['{"fd":3}'], {
        under: HOLDER,
      });
      const { pid } = JSON.parse(await program.ask("go"));
      using live = await dial(address);
      assertEquals(await ask(live, "hello"), "hello");
      Deno.kill(pid, "SIGKILL");
      await readAll(live).catch(() => {});
      assertEquals(await program.line(), "down");
      using waiting = await dial(address); // in the queue, with no server
      const answer = ask(waiting, "hello");
      await program.ask("go");
      assertEquals(await answer, "hello");
      await program.ask("stop");
    },
    NEEDS,
  );
}

netTest("serve() takes PROXY headers and TLS on an inherited socket", async () => {
  using directory = new Directory();
  const address = PLACES["TCP"]!(directory) as Deno.ConnectOptions;
  const { cert, key } = certificate;
  const proxyProtocol = { trust: ["127.0.0.1"] };
  await using program = await activate(address as Address, [
    JSON.stringify({ fd: 3, cert, key, proxyProtocol }),
    JSON.stringify({ maxHandshaking: 5 }),
  ]);
  await program.line();
  const raw = await Deno.connect(address);
  const source = { transport: "tcp", hostname: "192.0.2.7", port: 4711 } as const;
  const destination = { transport: "tcp", hostname: "127.0.0.1", port: 7 } as const;
  await writeAll(raw, encodeProxyHeader({ version: 2, command: "PROXY", source, destination }));
  using conn = await Deno.startTls(raw, { hostname: "localhost", caCerts: [ca.cert] });
  assertEquals(text(await readExactly(conn, 21)), "inside TLS\n192.0.2.7\n");
  assertEquals(await ask(conn, "hello"), "hello");
  await program.ask("stop");
}, NEEDS);

for (const [steps, lives] of [["", true], ["unref", false], ["idle", false]] as const) {
  const what = steps === "idle"
    ? "without a pending accept()"
    : `with a pending accept()${steps === "" ? "" : " and unref()"}`;
  netTest(
    `an inherited socket ${what} ${lives ? "keeps" : "does not keep"} the process`,
    async () => {
      using directory = new Directory();
      const address = PLACES["TCP"]!(directory);
      await using program = await activate(address, ["fd", steps], { program: ALONE });
      assertEquals(await program.lines(), lives ? ["ready", "alive"] : ["ready"]);
      assertEquals((await program.status).code, 0);
    },
    NEEDS,
  );
}
