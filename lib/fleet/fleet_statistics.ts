/** Counts what happens in one worker, where the whole fleet sees it. @module */

import type { EndReason } from "../connection/end_reason.ts";
import type { ServedConnection } from "../server/served_connection.ts";
import { Statistics } from "../server/statistics.ts";
import type { Board } from "./board.ts";

/** The counters of a worker. Its connections have ids that are unique in the fleet. */
export class FleetStatistics extends Statistics {
  readonly #board: Board;
  readonly #row: number;

  constructor(board: Board, row: number) {
    super();
    this.#board = board;
    this.#row = row;
  }

  override enter(): number {
    super.enter();
    this.#board.add(this.#row, 1);
    return this.#board.nextId();
  }

  override end(reason: EndReason, conn: ServedConnection): void {
    super.end(reason, conn);
    this.#board.add(this.#row, -1);
  }
}
