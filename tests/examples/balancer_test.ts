/** TLS clients reach the backend of their server name, and see its certificate. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Backend, Backends, balancer, parseBackends } from "../../examples/balancer.ts";
import { connect, everySplit, pair } from "../../lib/testing/mod.ts";
import { connection, type Handler, serve } from "../../mod.ts";
import { certificateFiles } from "../interop/certificate_files.ts";
import { run } from "../interop/processes.ts";
import { bytes, text } from "../support/bytes.ts";
import { server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { serveNoting } from "../support/noting.ts";
import { dial, LOOPBACK, readAll } from "../support/peers.ts";
import { dialTls } from "../support/tls_peers.ts";
import { pass, until } from "../support/wait.ts";
import { message, records } from "../wire/client_hellos.ts";

/** A TLS backend that answers with its name and what its PROXY header said. */
function backendNamed(name: string) {
  const proxyProtocol = { trust: ["127.0.0.1"] };
  return serve({ ...LOOPBACK, ...certificate, proxyProtocol }, async (conn) => {
    const { hostname, port } = conn.remoteAddr;
    const { authority } = conn.proxy!.tlvs!;
    for (let line; (line = await conn.readLine()) !== "";) if (line === null) return;
    const body = `${name} ${authority} ${hostname} ${port}`;
    await conn.write(bytes`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${body}`);
  });
}

const UNRECOGNIZED_NAME = Uint8Array.of(21, 3, 3, 0, 2, 2, 112);
const INTERNAL_ERROR = Uint8Array.of(21, 3, 3, 0, 2, 2, 80);

const HELLO = records(message({ names: [[0, "localhost"]], versions: [0x0304] }));

netTest("curl gets the backend of its server name, in its own TLS", async () => {
  await using one = backendNamed("one");
  await using other = backendNamed("other");
  const to = `localhost=127.0.0.1:${one.addr.port},other.example=127.0.0.1:${other.addr.port}`;
  using backends = new Backends(parseBackends(to));
  await using front = serve(LOOPBACK, balancer(backends));
  using files = certificateFiles();
  const { port } = front.addr;
  const curl = ["--silent", "--show-error", "--write-out", " %{local_port}"];
  const known = await run("curl", [
    ...[...curl, "--cacert", files.at("ca.pem"), `https://localhost:${port}/`],
  ]);
  const [name, authority, hostname, announced, asked] = known.said.split(" ");
  assertEquals([name, authority, hostname, known.complaints], [
    "one",
    "localhost",
    "127.0.0.1",
    "",
  ]);
  assertEquals(announced, asked);
  const elsewhere = await run("curl", [
    ...[...curl, "--insecure", "--connect-to", `other.example:443:127.0.0.1:${port}`],
    "https://other.example/",
  ]);
  assertEquals(elsewhere.said.split(" ").slice(0, 2), ["other", "other.example"]);
}, { programs: ["curl"], os: ["linux", "darwin"] });

