/** A set of connections is a `Set`, whatever comes and goes meanwhile. @module */

import { assert, assertEquals, assertFalse, assertStrictEquals } from "@std/assert";
import { ConnectionSet } from "../../lib/server/connection_set.ts";
import type { ServedConnection } from "../../lib/server/served_connection.ts";
import { byChance } from "../support/chance.ts";

/** Distinguished by identity and id, as accepted one after the other. */
function newcomers(): () => ServedConnection {
  let id = 0;
  return () => ({ id: ++id, place: -1 }) as ServedConnection;
}

function filled(count: number): { set: ConnectionSet; all: ServedConnection[] } {
  const set = new ConnectionSet();
  const all = Array.from({ length: count }, newcomers());
  all.forEach((conn) => set.add(conn));
  return { set, all };
}

Deno.test("a set of connections has what a Set has, in the same order", () =>
  byChance((chance) => {
    const comes = newcomers();
    const set = new ConnectionSet();
    const model = new Set<ServedConnection>();
    const gone: ServedConnection[] = [];
    for (let i = 0; i < 500; i++) {
      if (chance.onceIn(2)) {
        const conn = comes();
        set.add(conn);
        set.add(conn);
        model.add(conn);
      } else if (model.size > 0) {
        const conn = chance.pick([...model]);
        gone.push(conn);
        assertEquals([set.delete(conn), set.delete(conn)], [model.delete(conn), false]);
      }
      assertEquals([...set].map(({ id }) => id), [...model].map(({ id }) => id));
      assertEquals(set.size, model.size);
    }
    assert([...model].every((conn) => set.has(conn)));
    assertFalse(gone.some((conn) => set.has(conn)));
  }));

for (const way of ["values()", "forEach()"] as const) {
  Deno.test(`${way} visits what a Set visits when others come and go meanwhile`, () =>
    byChance((chance) => {
      const comes = newcomers();
      const sets = [new ConnectionSet(), new Set<ServedConnection>()] as const;
      const first = Array.from({ length: 100 }, comes);
      for (const conn of first) for (const set of sets) set.add(conn);
      const steps = Array.from({ length: 1000 }, () => chance.from(0, 3));
      const later = Array.from({ length: 200 }, comes);
      const visited = sets.map((set) => {
        const seen: number[] = [];
        const rest = [...first];
        const coming = [...later];
        const visit = (conn: ServedConnection) => {
          seen.push(conn.id);
          for (let i = 0; i < 3; i++) {
            const step = steps[(3 * seen.length + i) % steps.length]!;
            if (step === 0 && coming.length > 0) {
              const next = coming.shift()!;
              rest.push(next);
              set.add(next);
            } else if (step > 1 && rest.length > 0) {
              const [left] = rest.splice((7 * seen.length) % rest.length, 1);
              set.delete(left!);
            }
          }
        };
        if (way === "values()") { for (const conn of set.values()) visit(conn); }
        else set.forEach(visit);
        return seen;
      });
      assertEquals(visited[0], visited[1]);
    }));
}

Deno.test("a set of connections keeps no place for what has left", () => {
  const set = new ConnectionSet();
  const comes = newcomers();
  let highest = 0;
  for (let i = 0; i < 1000; i++) {
    const conn = comes();
    set.add(conn);
    highest = Math.max(highest, conn.place);
    set.delete(conn);
  }
  assert(highest < 100, `place ${highest}`);
});

Deno.test("a set of connections answers all that a ReadonlySet can be asked", () => {
  const { set, all: [one, two] } = filled(2);
  const three = { id: 3, place: -1 } as ServedConnection;
  const other = new Set([two!, three]);
  assertEquals([...set.keys()], [one!, two!]);
  assertEquals([...set.entries()], [[one!, one!], [two!, two!]]);
  set.forEach(function (this: unknown, value, key, whole) {
    assertStrictEquals(value, key);
    assertStrictEquals(whole, set);
    assertEquals(this, "this");
  }, "this");
  assertEquals(set.union(other), new Set([one!, two!, three]));
  assertEquals(set.intersection(other), new Set([two!]));
  assertEquals(set.difference(other), new Set([one!]));
  assertEquals(set.symmetricDifference(other), new Set([one!, three]));
  assertEquals(
    [set.isSubsetOf(other), set.isSupersetOf(new Set([one])), set.isDisjointFrom(new Set([three]))],
    [false, true, true],
  );
});
