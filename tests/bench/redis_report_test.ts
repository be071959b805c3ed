/** The output of redis-benchmark is parsed, and everything else rejected. @module */

import { assertEquals, assertThrows } from "@std/assert";
import { readReport } from "./redis_report.ts";

const HEADS = '"test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms",' +
  '"p99_latency_ms","max_latency_ms"';
const FIGURES = '"GET","50000.00","0.481","0.144","0.495","0.631","0.751","2.223"';

Deno.test("readReport() takes the rate as time for the commands, and latencies in µs", () => {
  const report = readReport([HEADS, FIGURES], { test: "get", requests: 100_000 });
  assertEquals(report, { requests: 100_000, seconds: 2, p50: 495, p99: 751 });
});

Deno.test("readReport() finds each figure under its head, whatever the order", () => {
  const turned = ['"rps","test"', '"50000.00","GET"'];
  assertEquals(readReport(turned, { test: "get", requests: 25_000 }).seconds, 0.5);
});

Deno.test("readReport() rejects another test, no rate, and words that are no figures", () => {
  const other = { test: "set", requests: 1 };
  assertThrows(() => readReport([HEADS, FIGURES], other), Error, "GET");
  const get = { test: "get", requests: 1 };
  assertThrows(() => readReport([HEADS, '"GET","0"'], get), Error, "said");
  assertThrows(() => readReport(["WARNING: no", "reply"], get), Error, "WARNING");
  assertThrows(() => readReport([], get), Error, "redis-benchmark said");
});