netTest(
  "openssl with a name that is unknown, or none, gets an alert, or the backend of *",
  async () => {
    await using one = backendNamed("one");
    const { port } = one.addr;
    using strict = new Backends(parseBackends(`localhost=127.0.0.1:${port}`));
    using open = new Backends(parseBackends(`localhost=127.0.0.1:1,*=127.0.0.1:${port}`));
    await using front = serve(LOOPBACK, balancer(strict));
    await using lenient = serve(LOOPBACK, balancer(open));
    for (const name of [["-servername", "else.example"], ["-noservername"]]) {
      const ask = (port: number) =>
        run("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, ...name]);
      const refused = await ask(front.addr.port);
      assert(refused.complaints.includes("unrecognized name"), refused.complaints);
      const served = await ask(lenient.addr.port);
      assert(served.said.includes("BEGIN CERTIFICATE"), served.said);
    }
  },
  { programs: ["openssl"] },
);

netTest("balancer() gives each client to the backend with the fewest connections", async () => {
  const seen = [0, 0];
  const holding = (i: number): Handler => async (conn) => {
    seen[i]!++;
    await conn.readUntil("done");
  };
  const options = { ...LOOPBACK, proxyProtocol: { trust: ["127.0.0.1"] } };
  await using one = serve(options, holding(0));
  await using other = serve(options, holding(1));
  const to = [one, other].map(({ addr }) => `localhost=127.0.0.1:${addr.port}`).join();
  const all = parseBackends(to);
  using backends = new Backends(all);
  await using front = serve(LOOPBACK, balancer(backends));
  const clients: Deno.Conn[] = [];
  for (let i = 1; i <= 6; i++) {
    const client = await dial(front.addr);
    await client.write(HELLO);
    clients.push(client);
    await until(() => seen[0]! + seen[1]! === i);
  }
  assertEquals(seen, [3, 3]);
  assertEquals(all.map(({ active }) => active), [3, 3]);
  for (const client of clients) client.close();
  await until(() => all.every(({ active }) => active === 0));
});

netTest(
  "balancer() passes on a client when its backend is gone, and comes back to it",
  async () => {
    const gone = Deno.listen(LOOPBACK);
    const { port } = gone.addr;
    gone.close();
    await using one = backendNamed("one");
    const all = parseBackends(`localhost=127.0.0.1:${port},localhost=127.0.0.1:${one.addr.port}`);
    using backends = new Backends(all);
    await using front = serve(LOOPBACK, balancer(backends));
    using client = await dialTls(front.addr);
    await client.write(bytes`GET / HTTP/1.1\r\n\r\n`);
    assert(text(await readAll(client)).includes("one localhost 127.0.0.1"));
    assertEquals(all.map(({ isUp }) => isUp), [false, true]);
    assertEquals(backends.of("localhost").map((backend) => backend.port), [one.addr.port, port]);
    using _back = Deno.listen({ hostname: "127.0.0.1", port });
    await backends.check();
    assertEquals(all.map(({ isUp }) => isUp), [true, true]);
  },
);

netTest("balancer() sends an alert when no backend can be reached", async () => {
  using backends = new Backends([new Backend("localhost", "127.0.0.1", 1)]);
  const { server: front, ended } = serveNoting(balancer(backends));
  const client = await dial(front.addr);
  await client.write(HELLO);
  assertEquals(await readAll(client), INTERNAL_ERROR);
  await front.shutdown();
  assertEquals([ended[0]?.reason, ended[0]?.detail], ["dismissed", "no backend"]);
});

Deno.test("balancer() reads a ClientHello at every split", async () => {
  using backends = new Backends([]);
  await everySplit(HELLO, async (pieces) => {
    const [client, socket] = pair();
    for (const piece of pieces) await client.write(piece);
    await using conn = connection(socket);
    const ending = balancer(backends)(conn);
    assertEquals(await readAll(client), UNRECOGNIZED_NAME);
    await ending;
  }, { pieces: 2 });
});

netTest("balancer() closes without an alert when a client speaks no TLS, or leaves", async () => {
  using backends = new Backends([]);
  await using front = serve(LOOPBACK, balancer(backends));
  for (const said of [bytes`GET / HTTP/1.1\r\n\r\n`, HELLO.subarray(0, 20), bytes``]) {
    const client = await dial(front.addr);
    await client.write(said);
    await client.closeWrite();
    assertEquals(await readAll(client), bytes``);
  }
});

Deno.test("balancer() waits ten seconds for a ClientHello", async () => {
  using time = new FakeTime();
  using backends = new Backends([]);
  await using client = connect(balancer(backends));
  await client.write(HELLO.subarray(0, 20));
  await pass(time, 10_200);
  assertEquals((await client.ended).reason, "deadline");
});

Deno.test("parseBackends() reads names, hosts and ports, and refuses anything else", () => {
  const all = parseBackends("A.example=127.0.0.1:80,*=[::1]:7000,b=backend.internal:65535");
  assertEquals(
    all.map(({ name, hostname, port }) => [name, hostname, port]),
    [["a.example", "127.0.0.1", 80], ["*", "::1", 7000], ["b", "backend.internal", 65535]],
  );
  for (
    const wrong of ["", "127.0.0.1:80", "a=127.0.0.1", "a=:80", "a=b:70000", "a=::1:80", "=b:1"]
  ) {
    assertThrows(
      () => parseBackends(`a=b:1,${wrong}`),
      TypeError,
      `Cannot balance --to "${wrong}": use NAME=HOST:PORT`,
    );
  }
});
