/** Parses the output of redis-benchmark. @module */

import type { LoadReport } from "./load_process.ts";

/** Its two lines, the heads and the figures; throws when they are anything else. */
export function readReport(
  lines: readonly string[],
  { test, requests }: { test: string; requests: number },
): Omit<LoadReport, "busy"> {
  const [heads = [], words = []] = lines.map((line) =>
    line.split(",").map((word) => word.replaceAll('"', "").toLowerCase())
  );
  const figure = (name: string) => Number(words[heads.indexOf(name)]);
  const rate = figure("rps");
  if (words[heads.indexOf("test")] !== test || !(rate > 0)) {
    throw new Error(`redis-benchmark said: ${lines.join(" | ")}`);
  }
  const micros = (name: string) => figure(name) * 1000;
  return {
    requests,
    seconds: requests / rate,
    p50: micros("p50_latency_ms"),
    p99: micros("p99_latency_ms"),
  };
}
