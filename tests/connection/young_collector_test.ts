import { assert, assertEquals } from "@std/assert";
import { type Collections, YoungCollector } from "../../lib/connection/young_collector.ts";

/** Bytes that V8 counts for buffers. */
const external = () => Deno.memoryUsage().external;

/** Returns the given answers in turn, and the last one from then on. */
class Scripted implements Collections {
  asked = 0;
  readonly #answers: (readonly string[] | undefined)[];

  constructor(...answers: (readonly string[] | undefined)[]) {
    this.#answers = answers;
  }

  during(): readonly string[] | undefined {
    this.asked++;
    return this.#answers.length > 1 ? this.#answers.shift() : this.#answers[0];
  }
}

/** How often V8 was asked in so many calls of `collect()`. */
function asked(collector: YoungCollector, collections: Scripted, calls: number): number {
  const before = collections.asked;
  for (let i = 0; i < calls; i++) collector.collect();
  return collections.asked - before;
}

const YOUNG = ["Scavenge"];
const MARKING = ["IncrementalMarking", "Scavenge"];

Deno.test("young objects are collected at each call as long as that is all that it causes", () => {
  const collections = new Scripted(YOUNG);
  assertEquals(asked(new YoungCollector(collections), collections, 100), 100);
});

Deno.test("where V8 begins to mark, its limit is raised, and young objects are left alone meanwhile", () => {
  const collections = new Scripted(MARKING, YOUNG);
  const collector = new YoungCollector(collections);
  const before = external();
  assertEquals(asked(collector, collections, 4), 1);
  assert(external() - before >= 2 ** 28);
  assertEquals(asked(collector, collections, 1), 1);
  assert(external() - before < 2 ** 28);
  assertEquals(asked(collector, collections, 100), 100);
});

Deno.test("where V8 marks already and collects nothing else, it is left alone meanwhile", () => {
  const collections = new Scripted([], YOUNG);
  const collector = new YoungCollector(collections);
  assertEquals(asked(collector, collections, 4), 1);
  assertEquals(asked(collector, collections, 100), 100);
});

Deno.test("where V8 marks again at once, young objects are left alone for longer, up to a bound", () => {
  const collections = new Scripted(MARKING, ...Array(12).fill([YOUNG, MARKING]).flat());
  const collector = new YoungCollector(collections);
  assertEquals(asked(collector, collections, 1), 1);
  for (const calls of [4, 8, 16, 32, 64, 128, 256, 512, 512]) {
    assertEquals(asked(collector, collections, calls - 1), 0);
    assertEquals(asked(collector, collections, 2), 2);
  }
});

Deno.test("where V8 marks again after a while, young objects are left alone as at first", () => {
  const collections = new Scripted(MARKING, MARKING, YOUNG, YOUNG, MARKING, YOUNG);
  const collector = new YoungCollector(collections);
  assertEquals(asked(collector, collections, 1 + 4 + 8), 3);
  assertEquals(asked(collector, collections, 2), 2);
  assertEquals(asked(collector, collections, 4), 1);
});

Deno.test("no collection is tried after eight failures in a row, or where their effect cannot be known", () => {
  for (const answer of [[], MARKING]) {
    const failing = new Scripted(answer);
    const collector = new YoungCollector(failing);
    assertEquals(asked(collector, failing, 10_000), 8);
  }
  const unknown = new Scripted(YOUNG, undefined);
  assertEquals(asked(new YoungCollector(unknown), unknown, 100), 2);
});
