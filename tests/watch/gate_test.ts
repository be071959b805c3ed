/** Tests that other sites are kept out, and nothing else. @module */

import { assertEquals } from "@std/assert";
import { actionRefusal, refusal } from "../../lib/watch/gate.ts";
import { completeWatchOptions } from "../../lib/watch/watch_options.ts";

const TOKEN = "0123456789abcdef";
const gate = completeWatchOptions({ port: 0, hosts: ["status.example"], token: TOKEN });

/** The status with which a request is refused, if it is. */
function statusOf(headers: Record<string, string>, method = "GET"): number | undefined {
  const request = new Request("http://127.0.0.1/", { method, headers });
  return refusal(request, gate)?.status;
}

const WELCOME = [
  "127.0.0.1",
  "127.0.0.1:9090",
  "10.1.2.3:9090",
  "[::1]",
  "[2001:db8::7]:9090",
  "localhost",
  "LOCALHOST:80",
  "status.example",
  "Status.Example:443",
];
for (const host of WELCOME) {
  Deno.test(`refusal() answers requests for "${host}"`, () =>
    assertEquals(statusOf({ host }), undefined));
}

const STRANGE = [
  "",
  "evil.example",
  "status.example.evil.example",
  "evil.status.example",
  "localhost.evil.example",
  "127.0.0.1.evil.example",
  "127.0.0.1.",
  "127.1",
  "2130706433",
  "0x7f000001",
  "[::1",
  "localhost:80:80",
  "user@localhost",
];
for (const host of STRANGE) {
  Deno.test(`refusal() refuses requests for "${host}"`, () =>
    assertEquals(statusOf({ host }), 421));
}

Deno.test("refusal() lets in probes that name no host, which browsers always do", () => {
  assertEquals(statusOf({}), undefined);
});

const ORIGINS: [origin: string, status: number | undefined][] = [
  ["http://127.0.0.1:9090", undefined],
  ["https://127.0.0.1:9090", undefined],
  ["http://127.0.0.1:9091", 403],
  ["http://127.0.0.1", 403],
  ["http://evil.example", 403],
  ["http://127.0.0.1:9090.evil.example", 403],
  ["null", 403],
  ["", 403],
];
for (const [origin, status] of ORIGINS) {
  Deno.test(`refusal() ${status ? "refuses" : "lets in"} the origin "${origin}"`, () => {
    assertEquals(statusOf({ host: "127.0.0.1:9090", origin }), status);
  });
}

Deno.test("refusal() refuses the requests of another site's page, but not its links", () => {
  const host = "127.0.0.1:9090";
  const from = (site: string, dest: string) => ({
    host,
    "sec-fetch-site": site,
    "sec-fetch-dest": dest,
  });
  assertEquals(statusOf(from("same-origin", "empty")), undefined);
  assertEquals(statusOf(from("none", "document")), undefined);
  assertEquals(statusOf(from("cross-site", "document")), undefined);
  assertEquals(statusOf(from("cross-site", "document"), "POST"), 403);
  assertEquals(statusOf(from("cross-site", "iframe")), 403);
  assertEquals(statusOf(from("cross-site", "image")), 403);
  assertEquals(statusOf(from("same-site", "empty")), 403);
});

Deno.test("actionRefusal() wants the whole token, and the scheme in any case", () => {
  const statusFor = (authorization?: string) =>
    actionRefusal(
      new Request("http://x/", { headers: authorization === undefined ? {} : { authorization } }),
      gate,
    )?.status;
  for (const scheme of ["Bearer", "bearer", "BEARER", "bEaReR "]) {
    assertEquals(statusFor(`${scheme} ${TOKEN}`), undefined, scheme);
  }
  for (
    const wrong of [
      undefined,
      "",
      "Bearer",
      "Bearer ",
      TOKEN,
      `Bearer ${TOKEN}x`,
      `Bearer${TOKEN}`,
      `Basic ${TOKEN}`,
      `Bearer ${TOKEN.toUpperCase()}`,
    ]
  ) {
    assertEquals(statusFor(wrong), 401, wrong);
  }
});

Deno.test("actionRefusal() refuses everything without a token in the options", () => {
  const closed = completeWatchOptions({ port: 0 });
  for (const authorization of ["Bearer ", "Bearer undefined", ""]) {
    const request = new Request("http://x/", { headers: { authorization } });
    assertEquals(actionRefusal(request, closed)?.status, 403);
  }
});
