import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Board } from "../../lib/fleet/board.ts";
import { Spread } from "../../lib/fleet/spread.ts";
import { turn } from "../support/wait.ts";

/** Two workers that serve, with so many connections. */
function boardOf(own: number, other: number): Board {
  const board = Board.ofRows(2);
  for (const [row, connections] of [own, other].entries()) {
    board.setStage(row, "serving");
    for (let i = 0; i < connections; i++) board.add(row, 1);
  }
  return board;
}

Deno.test("turn() is now while the worker is ahead by one at most", () => {
  for (const own of [0, 3, 4]) {
    assertEquals(new Spread(boardOf(own, 3), 0).turn(), undefined);
  }
});

Deno.test("turn() of a worker that is ahead waits until the others have caught up", async () => {
  using time = new FakeTime();
  const board = boardOf(5, 3);
  let came = false;
  const turn = new Spread(board, 0).turn()!.then(() => came = true);
  await time.tickAsync(5);
  assertEquals(came, false);
  board.add(1, 1);
  await time.tickAsync(1);
  await turn;
});

Deno.test("turn() does not wait for a worker that hangs", () => {
  const board = boardOf(5, 0);
  board.setStage(1, "late");
  assertEquals(new Spread(board, 0).turn(), undefined);
});

Deno.test("turn() waits 20 ms at most", async () => {
  // Its clock is the real one, which no fake time reaches.
  const since = performance.now();
  await new Spread(boardOf(50, 0), 0).turn();
  const waited = performance.now() - since;
  assertEquals(waited >= 19, true);
});

Deno.test("turn() is over when a connection leaves and the worker is ahead no more", async () => {
  using _time = new FakeTime(); // no timer fires
  const board = boardOf(6, 3);
  const spread = new Spread(board, 0);
  let came = 0;
  const turns = [1, 2].map(() => spread.turn()!.then(() => came++)); // of two listeners
  board.add(0, -1);
  spread.left();
  await turn();
  assertEquals(came, 0);
  board.add(0, -1);
  spread.left();
  await Promise.all(turns);
  spread.left(); // nothing waits
});
