/** Is a family written as Prometheus reads it? Whether promtool agrees: metrics_text_test.ts. @module */

import { assertEquals } from "@std/assert";
import fc from "fast-check";
import { Family } from "../../lib/watch/exposition.ts";

Deno.test("Family writes names and units as the conventions of both sides have them", () => {
  const written = (name: string, type: "counter" | "gauge", unit: string) => {
    const family = new Family(name, type, unit, "Help");
    family.add([[1]], {});
    return String(family).split("\n")[2];
  };
  assertEquals(written("usher.a.b", "gauge", "{connection}"), "usher_a_b 1");
  assertEquals(written("usher.a.b", "counter", "{connection}"), "usher_a_b_total 1");
  assertEquals(written("usher.network.io", "counter", "By"), "usher_network_io_bytes_total 1");
  assertEquals(written("usher.wait", "gauge", "s"), "usher_wait_seconds 1");
});

Deno.test("Family writes help and type once, and every sample", () => {
  const family = new Family("usher.x", "counter", "{x}", "What it is");
  family.add([[1, { "usher.x.cause": "one" }], [2.5, { "usher.x.cause": "two" }]], { server: "a" });
  assertEquals(
    String(family),
    `# HELP usher_x_total What it is
# TYPE usher_x_total counter
usher_x_total{server="a",cause="one"} 1
usher_x_total{server="a",cause="two"} 2.5
`,
  );
});

Deno.test("Family writes nothing when it has no sample", () => {
  assertEquals(String(new Family("usher.x", "gauge", "s", "Help")), "");
});

Deno.test("Family writes Infinity as Prometheus does", () => {
  const family = new Family("usher.x", "gauge", "", "Help");
  family.add([[Infinity]], {});
  assertEquals(String(family).split("\n")[2], "usher_x +Inf");
});

Deno.test("addHistogram() sums up from below, and ends with everything", () => {
  const family = new Family("usher.d", "histogram", "s", "Help");
  family.addHistogram([0.1, 1], [3, 0, 2], 7.5, {});
  assertEquals(String(family).split("\n").slice(2, -1), [
    'usher_d_seconds_bucket{le="0.1"} 3',
    'usher_d_seconds_bucket{le="1"} 3',
    'usher_d_seconds_bucket{le="+Inf"} 5',
    "usher_d_seconds_sum 7.5",
    "usher_d_seconds_count 5",
  ]);
});

Deno.test("Family writes any label on one line, and so that it can be read back", () => {
  const unescape: Record<string, string> = { "\\\\": "\\", '\\"': '"', "\\n": "\n" };
  fc.assert(fc.property(fc.string({ unit: "binary" }), (server) => {
    const family = new Family("usher.x", "gauge", "", "Help");
    family.add([[1]], { server });
    const [, , line, ...rest] = String(family).split("\n");
    assertEquals(rest, [""]);
    const [, value = ""] = /^usher_x\{server="((?:[^"\\]|\\.)*)"\} 1$/su.exec(line!) ?? ["", "?"];
    assertEquals(value.replaceAll(/\\./g, (pair) => unescape[pair]!), server);
  }));
});
