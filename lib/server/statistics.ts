/** Counts what happens in a server. @module */

import { END_REASONS, type EndReason } from "../connection/end_reason.ts";
import type { ServedConnection } from "./served_connection.ts";

/**
 * What a server has done so far. At any moment `accepted` is `active` plus the sum over `ended`.
 *
 * @example No connection is forgotten
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
 *
 * @category Errors and records
 */
export interface ServerStats {
  /** Connections taken from the listeners. */
  readonly accepted: number;
  /** Connections that are not over, those that wait for a slot included. */
  readonly active: number;
  /** Of those, the ones in their PROXY header or TLS handshake. */
  readonly handshaking: number;
  /** Connections refused, by cause. */
  readonly refused: Readonly<Record<RefusalCause, number>>;
  /** Connections that are over, by reason; each reason is always there. */
  readonly ended: Readonly<Record<EndReason, number>>;
  /**
   * Of the `dismissed`, how many by what `end()` or `close()` was given: the first 32 texts, and all
   * others as `other`.
   */
  readonly dismissed: Readonly<Record<string, number>>;
  /** Failures of accepting. */
  readonly acceptFailures: {
    /** The client was gone before it was accepted. */
    readonly aborted: number;
    /** Descriptors or memory were short, or the listener failed without end; tried again later. */
    readonly resources: number;
  };
  /** Bytes received, running connections included. */
  readonly bytesRead: number;
  /** Bytes handed to the kernel, running connections included. */
  readonly bytesWritten: number;
  /** Ms for which accepting stood still because every slot was taken. */
  readonly saturatedFor: number;
  /** Bytes of memory that buffers occupy now, as `maxBuffered` counts them. */
  readonly buffered: number;
  /** How long the connections lasted that are over. */
  readonly durations: {
    /** Ms in all. */
    readonly sum: number;
    /** Upper ends in ms, the shortest first. */
    readonly bounds: readonly number[];
    /** How many lasted up to each of `bounds` and longer than the one before; the last, longer. */
    readonly counts: readonly number[];
  };
}

/**
 * Why a connection was refused: every slot was taken, its peer had `maxConnectionsPerPeer`, the rules
 * about addresses forbid it, it was the oldest of `maxHandshaking`, its peer exceeded
 * `maxRatePerPeer`, or `admit` did not let it in.
 *
 * @example In words
 * ```ts
 * import type { RefusalCause } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const words: Record<RefusalCause, string> = {
 *   full: "come back later",
 *   peerLimit: "you are here too many times",
 *   address: "you are not on the list",
 *   handshaking: "others were faster",
 *   rate: "you come too often",
 *   admit: "you are not welcome",
 * };
 * assertEquals(words.full, "come back later");
 * ```
 *
 * @category Errors and records
 */
export type RefusalCause = "full" | "peerLimit" | "address" | "handshaking" | "rate" | "admit";

/** The cause in each end reason that is a refusal. */
const CAUSES = {
  refused_full: "full",
  refused_peer_limit: "peerLimit",
  refused_address: "address",
  refused_handshaking: "handshaking",
  refused_rate: "rate",
  refused_admit: "admit",
} as const satisfies Partial<Record<EndReason, RefusalCause>>;

/** The cause, if a reason is a refusal. */
export function refusalCause(reason: EndReason): RefusalCause | undefined {
  return (CAUSES as Partial<Record<EndReason, RefusalCause>>)[reason];
}

/**
 * Where the classes of durations end, in ms: what OpenTelemetry recommends for the connections of
 * Kestrel, the one server of this kind that it has conventions for.
 */
export const DURATION_BOUNDS: readonly number[] = Object.freeze(
  [10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 10e3, 30e3, 60e3, 120e3, 300e3],
);

/** Texts of `end()` and `close()` that are counted one by one; a program may make them up at run time. */
const MOST_DETAILS = 32;

/** What stands for the others. */
const OTHER = "other";

/** The counters behind `stats()`. */
export class Statistics {
  accepted = 0;
  aborted = 0;
  resources = 0;
  bytesRead = 0;
  bytesWritten = 0;
  readonly ended: Record<EndReason, number> = Object.fromEntries(
    END_REASONS.map((reason) => [reason, 0]),
  ) as Record<EndReason, number>;
  readonly #dismissed = new Map<string, number>();
  #lasted = 0;
  readonly #durations: number[] = DURATION_BOUNDS.map(() => 0).concat(0);

  /** Counts a connection that was accepted. What it returns is its id. */
  enter(): number {
    return ++this.accepted;
  }

  /** Counts a connection that is over. */
  end(reason: EndReason, conn: ServedConnection): void {
    this.ended[reason]++;
    if (reason === "dismissed") this.#dismiss(conn.life.detail ?? OTHER);
    const { duration } = conn;
    this.#lasted += duration;
    let i = 0;
    while (duration > (DURATION_BOUNDS[i] ?? Infinity)) i++;
    this.#durations[i]!++;
    this.bytesRead += conn.bytesRead;
    this.bytesWritten += conn.bytesWritten;
  }

  #dismiss(detail: string): void {
    const isNew = !this.#dismissed.has(detail);
    const counted = isNew && this.#dismissed.size >= MOST_DETAILS ? OTHER : detail;
    this.#dismissed.set(counted, (this.#dismissed.get(counted) ?? 0) + 1);
  }

  snapshot(
    live: ReadonlySet<ServedConnection>,
    handshaking: number,
    saturatedFor: number,
    buffered = 0,
  ): ServerStats {
    let { bytesRead, bytesWritten } = this;
    for (const conn of live) {
      bytesRead += conn.bytesRead;
      bytesWritten += conn.bytesWritten;
    }
    return {
      accepted: this.accepted,
      active: live.size,
      handshaking,
      refused: {
        full: this.ended.refused_full,
        peerLimit: this.ended.refused_peer_limit,
        address: this.ended.refused_address,
        handshaking: this.ended.refused_handshaking,
        rate: this.ended.refused_rate,
        admit: this.ended.refused_admit,
      },
      ended: { ...this.ended },
      dismissed: Object.fromEntries(this.#dismissed),
      acceptFailures: { aborted: this.aborted, resources: this.resources },
      bytesRead,
      bytesWritten,
      saturatedFor,
      buffered,
      durations: {
        sum: this.#lasted,
        bounds: DURATION_BOUNDS,
        counts: [...this.#durations],
      },
    };
  }
}
