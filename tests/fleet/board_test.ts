import { assert, assertEquals } from "@std/assert";
import { Board } from "../../lib/fleet/board.ts";

Deno.test("nextId() of two boards on one memory gives no id twice", () => {
  const one = Board.ofRows(2);
  const other = new Board(one.buffer);
  assertEquals([one.nextId(), other.nextId(), one.nextId()], [1, 2, 3]);
});

Deno.test("a row shows its stage, its beats, what it waits for and its connections to all", () => {
  const one = Board.ofRows(3);
  const other = new Board(one.buffer);
  one.setStage(2, "serving");
  one.live(2, "rate");
  one.add(2, 1);
  one.add(2, 1);
  one.add(2, -1);
  assertEquals(
    [other.rows, other.stage(2), other.beat(2), other.wait(2), other.active(2)],
    [3, "serving", 1, "rate", 1],
  );
  one.live(2, null);
  assertEquals([other.beat(2), other.wait(2)], [2, null]);
});

Deno.test("least is of workers that serve; late, starting and draining ones are left out", () => {
  const board = Board.ofRows(4);
  assertEquals(board.least, Infinity);
  for (const [row, stage] of (["serving", "late", "starting", "draining"] as const).entries()) {
    board.setStage(row, stage);
  }
  for (let i = 0; i < 5; i++) board.add(0, 1);
  assertEquals(board.least, 5);
});

Deno.test("clear() leaves nothing of a row, and the others as they are", () => {
  const board = Board.ofRows(2);
  for (const row of [0, 1]) {
    board.setStage(row, "serving");
    board.live(row, "slot");
    board.add(row, 1);
  }
  board.clear(0);
  assertEquals([board.stage(0), board.beat(0), board.wait(0), board.active(0)], [
    "none",
    0,
    null,
    0,
  ]);
  assertEquals([board.stage(1), board.active(1)], ["serving", 1]);
  assert(board.nextId() === 1);
});
