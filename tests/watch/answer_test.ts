/** Tests that each request is answered as it should be, and nothing is shown to other sites. @module */

import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { connect } from "../../lib/testing/mod.ts";
import { answer, type Site } from "../../lib/watch/answer.ts";
import { LiveFeed } from "../../lib/watch/live_feed.ts";
import { serversByName } from "../../lib/watch/observed.ts";
import { TableQueries } from "../../lib/watch/table_queries.ts";
import { metricsText } from "../../lib/watch/prometheus.ts";
import { FILES } from "../../lib/watch/page/files.ts";
import { completeWatchOptions, type WatchOptions } from "../../lib/watch/watch_options.ts";
import type { Server } from "../../mod.ts";
import { turn, until } from "../support/wait.ts";

const TOKEN = "0123456789abcdef";
const PLACES = [
  ...Object.keys(FILES),
  "/metrics",
  "/readyz",
  "/livez",
  "/connections",
  "/events",
  "/nowhere",
];

/** Asks without a network. */
function asker(
  given: Server | Record<string, Server>,
  further: Partial<WatchOptions> = { token: TOKEN },
) {
  const options = completeWatchOptions({ port: 0, ...further });
  const servers = serversByName("watch", given);
  const feed = new LiveFeed(servers, true);
  const site: Site = { servers, options, feed, queries: new TableQueries() };
  return async (path: string, init: RequestInit = {}) => {
    const request = new Request(`http://127.0.0.1:9090${path}`, init);
    const { status, headers, body } = await answer(request, site, "127.0.0.1");
    return new Response(body, { status, headers });
  };
}

/** Asks with the token. */
const POST: RequestInit = { method: "POST", headers: { authorization: `Bearer ${TOKEN}` } };

async function statusAndText(
  answered: Response | Promise<Response>,
): Promise<[status: number, text: string]> {
  const response = await answered;
  return [response.status, await response.text()];
}

Deno.test("answer() keeps every answer from other sites", async () => {
  await using client = connect(async () => {});
  const ask = asker(client.server);
  for (const path of PLACES) {
    const response = await ask(path);
    const { headers } = response;
    await response.body?.cancel();
    assertStringIncludes(headers.get("content-security-policy")!, "default-src 'none'; ");
    assertEquals(/unsafe|\*|http/.test(headers.get("content-security-policy")!), false);
    assertEquals(headers.get("x-content-type-options"), "nosniff", path);
    assertEquals(headers.get("cross-origin-resource-policy"), "same-origin", path);
    assertEquals(headers.get("cache-control"), "no-store", path);
    assertEquals(headers.has("access-control-allow-origin"), false, path);
    for (const [name, value] of [["host", "evil.example"], ["origin", "http://evil.example"]]) {
      const refused = await ask(path, { headers: { [name!]: value! } });
      assertEquals([421, 403].includes(refused.status), true, path);
      assertMatch(await refused.text(), /^(This name is not|Other sites may not)/);
    }
  }
});

