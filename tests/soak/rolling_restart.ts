/**
 * Counts the requests that fail while two servers behind HAProxy are restarted in turn. Prints a
 * table; `--seconds N` says for how long each row goes on (60).
 *
 * @module
 */

import { parseArgs } from "node:util";
import { roll, type RollingOptions } from "./rolling_run.ts";

/** Ms in which HAProxy has noticed; it checks every 50 ms. */
const LAME_DUCK = 500;

const { values } = parseArgs({
  args: Deno.args,
  options: { seconds: { type: "string", default: "60" } },
});
const seconds = Number(values.seconds);
if (!(seconds > 0)) {
  throw new RangeError(`Cannot roll with --seconds of ${values.seconds}: use a number above 0`);
}

const rows: RollingOptions[] = [
  { whose: "usher", seconds, lameDuck: LAME_DUCK },
  { whose: "usher", seconds, lameDuck: 0 },
  { whose: "plain", seconds, lameDuck: 0 },
];
let failures = 0;
for (const row of rows) {
  const { requests, perSecond, failed, errors, restarts } = await roll(row);
  if (row.lameDuck > 0) failures += failed;
  print(
    `${
      row.whose.padEnd(6)
    } lame duck ${row.lameDuck} ms: ${failed} of ${requests} requests failed ` +
      `${JSON.stringify(errors)}; ${perSecond.toFixed(0)} per second, ${restarts} restarts`,
  );
}
Deno.exit(failures === 0 ? 0 : 1);

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
