/** Tests in a real browser that the page shows what goes on. @module */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { watch } from "../../lib/watch/watch.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { serve } from "../../mod.ts";
import { BEHIND } from "../support/balancer.ts";
import { Browsing } from "../support/browser.ts";
import { Holding } from "../support/holding.ts";
import { type Needs, netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { connectMany, dial, LOOPBACK, readAll, readExactly } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { echo } from "../support/handlers.ts";

const TOKEN = "0123456789abcdef";
const CHROMIUM: Needs = { programs: ["chromium"], os: ["linux"] };

/** The text of each cell of a column, from top to bottom. */
const column = (name: string) =>
  `[...document.querySelectorAll('#rows [data-label="${name}"]')].map((cell) => cell.textContent)`;

netTest("the page shows what stats() says when 500 connections have come and gone", async () => {
  await using server = serve({ ...LOOPBACK, maxConnections: 600 }, echo);
  await using page = watch(server, { port: 0 });
  await using browsing = await Browsing.open(page.url);
  await browsing.until(`document.getElementById("active").textContent === "0"`);
  for (let i = 0; i < 5; i++) {
    const { all } = await connectMany(server.addr, 100);
    await Promise.all(all.map(async (client) => {
      await client.write(bytes`hello`);
      await client.closeWrite();
      assertEquals((await readAll(client)).length, 5);
    }));
  }
  using _staying = await connectMany(server.addr, 30);
  await until(() => server.stats().ended.completed === 500 && server.stats().active === 30);
  await browsing.until(`document.getElementById("accepted").textContent === "530"`);
  await browsing.until(`document.querySelectorAll("#rows tr").length === 25`);
  assertEquals(await browsing.text("#active"), "30");
  assertEquals(await browsing.text("#limit"), "of 600");
  assertEquals(await browsing.text("#received"), "2.44 KiB");
  assertEquals(await browsing.text("#sent"), "2.44 KiB");
  assertEquals(await browsing.text("#refused"), "0");
  assertMatch(await browsing.text("#ended"), /^completed500 · 100\.0 %$/);
  assertEquals(await browsing.text("#state"), "Runningaccepting");
  assertEquals(await browsing.text("#range"), "1–25 of 30");
  assertEquals(await browsing.look(`document.title`), "30 active – usher");
  assertEquals(await browsing.complaints(), []);
}, CHROMIUM);

netTest("the page shows at once that the server is paused, drains and has stopped", async () => {
  const held = new Holding();
  await using server = serve(LOOPBACK, held.handler);
  await using page = watch(server, { port: 0 });
  await using browsing = await Browsing.open(page.url);
  const state = (words: string) =>
    browsing.until(`document.getElementById("state").textContent === "${words}"`);
  await state("Runningaccepting");
  server.pause();
  await state("Runningpaused");
  server.resume();
  using client = await dial(server.addr);
  await until(() => held.served === 1);
  const stopped = server.shutdown();
  await state("Draining1 left");
  client.close();
  held.letGo();
  await stopped;
  await state("Stopped");
  assertEquals(await browsing.complaints(), []);
}, CHROMIUM);

netTest("the page shows hostile names and addresses as text", async () => {
  await using server = serve({ ...LOOPBACK, ...BEHIND }, async (conn) => {
    await conn.write(bytes`.`);
    await conn.readLine();
  });
  await using page = watch(server, { port: 0 });
  const authorities = [
    `<script>document.title = "owned"</script>`,
    `<img src=x onerror="document.title='owned'">`,
    `"><svg onload=alert(1)>\u0000\u001b[31m`,
  ];
  using clients = await connectMany(server.addr, authorities.length);
  for (const [i, authority] of authorities.entries()) {
    const source = { transport: "unix", path: `/<b>${i}</b>` } as const;
    const header = { version: 2, command: "PROXY", source, destination: source } as const;
    await clients.all[i]!.write(encodeProxyHeader({ ...header, tlvs: { authority } }));
    await readExactly(clients.all[i]!, 1);
  }
  await using browsing = await Browsing.open(page.url);
  await browsing.until(`document.querySelectorAll("#rows tr").length === 3`);
  assertEquals(
    (await browsing.look<string[]>(column("Name"))).toReversed(),
    [authorities[0], authorities[1], `"><svg onload=alert(1)>\\u0000\\u001b[31m`],
  );
  assertEquals((await browsing.look<string[]>(column("Client"))).toReversed(), [
    "unix:/<b>0</b>",
    "unix:/<b>1</b>",
    "unix:/<b>2</b>",
  ]);
  assertEquals(
    await browsing.look(`document.querySelectorAll("#rows :is(img,svg,b,script)").length`),
    0,
  );
  assertMatch(await browsing.look(`document.title`), / active – usher$/);
  assertEquals(await browsing.complaints(), []);
}, CHROMIUM);

netTest("the table can be sorted, filtered and paged by keyboard only", async () => {
  await using server = serve(LOOPBACK, (conn) => conn.readLine());
  using clients = await connectMany(server.addr, 60);
  for (const [i, client] of clients.all.entries()) await client.write(new Uint8Array(1 + i % 7));
  await until(() => server.stats().bytesRead === 234);
  await using page = watch(server, { port: 0 });
  await using browsing = await Browsing.open(page.url);
  await browsing.until(`${column("No.")}[0] === "60"`);

  await browsing.do("focus", "#heads th:nth-child(7) button");
  await browsing.do("press", "Enter");
  await browsing.until(`${column("Received")}[0] === "7 B"`);
  const sorted = `document.querySelector("#heads th:nth-child(7)").getAttribute("aria-sort")`;
  assertEquals(await browsing.look(sorted), "descending");
  await browsing.do("press", "Space");
  await browsing.until(`${column("Received")}[0] === "1 B"`);
  assertEquals(await browsing.look(sorted), "ascending");

  await browsing.do("focus", "#next");
  await browsing.do("press", "Enter");
  await browsing.until(`document.getElementById("range").textContent === "26–50 of 60"`);
  await browsing.do("press", "Enter");
  await browsing.until(`document.getElementById("range").textContent === "51–60 of 60"`);
  assertEquals(await browsing.look(`document.getElementById("next").disabled`), true);

  const { port } = clients.all[12]!.localAddr as Deno.NetAddr;
  await browsing.do("focus", "#filter");
  await browsing.do("type", `:${port}`);
  await browsing.until(
    `document.getElementById("range").textContent === "1–1 of 1 found, 60 in all"`,
  );
  assertEquals(await browsing.look(column("Client")), [`127.0.0.1:${port}`]);

  await browsing.do("select", "#filter-state", "writing");
  await browsing.until(`!document.getElementById("rows-none").hidden`);
  assertEquals(await browsing.complaints(), []);
}, CHROMIUM);

netTest("a connection is closed from the page with the token", async () => {
  await using server = serve(LOOPBACK, (conn) => conn.readLine());
  using client = await dial(server.addr);
  await until(() => server.stats().active === 1);
  await using page = watch(server, { port: 0, token: TOKEN });
  await using browsing = await Browsing.open(page.url);
  await browsing.do("click", "#rows button");
  assertEquals(await browsing.text("#ask-title"), "Close connection 1?");
  await browsing.do("type", "a wrong one, of course");
  await browsing.do("press", "Enter");
  await browsing.until(`document.getElementById("ask-answer").textContent !== ""`);
  assertStringIncludes(await browsing.text("#ask-answer"), "This is not the token");
  await browsing.do("fill", "#token", TOKEN);
  await browsing.do("press", "Enter");
  assertEquals(await client.read(new Uint8Array(1)), null);
  await browsing.until(`!document.getElementById("ask").open`);
  // The console says that the wrong one was refused.
  const [complaint = "", ...others] = await browsing.complaints();
  assertMatch(complaint, /401/);
  assertEquals(others, []);
}, CHROMIUM);

netTest("nothing can be changed from the page where no token was given", async () => {
  await using server = serve(LOOPBACK, (conn) => conn.readLine());
  using _client = await dial(server.addr);
  await until(() => server.stats().active === 1);
  await using page = watch(server, { port: 0 });
  await using browsing = await Browsing.open(page.url);
  await browsing.until(`document.querySelectorAll("#rows tr").length === 1`);
  assertEquals(await browsing.do<boolean>("isVisible", "#drain"), false);
  assertEquals(await browsing.do<boolean>("isVisible", "#rows button"), false);
}, CHROMIUM);

netTest("the page is still while it is paused", async () => {
  await using server = serve(LOOPBACK, (conn) => conn.readLine());
  await using page = watch(server, { port: 0 });
  await using browsing = await Browsing.open(page.url);
  await browsing.until(`document.getElementById("active").textContent === "0"`);
  await browsing.do("click", "#pause");
  using _client = await dial(server.addr);
  await until(() => server.stats().active === 1);
  const since = await browsing.look("performance.now()");
  await browsing.until(`performance.now() > ${since} + 2500`);
  assertEquals(await browsing.text("#active"), "0");
  await browsing.do("click", "#pause");
  await browsing.until(`document.getElementById("active").textContent === "1"`);
}, CHROMIUM);

for (const width of [320, 700, 1280]) {
  for (const colorScheme of ["light", "dark"] as const) {
    netTest(
      `the page fits into ${width} pixels in ${colorScheme}, and a screen reader reads it`,
      async () => {
        await using server = serve({ ...LOOPBACK, ...BEHIND }, async (conn) => {
          await conn.write(bytes`.`);
          await conn.readLine();
        });
        using clients = await connectMany(server.addr, 3);
        for (const client of clients.all) {
          const source = {
            transport: "tcp",
            hostname: "2001:db8:1234:5678:9abc:def0:1234:5678",
            port: 65_000,
          } as const;
          const tlvs = { authority: "a-very-long-name-".repeat(6) };
          await client.write(
            encodeProxyHeader({ version: 2, command: "PROXY", source, destination: source, tlvs }),
          );
          await readExactly(client, 1);
        }
        await using page = watch(server, { port: 0, token: TOKEN });
        await using browsing = await Browsing.open(page.url, {
          viewport: { width, height: 800 },
          colorScheme,
        });
        await browsing.until(`document.querySelectorAll("#rows tr").length === 3`);
        assertEquals(await browsing.look(`document.documentElement.scrollWidth`), width);
        const dark = colorScheme === "dark";
        const ground = await browsing.look<string>(
          `getComputedStyle(document.body).backgroundColor`,
        );
        const [red = 0] = /\d+/.exec(ground)!.map(Number);
        assert(dark ? red < 40 : red > 200, ground);
        const read = await browsing.do<string>("read");
        for (
          const part of [
            'heading "usher" [level=1]',
            "status: Running accepting",
            'img "Active connections: now ',
            'heading "Why connections ended" [level=2]',
            'searchbox "Filter by client, peer, label, listener or name"',
            'table "Connections; the buttons in the first row sort them"',
            'columnheader "Client"',
            'button "Close connection 1…"',
            'navigation "Pages of the table"',
          ]
        ) assertStringIncludes(read, part);
      },
      CHROMIUM,
    );
  }
}
