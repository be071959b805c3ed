/** What was counted? @module */

import { END_REASONS, type EndReason } from "../connection/end_reason.ts";
import type { SocketConnection } from "../connection/connection.ts";

/**
 * What a server has done so far. At any moment `accepted` is `active` plus the sum over `ended`.
 *
 * @example Nobody is forgotten
 * ```ts
 * import { serve, type ServerStats } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * await using server = serve({ port: 0, hostname: "127.0.0.1" }, async (conn) => {
 *   await conn.write(new TextEncoder().encode("hello"));
 * });
 * const client = await Deno.connect({ port: server.addr.port });
 * await new Response(client.readable).text();
 *
 * const { accepted, active, ended }: ServerStats = server.stats();
 * const over = Object.values(ended).reduce((sum, count) => sum + count);
 * assertEquals(accepted, active + over);
 * ```
 */
export interface ServerStats {
  /** Connections taken from the listeners. */
  readonly accepted: number;
  /** Connections that are not over, those that wait for a slot included. */
  readonly active: number;
  /** Connections refused, by cause. */
  readonly refused: {
    /** Every slot was taken. */
    readonly full: number;
  };
  /** Connections that are over, by reason; each reason is always there. */
  readonly ended: Readonly<Record<EndReason, number>>;
  /** Failures of accepting. */
  readonly acceptFailures: {
    /** The client had gone before it was accepted. */
    readonly lost: number;
    /** No descriptor or memory, or an unknown failure; tried again later. */
    readonly starved: number;
  };
  /** Bytes received, running connections included. */
  readonly bytesRead: number;
  /** Bytes handed to the kernel, running connections included. */
  readonly bytesWritten: number;
  /** Ms for which accepting stood still because every slot was taken. */
  readonly fullFor: number;
}

/** The counters behind `stats()`. */
export class Statistics {
  accepted = 0;
  lost = 0;
  starved = 0;
  bytesRead = 0;
  bytesWritten = 0;
  readonly ended: Record<EndReason, number> = Object.fromEntries(
    END_REASONS.map((reason) => [reason, 0]),
  ) as Record<EndReason, number>;

  /** Counts a connection that is over. */
  end(reason: EndReason, conn: SocketConnection): void {
    this.ended[reason]++;
    this.bytesRead += conn.bytesRead;
    this.bytesWritten += conn.bytesWritten;
  }

  snapshot(live: ReadonlySet<SocketConnection>, fullFor: number): ServerStats {
    let { bytesRead, bytesWritten } = this;
    for (const conn of live) {
      bytesRead += conn.bytesRead;
      bytesWritten += conn.bytesWritten;
    }
    return {
      accepted: this.accepted,
      active: live.size,
      refused: { full: this.ended.refused_full },
      ended: { ...this.ended },
      acceptFailures: { lost: this.lost, starved: this.starved },
      bytesRead,
      bytesWritten,
      fullFor,
    };
  }
}
