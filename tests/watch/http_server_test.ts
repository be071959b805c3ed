/** Tests that requests are answered by the rules of HTTP, and that no client keeps others from an answer. @module */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { HttpServer } from "../../lib/watch/http_server.ts";
import { bytes, text } from "../support/bytes.ts";
import { netTest } from "../support/needs.ts";
import { connectAndReset, connectMany, dial, readAll, writeAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";

/** A server that answers with the method, the address and the host that it was asked for. */
class Echoing implements AsyncDisposable {
  readonly errors: unknown[] = [];
  readonly http = new HttpServer("127.0.0.1", 0, (request) => {
    const { method, url, headers } = request;
    if (url.endsWith("/throw")) throw new TypeError("a secret");
    const body = `${method} ${url} ${headers.get("host")}`;
    return { status: 200, headers: { "content-type": "text/plain" }, body };
  }, (error) => this.errors.push(error));

  /** Sends what is given, and reads the answer to its end. */
  async ask(request: string | Uint8Array): Promise<string> {
    const client = await dial(this.http.addr);
    await writeAll(client, typeof request === "string" ? bytes`${request}` : request);
    return text(await readAll(client));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.http.shutdown();
  }
}

netTest("HttpServer answers with a length and a date, and closes", async () => {
  await using server = new Echoing();
  const [head = "", body] = (await server.ask("GET /a?b=c HTTP/1.1\r\nHost: localhost:80\r\n\r\n"))
    .split("\r\n\r\n");
  assertEquals(body, "GET http://localhost/a?b=c localhost:80");
  assertMatch(head, /^HTTP\/1\.1 200 \r\n/);
  assertStringIncludes(head, "\r\ncontent-length: 39");
  assertStringIncludes(head, "\r\nconnection: close");
  assertMatch(head, /\r\ndate: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT/);
});

netTest("HttpServer answers HTTP/1.0 without a host, as the checks of HAProxy ask", async () => {
  await using server = new Echoing();
  const { port } = server.http.addr;
  const answer = await server.ask("GET /readyz HTTP/1.0\r\n\r\n");
  assert(answer.endsWith(`\r\n\r\nGET http://127.0.0.1:${port}/readyz null`), answer);
});

netTest("HttpServer sends no body to a HEAD request, only its length", async () => {
  await using server = new Echoing();
  const answer = await server.ask("HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assertMatch(answer, /\r\ncontent-length: \d+\r\n[^]*\r\n\r\n$/);
});

netTest("HttpServer takes the host from a target that has one, as proxies send it", async () => {
  await using server = new Echoing();
  const answer = await server.ask("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assert(answer.endsWith("GET http://evil.example/ evil.example"), answer);
});

netTest("HttpServer answers a request that comes byte by byte, after an empty line", async () => {
  await using server = new Echoing();
  const client = await dial(server.http.addr);
  for (const byte of bytes`\r\nPOST /x HTTP/1.1\r\nHost:\tlocalhost \r\n\r\n`) {
    await client.write(Uint8Array.of(byte));
  }
  assert(text(await readAll(client)).endsWith("POST http://localhost/x localhost"));
});

const HOST = "Host: localhost\r\n";
const WRONG: [request: string, status: number][] = [
  ["nonsense\r\n\r\n", 400],
  ["\x16\x03\x01\x02\x00\r\n\r\n", 400],
  ["get / HTTP/1.1\r\n" + HOST + "\r\n", 400],
  ["GET /a b HTTP/1.1\r\n" + HOST + "\r\n", 400],
  ["GET * HTTP/1.1\r\n" + HOST + "\r\n", 400],
  ["GET / HTTP/1.1\r\n\r\n", 400],
  ["GET / HTTP/1.1\r\n" + HOST + HOST + "\r\n", 400],
  ["GET / HTTP/1.1\r\n" + HOST + " folded: x\r\n\r\n", 400],
  ["GET / HTTP/1.1\r\n" + HOST + "Name : x\r\n\r\n", 400],
  ["GET / HTTP/1.1\r\n" + HOST + "name: a\0b\r\n\r\n", 400],
  ["GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400],
  ["TRACE / HTTP/1.1\r\n" + HOST + "\r\n", 400],
  ["CONNECT localhost:80 HTTP/1.1\r\n" + HOST + "\r\n", 400],
  ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505],
];
for (const [request, status] of WRONG) {
  netTest(`HttpServer answers ${JSON.stringify(request)} with ${status}`, async () => {
    await using server = new Echoing();
    assertMatch(await server.ask(request), new RegExp(`^HTTP/1\\.1 ${status} \\r\\n`));
    assertEquals(server.errors, []);
  });
}

netTest("HttpServer answers a header of 8 KiB, and a longer one with 431", async () => {
  await using server = new Echoing();
  const head = "GET / HTTP/1.1\r\nHost: localhost\r\nx: ";
  const longest = `${head}${"x".repeat(8192 - head.length)}`;
  assertMatch(await server.ask(`${longest}\r\n\r\n`), /^HTTP\/1\.1 200 /);
  assertMatch(await server.ask(`${longest}x\r\n\r\n`), /^HTTP\/1\.1 431 /);
});

netTest("HttpServer hides what the handler throws, and reports it", async () => {
  await using server = new Echoing();
  const answer = await server.ask("GET /throw HTTP/1.1\r\nHost: localhost\r\n\r\n");
  assertMatch(answer, /^HTTP\/1\.1 500 [^]*\r\n\r\nThe page failed\n$/);
  assertEquals(answer.includes("secret"), false);
  await until(() => server.errors.length === 1);
  assertEquals(String(server.errors[0]), "TypeError: a secret");
});

netTest("HttpServer closes a connection without a complete request after 5 s", async () => {
  using time = new FakeTime();
  await using server = new Echoing();
  using mute = await dial(server.http.addr);
  using half = await dial(server.http.addr);
  await half.write(bytes`GET / HTTP/1.1\r\nHos`);
  // Answered, so those that came before are being read.
  assertMatch(await server.ask("GET / HTTP/1.0\r\n\r\n"), / 200 /);
  const closed = Promise.all([mute, half].map((client) => client.read(new Uint8Array(1))));
  let isClosed = false;
  closed.then(() => isClosed = true);
  await time.tickAsync(4800);
  assertMatch(await server.ask("GET / HTTP/1.0\r\n\r\n"), / 200 /);
  assertEquals(isClosed, false);
  await time.tickAsync(500);
  assertEquals(await closed, [null, null]);
});

netTest("HttpServer answers a request at once, however many connections say nothing", async () => {
  await using server = new Echoing();
  using silent = await connectMany(server.http.addr, 200);
  assertMatch(await server.ask("GET / HTTP/1.0\r\n\r\n"), / 200 /);
  // The oldest made room, and the last ones stay.
  assertEquals(await silent.all[0]!.read(new Uint8Array(1)), null);
  await silent.all.at(-1)!.write(bytes`GET / HTTP/1.0\r\n\r\n`);
  assertEquals(typeof await silent.all.at(-1)!.read(new Uint8Array(1)), "number");
});

netTest("HttpServer goes on when clients reset", async () => {
  await using server = new Echoing();
  await Promise.all(Array.from({ length: 50 }, () => connectAndReset(server.http.addr)));
  assertMatch(await server.ask("GET / HTTP/1.0\r\n\r\n"), / 200 /);
  assertEquals(server.errors, []);
});

netTest("HttpServer stops at once though connections without a request are open", async () => {
  const server = new Echoing();
  using _silent = await connectMany(server.http.addr, 3);
  assertMatch(await server.ask("GET / HTTP/1.0\r\n\r\n"), / 200 /);
  const since = performance.now();
  await server.http.shutdown();
  await server.http.finished;
  assert(performance.now() - since < 900, "it waited for them");
});
