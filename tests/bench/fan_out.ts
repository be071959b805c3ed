/** Puts a fan-out on an MQTT broker, from a separate process. @module */

import { Child } from "./children.ts";
import type { LoadReport, LoadSettings } from "./load_process.ts";

export interface FanOutPlan {
  readonly kind: "fan_out";
  /** Subscribers. */
  readonly connections: number;
  /** Messages that each of them gets per second of the requested time. */
  readonly messages: number;
}

/** Milliseconds after which the load counts as stuck. */
const LIMIT = 60_000;

export async function fanOut(
  port: number,
  { connections, messages }: FanOutPlan,
  { seconds, core, atRest }: LoadSettings,
): Promise<LoadReport> {
  const program = [Deno.execPath(), "run", "--no-config", "-A", "mqtt_load.ts"];
  const count = Math.max(20, 20 * Math.round(messages * seconds / 20));
  const args = [port, connections, count, count >> 2].map(String);
  await using load = new Child([...program, ...args], core);
  JSON.parse(await load.line(LIMIT));
  await atRest("warm");
  await load.tell("go on");
  const report: LoadReport = JSON.parse(await load.line(LIMIT));
  await atRest("end");
  return report;
}
