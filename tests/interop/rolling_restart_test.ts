/**
 * No request fails while servers behind HAProxy are restarted. A short form of the program.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { roll } from "../soak/rolling_run.ts";
import { netTest } from "../support/needs.ts";

const needs = { programs: ["haproxy"], os: ["linux" as const] };

/** Some restarts of each server. */
const SECONDS = 5;

netTest("no request fails while two servers behind HAProxy are restarted in turn", async () => {
  const { requests, failed, errors, restarts } = await roll({
    whose: "usher",
    seconds: SECONDS,
    lameDuck: 500,
  });
  assertEquals({ failed, errors }, { failed: 0, errors: {} });
  assert(requests > SECONDS * 200, `${requests} requests`);
  assert(restarts >= 2, `${restarts} restarts`);
}, needs);

netTest("requests do fail where servers close at once and HAProxy has to find out", async () => {
  const { failed } = await roll({ whose: "plain", seconds: SECONDS, lameDuck: 0 });
  assert(failed > 0, "this balancer proves nothing");
}, needs);
