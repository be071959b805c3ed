import { assertEquals, assertThrows } from "@std/assert";
import { locateProgram } from "../../lib/fleet/program.ts";
import { treeTest } from "../support/needs.ts";

treeTest(
  "locateProgram() takes a URL, a text of one, and a path from the current directory",
  () => {
    const url = new URL(import.meta.url);
    assertEquals(locateProgram(url).href, url.href);
    assertEquals(locateProgram(url.href).href, url.href);
    assertEquals(locateProgram(decodeURIComponent(url.pathname)).href, url.href);
  },
);

Deno.test("locateProgram() takes a module from elsewhere, which needs no permission to read", () => {
  assertEquals(locateProgram("https://example.org/a.ts").href, "https://example.org/a.ts");
});

for (const wrong of [undefined, "", 5, {}]) {
  Deno.test(`locateProgram() refuses ${JSON.stringify(wrong)}`, () => {
    assertThrows(
      () => locateProgram(wrong),
      TypeError,
      'use the URL or path of a module, such as new URL("./server.ts", import.meta.url)',
    );
  });
}

Deno.test({
  name: "locateProgram() names the flag without which a worker cannot read its program",
  permissions: { read: false },
  fn() {
    assertThrows(
      () => locateProgram(new URL("file:///srv/server.ts")),
      Deno.errors.NotCapable,
      "run again with --allow-read",
    );
  },
});
