/** A server works on a socket that it was started with as it does on one of its own. @module */

import { assert, assertEquals } from "@std/assert";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { activate, HOLDER, PLACES, restart } from "../soak/restart_run.ts";
import { reach } from "../soak/routes.ts";
import { text } from "../support/bytes.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { readAll, readExactly, writeAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";

const ALONE = new URL("./programs/accept_alone.ts", import.meta.url);
const NEEDS = { os: ["linux" as const], programs: ["systemd-socket-activate"] };

/** Clients that come and go without a pause, and how often each server is replaced under them. */
const LOOPING = 64;
const RESTARTS = 8;

async function ask(conn: Deno.Conn, question: string): Promise<string> {
  await writeAll(conn, new TextEncoder().encode(question));
  return text(await readExactly(conn, question.length));
}

for (const kind of ["TCP", "Unix"] as const) {
  const placeOf = PLACES[kind];
  netTest(`serve() serves the clients of an inherited ${kind} socket, and drains`, async () => {
    using directory = new Directory();
    const route = placeOf(directory);
    await using program = await activate(route, ["inherited"]);
    const { addr, name } = JSON.parse(await program.line());
    assertEquals(name, "web");
    assertEquals(
      addr,
      route.kind === "unix"
        ? { transport: "unix", path: "/dev/fd/3" }
        : { transport: "tcp", hostname: "127.0.0.1", port: route.at },
    );
    await Promise.all(Array.from({ length: LOOPING }, async (_, i) => {
      for (let round = 0; round < 5; round++) {
        using conn = await reach(route);
        assertEquals(await ask(conn, `${i} ${round}`), `${i} ${round}`);
      }
    }));
    using late = await reach(route);
    assertEquals(await ask(late, "hello"), "hello");
    const report = JSON.parse(await program.ask("stop"));
    assertEquals([report.completed, report.forced], [1, 0]);
    assertEquals((await program.status).code, 0);
  }, NEEDS);

  netTest(`serve() holds to maxConnections on an inherited ${kind} socket`, async () => {
    using directory = new Directory();
    const route = placeOf(directory);
    await using program = await activate(route, ['{"fd":3}', '{"maxConnections":2}']);
    await program.line();
    const clients = await Promise.all(Array.from({ length: 6 }, () => reach(route)));
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
      const route = placeOf(directory);
      // More connections than there are descriptors.
      await using program = await activate(route, ['{"fd":3}', '{"maxConnections":1000}'], {
        under: ["sh", "-c", 'ulimit -n 64; exec "$0" "$@"'],
      });
      await program.line();
      const flood = await Promise.all(Array.from({ length: 100 }, () => reach(route)));
      for (let complaint = ""; !complaint.includes("Cannot accept on");) {
        complaint = await program.complaint() ?? "Cannot accept on: the program ended";
      }
      const { acceptFailures } = JSON.parse(await program.ask("stats"));
      assert(acceptFailures.resources > 0);
      for (const conn of flood) conn.close();
      for (let i = 0; i < 3; i++) {
        using conn = await reach(route);
        assertEquals(await ask(conn, "still here?"), "still here?");
      }
      await program.ask("stop");
    },
    NEEDS,
  );

  netTest(`${RESTARTS} restarts on an inherited ${kind} socket lose no client`, async () => {
    const { failures, longest } = await restart(kind, "stop", RESTARTS);
    assertEquals(failures, []);
    assert(longest < 20_000, `${longest} ms`);
  }, NEEDS);

  netTest(
    `a server on an inherited ${kind} socket that is killed takes its own clients along only`,
    async () => {
      using directory = new Directory();
      const route = placeOf(directory);
      await using program = await activate(route, ['{"fd":3}'], {
        under: [...HOLDER],
      });
      const { pid } = JSON.parse(await program.ask("go"));
      using live = await reach(route);
      assertEquals(await ask(live, "hello"), "hello");
      Deno.kill(pid, "SIGKILL");
      await readAll(live).catch(() => {});
      assertEquals(await program.line(), "down");
      using waiting = await reach(route); // in the queue, with no server
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
  const route = PLACES.TCP(directory);
  const { cert, key } = certificate;
  const proxyProtocol = { trust: ["127.0.0.1"] };
  await using program = await activate(route, [
    JSON.stringify({ fd: 3, cert, key, proxyProtocol }),
    JSON.stringify({ maxHandshaking: 5 }),
  ]);
  await program.line();
  const raw = await reach(route);
  const source = { transport: "tcp", hostname: "192.0.2.7", port: 4711 } as const;
  const destination = { transport: "tcp", hostname: "127.0.0.1", port: 7 } as const;
  await writeAll(raw, encodeProxyHeader({ version: 2, command: "PROXY", source, destination }));
  using conn = await Deno.startTls(raw as Deno.TcpConn, {
    hostname: "localhost",
    caCerts: [ca.cert],
  });
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
      const route = PLACES.TCP(directory);
      await using program = await activate(route, ["fd", steps], { program: ALONE });
      assertEquals(await program.lines(), lives ? ["ready", "alive"] : ["ready"]);
      assertEquals((await program.status).code, 0);
    },
    NEEDS,
  );
}
