/** Clients reach hosts through the proxy, or get the reason why they cannot. @module */

import { assert, assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { type Login, socks5 } from "../../examples/socks5.ts";
import { BinaryWriter } from "../../lib/wire/mod.ts";
import { connect, everySplit, pair } from "../../lib/testing/mod.ts";
import { connection, type EndRecord, serve } from "../../mod.ts";
import { run } from "../interop/processes.ts";
import { bytes } from "../support/bytes.ts";
import { echo } from "../../examples/echo.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { LOOPBACK, readAll } from "../support/peers.ts";
import { pass } from "../support/wait.ts";

const LOGIN: Login = { user: "ada", password: "secret" };

/** Sends the client's bytes and the end; returns the proxy's answer. */
async function answer(port: number, said: Uint8Array): Promise<Uint8Array> {
  const client = await Deno.connect({ port });
  await client.write(said);
  await client.closeWrite();
  return await readAll(client);
}

/** A greeting without a login, and a request. */
function request(port: number, host: string, command = 1): Uint8Array {
  return new BinaryWriter().bytes(Uint8Array.of(5, 1, 0, 5, command, 0, 3)).prefixedString(1, host)
    .u16(port).finish();
}

const REPLY = (code: number) => Uint8Array.of(5, 0, 5, code, 0, 1, 0, 0, 0, 0, 0, 0);

netTest(
  "socks5() connects by name, IPv4 and IPv6, with what the client has sent already",
  async () => {
    await using backend = serve({ port: 0, hostname: "::" }, echo);
    await using proxy = serve(LOOPBACK, socks5());
    const { port } = backend.addr;
    const addresses = [
      Uint8Array.of(3, 9, ...bytes`localhost`),
      Uint8Array.of(1, 127, 0, 0, 1),
      Uint8Array.of(4, ...new Uint8Array(15), 1),
    ];
    for (const address of addresses) {
      const said = Uint8Array.of(
        5,
        1,
        0,
        5,
        1,
        0,
        ...address,
        port >> 8,
        port & 255,
        ...bytes`hello`,
      );
      assertEquals(
        await answer(proxy.addr.port, said),
        Uint8Array.of(...REPLY(0), ...bytes`hello`),
      );
    }
  },
);

netTest("socks5() replies why a host cannot be reached", async () => {
  const gone = Deno.listen(LOOPBACK);
  const { port } = gone.addr;
  gone.close();
  await using proxy = serve(LOOPBACK, socks5());
  const requests: [Uint8Array, number][] = [
    [request(port, "127.0.0.1"), 5],
    // A label of more than 63 characters is never looked up.
    [request(port, `${"a".repeat(64)}.localhost`), 4],
    [request(port, "a b"), 1],
    [request(port, "127.0.0.1", 2), 7],
    [Uint8Array.of(5, 1, 0, 5, 1, 0, 9), 8],
  ];
  for (const [said, code] of requests) {
    assertEquals(await answer(proxy.addr.port, said), REPLY(code));
  }
});

netTest("socks5() asks for a login only if it has one, and ends a wrong one", async () => {
  await using backend = serve(LOOPBACK, echo);
  await using open = serve(LOOPBACK, socks5());
  await using closed = serve(LOOPBACK, socks5(LOGIN));
  assertEquals(await answer(open.addr.port, Uint8Array.of(5, 1, 2)), Uint8Array.of(5, 255));
  assertEquals(await answer(closed.addr.port, Uint8Array.of(5, 2, 0, 1)), Uint8Array.of(5, 255));
  const login = (user: string, password: string) =>
    new BinaryWriter().bytes(Uint8Array.of(5, 2, 0, 2, 1)).prefixedString(1, user)
      .prefixedString(1, password).bytes(request(backend.addr.port, "127.0.0.1").subarray(3))
      .finish();
  for (const [user, password] of [["ada", "secre"], ["ad", "secret"], ["ada", ""]] as const) {
    const answered = await answer(closed.addr.port, login(user, password));
    assertEquals(answered, Uint8Array.of(5, 2, 1, 1));
  }
  const answered = await answer(closed.addr.port, login("ada", "secret"));
  assertEquals(answered.subarray(0, 6), Uint8Array.of(5, 2, 1, 0, 5, 0));
});

netTest(
  "socks5() ends a client that speaks otherwise, or leaves, as a protocol_error",
  async () => {
    const ended: EndRecord[] = [];
    const options = { ...LOOPBACK, onEnd: (record: EndRecord) => void ended.push(record) };
    await using proxy = serve(options, socks5());
    for (const said of [bytes`GET / HTTP/1.1\r\n`, Uint8Array.of(4, 1), Uint8Array.of(5)]) {
      assertEquals(await answer(proxy.addr.port, said), new Uint8Array());
    }
    await proxy.shutdown();
    assertEquals(ended.map(({ reason }) => reason), new Array(3).fill("protocol_error"));
  },
);

Deno.test("socks5() waits ten seconds for a login", async () => {
  using time = new FakeTime();
  await using client = connect(socks5(LOGIN));
  await client.write(Uint8Array.of(5, 1));
  await pass(time, 10_200);
  assertEquals((await client.ended).reason, "deadline");
});

Deno.test("socks5() reads a login at every split", async () => {
  const said = Uint8Array.of(
    5,
    1,
    2,
    1,
    3,
    ...bytes`ada`,
    6,
    ...bytes`secret`,
    5,
    2,
    0,
    3,
    1,
    97,
    0,
    9,
  );
  await everySplit(said, async (pieces) => {
    const [client, socket] = pair();
    for (const piece of pieces) await client.write(piece);
    await using conn = connection(socket);
    await socks5(LOGIN)(conn);
    await conn.closeWrite();
    assertEquals(
      await readAll(client),
      Uint8Array.of(5, 2, 1, 0, 5, 7, 0, 1, 0, 0, 0, 0, 0, 0),
    );
  }, { pieces: 2 });
});

for (const login of [undefined, LOGIN]) {
  netTest(`curl sends and gets 50 MB ${login ? "with" : "without"} a login`, async () => {
    const body = crypto.getRandomValues(new Uint8Array(65_536));
    const size = 50_000_000;
    const file = new Uint8Array(size).map((_, i) => body[i % 65_536]!);
    const received: Uint8Array[] = [];
    await using backend = serve(LOOPBACK, async (conn) => {
      const first = await conn.readLine();
      for (let line; (line = await conn.readLine()) !== "";) if (line === null) return;
      if (first!.startsWith("PUT")) {
        for (let left = size; left > 0;) {
          const chunk = await conn.readExactly(Math.min(left, 50_000));
          received.push(chunk!);
          left -= chunk!.length;
        }
        await conn.write(bytes`HTTP/1.1 204 Done\r\nConnection: close\r\n\r\n`);
        return;
      }
      await conn.write(bytes`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
      await conn.write(file);
    });
    await using proxy = serve(LOOPBACK, socks5(login));
    using place = new Directory();
    const [sent, got] = [place.at("sent"), place.at("got")];
    await Deno.writeFile(sent, file);
    const curl = [
      ...["--silent", "--show-error", "--fail", "--expect100-timeout", "0.001"],
      ...["--proxy", `socks5h://localhost:${proxy.addr.port}`],
      ...(login === undefined ? [] : ["--proxy-user", `${login.user}:${login.password}`]),
    ];
    const url = `http://localhost:${backend.addr.port}/`;
    const down = await run("curl", [...curl, "--output", got, url]);
    assertEquals([down.complaints, down.code], ["", 0]);
    const up = await run("curl", [...curl, "--upload-file", sent, url]);
    assertEquals([up.complaints, up.code], ["", 0]);
    const digest = await sha256(file);
    assertEquals(await sha256(await Deno.readFile(got)), digest);
    assertEquals(
      await sha256(new Uint8Array(await new Blob(received as BlobPart[]).arrayBuffer())),
      digest,
    );
    const wrong = await run("curl", [...curl, "--proxy-user", "ada:wrong", url]);
    assert(login === undefined || wrong.code !== 0);
  }, { programs: ["curl"], os: ["linux", "darwin"] });
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}
