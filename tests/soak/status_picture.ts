/**
 * Draws `docs/status_page.png`: the page of a server behind a balancer, whose clients come and go in
 * waves, after as many seconds as its charts reach back. Needs Chromium.
 *
 *     deno run -A tests/soak/status_picture.ts [seconds=200]
 *
 * @module
 */

import { watch } from "../../lib/watch/mod.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { framed, lines, ProtocolError, serve } from "../../mod.ts";
import { Browsing } from "../support/browser.ts";
import { Chance } from "../support/chance.ts";
import { dial } from "../support/peers.ts";

const [seconds = 200] = Deno.args.map(Number);

/** Clients at most, and ms of a wave. */
const CROWD = 240, WAVE = 120_000;

const NAMES = ["ada", "bob", "carol", "dave", "eve", "mallory", "peggy", "trent", "walter"];
const HOSTS = ["api.example", "imap.example", "shop.example"];

/** A client in TLS that shows no certificate, as the balancer says it. */
const NO_CERTIFICATE = { ssl: true, certConnection: false, certSession: false, verified: false };

const chance = new Chance(7);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

await using server = serve({
  listeners: [
    { port: 7000, hostname: "127.0.0.1", name: "public", proxyProtocol: { trust: ["127.0.0.1"] } },
    { port: 7001, hostname: "127.0.0.1", name: "staff" },
  ],
  maxConnections: 400,
  maxConnectionsPerPeer: 3,
  idleTimeout: 20_000,
  onError() {},
}, async (conn) => {
  const said = framed(conn, lines({ limit: 4096 }));
  for await (const line of said) {
    if (line.startsWith("name ")) conn.label = line.slice(5);
    else if (line === "kick") return void conn.end("kicked");
    else if (line === "wrong") throw new ProtocolError("Cannot understand 'wrong'");
    else if (line === "fail") throw new TypeError("Cannot read properties of undefined");
    else await said.send(line);
  }
});
await using page = watch(server, { port: 0, token: crypto.randomUUID() });
const showing = { viewport: { width: 1280, height: 1200 } };
await using browser = await Browsing.open(page.url, showing, 2000 * seconds);

/** Comes, speaks for a while, and goes in one of several ways. */
async function visit(): Promise<void> {
  const isStaff = chance.onceIn(12);
  using conn = await dial(server.addrs[isStaff ? 1 : 0]!);
  if (!isStaff) await conn.write(header());
  const peer = framed(conn, lines());
  await peer.send(`name ${chance.pick(NAMES)}`);
  const heard = (async () => {
    for await (const _ of peer);
  })().catch(() => {});
  const way = chance.pick([..."................", "kick", "wrong", "fail", "silence"]);
  for (let left = chance.from(2, 120); left > 0; left--) {
    await peer.send("x".repeat(chance.from(100, 2000)));
    await peer.flush();
    await sleep(chance.from(50, 400));
  }
  if (way === "silence") await sleep(21_000);
  else if (way !== ".") await peer.send(way).catch(() => {});
  await peer.conn.end();
  await heard;
}

function header(): Uint8Array {
  const source = { transport: "tcp", hostname: `203.0.113.${chance.from(1, 254)}` } as const;
  const tls = chance.pick(["TLSv1.2", "TLSv1.3"]);
  return encodeProxyHeader({
    version: 2,
    command: "PROXY",
    source: { ...source, port: chance.from(30_000, 60_000) },
    destination: { transport: "tcp", hostname: "192.0.2.1", port: 443 },
    tlvs: { authority: chance.pick(HOSTS), ssl: { ...NO_CERTIFICATE, version: tls } },
  });
}

let visiting = 0;
const since = Date.now();
while (Date.now() - since < 1000 * seconds) {
  const wave = 0.65 + 0.35 * Math.sin((Date.now() - since) / WAVE * 2 * Math.PI);
  for (let more = 0; more < 3 && visiting < CROWD * wave; more++) {
    visiting++;
    visit().catch(() => {}).finally(() => visiting--);
  }
  await sleep(100);
}
await browser.do("draw", new URL("../../docs/status_page.png", import.meta.url).pathname);
Deno.exit();
