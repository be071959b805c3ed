/** The example shows its connections on the status page. @module */

import { assertEquals, assertStringIncludes } from "@std/assert";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { readExactly } from "../support/peers.ts";
import { Program } from "../support/program.ts";

const example = new URL("../../examples/watched.ts", import.meta.url);
const TOKEN = "0123456789abcdef";

netTest(
  "examples/watched.ts shows its connections, and closes one with the token",
  async () => {
    await using running = new Program(example, {
      how: ["run", "--quiet", "--allow-net"],
      args: ["--port", "0", "--page", "0", "--token", TOKEN],
    });
    const port = Number(/:(\d+)$/.exec(await running.line())?.[1]);
    const url = /http:\S+/.exec(await running.line())?.[0];
    using client = await Deno.connect({ port });
    await client.write(bytes`hello`);
    await readExactly(client, 5);
    const listed = await (await fetch(`${url}connections`)).json();
    assertEquals(
      [listed.total, listed.connections[0].received, listed.connections[0].sent],
      [1, 5, 5],
    );
    assertStringIncludes(
      await (await fetch(`${url}metrics`)).text(),
      "\nusher_connections_active 1\n",
    );
    const closed = await fetch(`${url}connections/1/close`, {
      method: "POST",
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    assertEquals(await closed.text(), "closed\n");
    assertEquals(await client.read(new Uint8Array(1)), null);
    running.kill("SIGTERM");
    assertEquals((await running.status).code, 0);
  },
  { os: ["linux", "darwin"] },
);
