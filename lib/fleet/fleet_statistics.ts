/** Counts what happens in one worker, where the whole fleet sees it. @module */

import type { EndReason } from "../connection/end_reason.ts";
import type { ServedConnection } from "../server/served_connection.ts";
import { Statistics } from "../server/statistics.ts";
import type { Board } from "./board.ts";
import type { SharedStats } from "./shared_stats.ts";
import type { Spread } from "./spread.ts";

/** The counters of a worker. Its connections have ids that are unique in the fleet. */
export class FleetStatistics extends Statistics {
  readonly #board: Board;
  readonly #shared: SharedStats;
  readonly #row: number;
  /** What has the worker's accept loops wait for their turn, once there are any. */
  spread: Spread | undefined;

  constructor(board: Board, shared: SharedStats, row: number) {
    super();
    this.#board = board;
    this.#shared = shared;
    this.#row = row;
  }

  override enter(): number {
    super.enter();
    this.#shared.entered(this.#row);
    this.#board.add(this.#row, 1);
    return this.#board.nextId();
  }

  override end(reason: EndReason, conn: ServedConnection): void {
    super.end(reason, conn);
    this.#shared.ended(this.#row, reason);
    this.#board.add(this.#row, -1);
    this.spread?.left();
  }
}
