/** Everything adds up after some seconds of a soak. `deno task soak` takes longer. @module */

import { assert, assertEquals } from "@std/assert";
import { byChance } from "../support/chance.ts";
import { netTest } from "../support/needs.ts";
import { soak } from "./run.ts";

const SECONDS = 6;

netTest(
  `a server endures ${SECONDS} seconds of every kind of client and handler`,
  () =>
    byChance(async (chance) => {
      const { figures, ended, wrong, verdict } = await soak(SECONDS, chance.seed);
      assertEquals(wrong, []);
      assertEquals(verdict.filter(({ met }) => met === false), []);
      const { servers = 0, accepted = 0, "echoed whole": echoed = 0 } = figures;
      assert(servers > 0 && accepted > 0 && echoed > 0, JSON.stringify(figures));
      assert(Object.keys(ended).length >= 5, JSON.stringify(ended));
    }),
  { os: ["linux"] },
);