Deno.test("answer() gives a page that holds no figures and no foreign address", async () => {
  await using client = connect(async () => {});
  const ask = asker(client.server);
  for (const [path, { text }] of Object.entries(FILES)) {
    const response = await ask(path);
    assertEquals(response.status, 200);
    assertEquals(await response.text(), text);
    // The namespace of SVG is a name, and loads nothing.
    assertEquals(/(https?:)?\/\/\w/.exec(text.replaceAll("http://www.w3.org/2000/svg", "")), null);
    assertEquals(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/.test(text), false);
    assertEquals(/ style=|<style|<script>| on\w+="/.test(text), false);
  }
});

Deno.test("answer() gives metrics as Prometheus reads them", async () => {
  await using client = connect((conn) => conn.readLine());
  await turn();
  const response = await asker(client.server)("/metrics");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assertEquals(await response.text(), metricsText(client.server));
});

Deno.test("answer() says whether the server is ready, why not, and whether it is alive", async () => {
  await using client = connect((conn) => conn.readLine(), { maxConnections: 1 });
  const { server } = client;
  const ask = asker(server);
  const probe =
    async () => [await statusAndText(ask("/readyz")), await statusAndText(ask("/livez"))];
  server.maxConnections = 2;
  assertEquals(await probe(), [[200, "ready\n"], [200, "alive\n"]]);
  server.maxConnections = 1;
  await turn();
  assertEquals((await probe())[0], [503, "not ready: accepting waits for slot\n"]);
  server.pause();
  assertEquals(await probe(), [
    [503, "not ready: accepting waits for resume\n"],
    [200, "alive\n"],
  ]);
  server.resume();
  const stopped = server.shutdown();
  assertEquals(await probe(), [[503, "not ready: draining\n"], [200, "alive\n"]]);
  client.close();
  await stopped;
  assertEquals(await probe(), [[503, "not ready: stopped\n"], [503, "stopped\n"]]);
});

Deno.test("answer() lists connections, and says what is wrong with a query", async () => {
  await using client = connect((conn) => conn.readLine());
  await turn();
  const ask = asker(client.server);
  const response = await ask("/connections?limit=1");
  assertEquals(response.headers.get("content-type"), "application/json");
  const { total, connections: [first] } = await response.json();
  assertEquals([total, first.client], [1, "tcp://192.0.2.2:40007"]);
  assertEquals(await statusAndText(ask("/connections?limit=0")), [
    400,
    "Cannot list connections with 'limit' of \"0\": use a whole number from 1 to 1000\n",
  ]);
});

Deno.test("answer() refuses what it does not know", async () => {
  await using client = connect(async () => {});
  const ask = asker(client.server);
  assertEquals(await statusAndText(ask("/nowhere")), [404, "Not found\n"]);
  assertEquals(await statusAndText(ask("/toString")), [404, "Not found\n"]);
  const posted = await ask("/metrics", { method: "POST" });
  assertEquals([posted.headers.get("allow"), ...await statusAndText(posted)], [
    "GET, HEAD",
    405,
    "Use GET, HEAD\n",
  ]);
  assertEquals((await statusAndText(ask("/drain")))[0], 405);
  assertEquals(await statusAndText(ask("/events", { method: "HEAD" })), [200, ""]);
});

Deno.test("answer() closes a connection only with the token", async () => {
  await using client = connect((conn) => conn.readLine());
  await turn();
  const ask = asker(client.server);
  const close = (id: number, token: string) =>
    ask(`/connections/${id}/close`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    });
  assertEquals(await statusAndText(close(1, "fedcba9876543210")), [401, "This is not the token\n"]);
  assertEquals((await close(1, "")).headers.get("www-authenticate"), "Bearer");
  assertEquals(await statusAndText(close(2, TOKEN)), [404, "This connection is over already\n"]);
  assertEquals(client.server.stats().active, 1);
  assertEquals(await statusAndText(close(1, TOKEN)), [200, "closed\n"]);
  const { id, reason, detail } = await client.ended;
  assertEquals([id, reason, detail], [1, "dismissed", "status page"]);
});

Deno.test("answer() drains with the token, and not where none was given", async () => {
  await using client = connect((conn) => conn.readLine());
  await turn();
  const closed = await asker(client.server, {})(
    "/drain",
    POST,
  );
  assertEquals(closed.status, 403);
  assertStringIncludes(await closed.text(), "no 'token' was given");
  assertEquals(client.server.state, "running");
  assertEquals(await statusAndText(asker(client.server)("/drain", POST)), [202, "draining\n"]);
  assertEquals(client.server.state, "draining");
  client.close();
  await client.server.finished;
});

Deno.test("answer() appends the program's own metrics, on lines of their own", async () => {
  await using client = connect((conn) => conn.readLine());
  await turn();
  const { server } = client;
  const usual = metricsText(server);
  for (const own of ["mine 1\n", "mine 1"]) {
    for (const metrics of [() => own, () => Promise.resolve(own)]) {
      assertEquals(await statusAndText(asker(server, { metrics })("/metrics")), [
        200,
        `${usual}mine 1\n`,
      ]);
    }
  }
});

