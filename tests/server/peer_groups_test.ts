/** Groups of members by peer, against a plain model of them. @module */

import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { PeerGroups } from "../../lib/server/peer_groups.ts";

Deno.test("oldestOfLargest() is the first member of the peer with most", () => {
  const groups = new PeerGroups<number>();
  assertEquals(groups.oldestOfLargest(), undefined);
  groups.add("a", 1);
  groups.add("b", 2);
  groups.add("b", 3);
  assertEquals([groups.oldestOfLargest(), groups.sizeOf("a"), groups.sizeOf("b")], [2, 1, 2]);
  groups.delete("b", 2);
  assertEquals(groups.oldestOfLargest(), 1); // it was the only one of its peer for longer
  groups.delete("a", 1);
  groups.delete("a", 1);
  assertEquals([groups.oldestOfLargest(), groups.sizeOf("a")], [3, 0]);
});

Deno.test("oldestOfLargest() is right after any additions and removals", () => {
  const steps = fc.array(
    fc.record({
      key: fc.constantFrom("a", "b", "c", "d"),
      removes: fc.boolean(),
      which: fc.nat(5),
    }),
    { maxLength: 80 },
  );
  fc.assert(fc.property(steps, (steps) => {
    const groups = new PeerGroups<number>();
    const model = new Map<string, number[]>();
    for (const [i, { key, removes, which }] of steps.entries()) {
      const members = model.get(key) ?? [];
      model.set(key, members);
      if (removes) { for (const member of members.splice(which, 1)) groups.delete(key, member); }
      else {
        members.push(i);
        groups.add(key, i);
      }
      const most = Math.max(...[...model.values()].map(({ length }) => length));
      const oldest = [...model.values()].filter(({ length }) => length === most).map(([one]) =>
        one
      );
      const found = groups.oldestOfLargest();
      assert(most === 0 ? found === undefined : oldest.includes(found));
      for (const [key, { length }] of model) assertEquals(groups.sizeOf(key), length);
    }
  }));
});
