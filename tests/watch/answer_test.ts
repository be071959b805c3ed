/** Is each request answered as it should be, and nothing shown to anybody else? @module */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { connect } from "../../lib/testing/mod.ts";
import { answer } from "../../lib/watch/answer.ts";
import { LiveFeed } from "../../lib/watch/live_feed.ts";
import { metricsText } from "../../lib/watch/prometheus.ts";
import { FILES } from "../../lib/watch/page/files.ts";
import { completeWatchOptions } from "../../lib/watch/watch_options.ts";
import type { Server } from "../../mod.ts";
import { turns } from "../support/wait.ts";

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
function asker(server: Server, token: string | undefined = TOKEN) {
  const options = completeWatchOptions({ port: 0, ...(token === "" ? {} : { token }) });
  const feed = new LiveFeed(server, true);
  return (path: string, init: RequestInit = {}) =>
    answer(new Request(`http://127.0.0.1:9090${path}`, init), server, options, feed);
}

async function said(response: Response): Promise<[status: number, text: string]> {
  return [response.status, await response.text()];
}

Deno.test("answer() keeps every answer from other sites", async () => {
  await using client = connect(async () => {});
  const ask = asker(client.server);
  for (const path of PLACES) {
    const response = ask(path);
    const { headers } = response;
    await response.body?.cancel();
    assertStringIncludes(headers.get("content-security-policy")!, "default-src 'none'; ");
    assertEquals(/unsafe|\*|http/.test(headers.get("content-security-policy")!), false);
    assertEquals(headers.get("x-content-type-options"), "nosniff", path);
    assertEquals(headers.get("cross-origin-resource-policy"), "same-origin", path);
    assertEquals(headers.get("cache-control"), "no-store", path);
    assertEquals(headers.has("access-control-allow-origin"), false, path);
    for (const [name, value] of [["host", "evil.example"], ["origin", "http://evil.example"]]) {
      const refused = ask(path, { headers: { [name!]: value! } });
      assertEquals([421, 403].includes(refused.status), true, path);
      assertMatch(await refused.text(), /^(This name is not|Other sites may not)/);
    }
  }
});

Deno.test("answer() gives the page without a word from the server, and no foreign address", async () => {
  await using client = connect(async () => {});
  const ask = asker(client.server);
  for (const [path, { text }] of Object.entries(FILES)) {
    const response = ask(path);
    assertEquals(response.status, 200);
    assertEquals(await response.text(), text);
    // A namespace of SVG is a name, and nothing that is loaded.
    assertEquals(/(https?:)?\/\/\w/.exec(text.replaceAll("http://www.w3.org/2000/svg", "")), null);
    assertEquals(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(/.test(text), false);
    assertEquals(/ style=|<style|<script>| on\w+="/.test(text), false);
  }
});

Deno.test("answer() gives metrics as Prometheus reads them", async () => {
  await using client = connect((conn) => conn.readLine());
  const response = asker(client.server)("/metrics");
  assertEquals(response.headers.get("content-type"), "text/plain; version=0.0.4; charset=utf-8");
  assertEquals(await response.text(), metricsText(client.server));
});

Deno.test("answer() says whether the server is ready, and why not, and whether it lives", async () => {
  await using client = connect((conn) => conn.readLine(), { maxConnections: 1 });
  const { server } = client;
  const ask = asker(server);
  const probe = async () => [await said(ask("/readyz")), await said(ask("/livez"))];
  server.maxConnections = 2;
  assertEquals(await probe(), [[200, "ready\n"], [200, "alive\n"]]);
  server.maxConnections = 1;
  await turns(1);
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

Deno.test("answer() lists connections, and says what is wrong with a question", async () => {
  await using client = connect((conn) => conn.readLine());
  await turns(1);
  const ask = asker(client.server);
  const response = ask("/connections?limit=1");
  assertEquals(response.headers.get("content-type"), "application/json");
  const { total, connections: [first] } = await response.json();
  assertEquals([total, first.client], [1, "tcp://192.0.2.2:40007"]);
  assertEquals(await said(ask("/connections?limit=0")), [
    400,
    "Cannot list connections with 'limit' of \"0\": use a whole number from 1 to 1000\n",
  ]);
});

Deno.test("answer() refuses what it does not know", async () => {
  await using client = connect(async () => {});
  const ask = asker(client.server);
  assertEquals(await said(ask("/nowhere")), [404, "Not found\n"]);
  assertEquals(await said(ask("/toString")), [404, "Not found\n"]);
  const posted = ask("/metrics", { method: "POST" });
  assertEquals([posted.headers.get("allow"), ...await said(posted)], [
    "GET, HEAD",
    405,
    "Use GET, HEAD\n",
  ]);
  assertEquals((await said(ask("/drain")))[0], 405);
  assertEquals(await said(ask("/events", { method: "HEAD" })), [200, ""]);
});

Deno.test("answer() closes a connection for who has the token, and for nobody else", async () => {
  await using client = connect((conn) => conn.readLine());
  await turns(1);
  const ask = asker(client.server);
  const close = (id: number, token: string) =>
    ask(`/connections/${id}/close`, {
      method: "POST",
      headers: { authorization: `Bearer ${token}` },
    });
  assertEquals(await said(close(1, "fedcba9876543210")), [401, "This is not the token\n"]);
  assertEquals(close(1, "").headers.get("www-authenticate"), "Bearer");
  assertEquals(await said(close(2, TOKEN)), [404, "This connection is over already\n"]);
  assertEquals(client.server.stats().active, 1);
  assertEquals(await said(close(1, TOKEN)), [200, "closed\n"]);
  assertEquals((await client.ended).id, 1);
});

Deno.test("answer() drains for who has the token", async () => {
  await using client = connect((conn) => conn.readLine());
  await turns(1);
  const drain = (ask: ReturnType<typeof asker>) =>
    ask("/drain", { method: "POST", headers: { authorization: `Bearer ${TOKEN}` } });
  const closed = drain(asker(client.server, ""));
  assertEquals(closed.status, 403);
  assertStringIncludes(await closed.text(), "no 'token' was given");
  assertEquals(client.server.state, "running");
  assertEquals(await said(drain(asker(client.server))), [202, "draining\n"]);
  assertEquals(client.server.state, "draining");
  client.close();
  await client.server.finished;
});

Deno.test("answer() sends away the page that is one too many", async () => {
  await using client = connect(async () => {});
  const ask = asker(client.server);
  const pages = Array.from({ length: 32 }, () => ask("/events"));
  assert(pages.every(({ status }) => status === 200));
  assertEquals(await said(ask("/events")), [503, "Too many pages are open\n"]);
  for (const { body } of pages) await body!.cancel();
});
