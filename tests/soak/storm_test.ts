/**
 * No client that has connected is lost when a server stops. `tests/soak/storm.ts` storms for
 * longer.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { byChance } from "../support/chance.ts";
import { netTest } from "../support/needs.ts";
import type { RouteKind } from "./routes.ts";
import { storm } from "./storm_run.ts";

/** Enough to lose some at nearly every stop that does not empty the kernel's queue. */
const CLIENTS = 200;

const ROUTES: Record<string, { kind: RouteKind; storms: number }> = {
  "of TCP": { kind: "tcp", storms: 5 },
  "behind a proxy": { kind: "proxy", storms: 5 },
  "inside TLS": { kind: "tls", storms: 2 },
};

for (const [whose, { kind, storms }] of Object.entries(ROUTES)) {
  netTest(
    `a stop in the midst of a storm loses no client ${whose}`,
    () =>
      byChance(async (chance) => {
        const stormed = await storm("usher", kind, storms, CLIENTS, chance);
        const { lost, errors, answered, ended, refused, forced } = stormed;
        assertEquals({ lost, errors, forced }, { lost: 0, errors: {}, forced: 0 });
        assertEquals(answered + ended + refused, storms * CLIENTS);
        assert(answered > 0);
      }),
  );
}

netTest(
  "a plain loop that closes its listener in the midst of a storm loses clients",
  () =>
    byChance(async (chance) => {
      const { lost } = await storm("plain", "tcp", 5, CLIENTS, chance);
      assert(lost > 0, "this storm proves nothing");
    }),
);