Deno.test("answer() throws what the program's own metrics throw, and does not wait forever", async () => {
  using time = new FakeTime();
  await using client = connect((conn) => conn.readLine());
  const ask = (metrics: () => Promise<string>) => asker(client.server, { metrics })("/metrics");
  await assertRejects(() => ask(() => Promise.reject(new RangeError("mine"))), RangeError, "mine");
  const asked = assertRejects(
    () => ask(() => new Promise(() => {})),
    DOMException,
    "'metrics' of watch() took longer than 5000 ms",
  );
  await time.tickAsync(5000);
  await asked;
});

Deno.test("answer() is ready if each of several servers is, and names those that are not", async () => {
  await using chat = connect((conn) => conn.readLine());
  await using admin = connect((conn) => conn.readLine());
  const ask = asker({ chat: chat.server, admin: admin.server });
  assertEquals(await statusAndText(ask("/readyz")), [200, "ready\n"]);
  admin.server.pause();
  assertEquals(await statusAndText(ask("/readyz")), [
    503,
    "not ready: admin: accepting waits for resume\n",
  ]);
  await chat.server.shutdown({ timeout: 0 });
  assertEquals(await statusAndText(ask("/readyz")), [
    503,
    "not ready: chat: stopped; admin: accepting waits for resume\n",
  ]);
  assertEquals(await statusAndText(ask("/livez")), [200, "alive\n"]);
  await admin.server.shutdown({ timeout: 0 });
  assertEquals(await statusAndText(ask("/livez")), [503, "stopped\n"]);
});

Deno.test("answer() is ready while the server accepts as fast as maxRate allows", async () => {
  const maxRate = { rate: 1, per: 3_600_000 };
  await using client = connect((conn) => conn.readLine(), { maxRate });
  await until(() => client.server.waitingFor === "rate");
  assertEquals(await statusAndText(asker(client.server)("/readyz")), [200, "ready\n"]);
});

Deno.test("answer() lists and closes connections of the server that is named", async () => {
  await using chat = connect((conn) => conn.readLine());
  await using admin = connect((conn) => conn.readLine());
  await turn();
  const ask = asker({ chat: chat.server, admin: admin.server });
  const clients = async (query: string) =>
    (await (await ask(`/connections${query}`)).json()).connections.map((
      { client }: { client: string },
    ) => client);
  const [first] = await clients("");
  assertEquals(await clients("?server=chat"), [first]);
  assertEquals((await clients("?server=admin&limit=1")).length, 1);
  const unknown: [number, string] = [400, "Use 'server' with one of: chat, admin\n"];
  assertEquals(await statusAndText(ask("/connections?server=x")), unknown);
  assertEquals(await statusAndText(ask("/connections/1/close", POST)), unknown);
  assertEquals(await statusAndText(ask("/drain?server=", POST)), unknown);
  assertEquals(await statusAndText(ask("/connections/1/close?server=admin", POST)), [
    200,
    "closed\n",
  ]);
  assertEquals((await admin.ended).id, 1);
  assertEquals(chat.server.stats().active, 1);
});

Deno.test("answer() drains the server that is named, or all", async () => {
  await using chat = connect((conn) => conn.readLine());
  await using admin = connect((conn) => conn.readLine());
  const ask = asker({ chat: chat.server, admin: admin.server });
  assertEquals(await statusAndText(ask("/drain?server=admin", POST)), [202, "draining\n"]);
  assertEquals([chat.server.state, admin.server.state], ["running", "draining"]);
  assertEquals(await statusAndText(ask("/drain", POST)), [202, "draining\n"]);
  assertEquals(chat.server.state, "draining");
  chat.close();
  admin.close();
  await Promise.all([chat.server.finished, admin.server.finished]);
});
