/** Whatever fails: who is admitted is served once, and every lease is given back once. @module */

import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { END_REASONS } from "../../lib/connection/end_reason.ts";
import {
  type AdmitResult,
  type Connection,
  type EndReason,
  type EndRecord,
  type IdentifiedConnection,
  serve,
} from "../../mod.ts";
import { accountedFor, BEHIND, proxied } from "../support/balancer.ts";
import { byChance, type Chance } from "../support/chance.ts";
import { netTest } from "../support/needs.ts";
import { connectResettable, LOOPBACK, type Resettable } from "../support/peers.ts";
import { pass, passed, turns, until } from "../support/wait.ts";

/** Ms that the backend takes for an answer on average. */
const SLOW = 2000;

/** Connections of a run; so many are admitted, displaced, reset and forced that each way has its turn. */
const CONNECTIONS = 120;

/** Ways to end that a test which has none of them would not be about. */
const WAYS: readonly EndReason[] = [
  "completed",
  "peer_reset",
  "handler_error",
  "refused_handshaking",
  "refused_admit",
  "forced",
];

/** A backend that is slow and often fails, and what it has given out. */
class Backend {
  readonly #chance: Chance;
  /** How often it was asked about each connection. */
  readonly asked = new Map<number, number>();
  /** Leases that are out, by connection. */
  readonly out = new Map<number, number>();
  taken = 0;
  returned = 0;
  /** Answers that are not there yet. */
  pending = 0;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  readonly admit = ({ id }: IdentifiedConnection): AdmitResult | Promise<AdmitResult> => {
    this.asked.set(id, (this.asked.get(id) ?? 0) + 1);
    const chance = this.#chance;
    if (chance.onceIn(20)) throw new RangeError("no database");
    if (chance.onceIn(10)) return this.#answer(id);
    // Late for one in ten.
    const ms = chance.onceIn(10) ? 10_000 + chance.from(0, SLOW) : chance.from(0, 2 * SLOW);
    this.pending++;
    return passed(ms).then(() => {
      this.pending--;
      if (chance.onceIn(20)) throw new RangeError("no database");
      return this.#answer(id);
    });
  };

  #answer(id: number): AdmitResult {
    const chance = this.#chance;
    if (chance.onceIn(8)) return false;
    if (chance.onceIn(8)) return true;
    this.taken++;
    this.out.set(id, (this.out.get(id) ?? 0) + 1);
    const giveBack = () => {
      this.returned++;
      this.out.set(id, this.out.get(id)! - 1);
      if (chance.onceIn(10)) throw new RangeError("no database");
    };
    if (chance.onceIn(2)) return { [Symbol.dispose]: giveBack };
    const ms = chance.from(0, 500);
    return {
      [Symbol.asyncDispose]: () => passed(ms).then(giveBack),
    };
  }
}

/** A handler that answers, throws, stays, or leaves without a word. */
function handlerOf(chance: Chance, served: number[]) {
  return async (conn: Connection): Promise<void> => {
    served.push(conn.id);
    if (chance.onceIn(6)) throw new RangeError("division by cucumber");
    if (chance.onceIn(6)) return conn.end("enough");
    if (chance.onceIn(3)) return;
    if (chance.onceIn(10)) return await new Promise(() => {});
    for await (const chunk of conn) await conn.write(chunk);
  };
}

netTest(
  "admit, a slow backend and random faults: none is displaced or asked about twice, and every lease comes back",
  async () => {
    const seen = Object.fromEntries(END_REASONS.map((reason) => [reason, 0]));
    for (let round = 0; round < 4; round++) {
      await byChance(async (chance) => {
        using time = new FakeTime();
        const backend = new Backend(chance);
        const served: number[] = [];
        const ended: EndRecord[] = [];
        /** Records that came before the lease was back. */
        const early: EndRecord[] = [];
        const server = serve({
          ...LOOPBACK,
          ...BEHIND,
          maxConnections: 40,
          maxHandshaking: 4,
          admit: backend.admit,
          onError: () => {},
          onEnd: (record) => {
            ended.push(record);
            if ((backend.out.get(record.id) ?? 0) > 0) early.push(record);
          },
        }, handlerOf(chance, served));

        const clients: Resettable[] = [];
        let left = CONNECTIONS;
        while (left > 0) {
          for (let i = chance.from(1, 4); i > 0 && left > 0; i--, left--) {
            const asked = backend.asked.size;
            const displaced = server.stats().refused.handshaking;
            const client = await connectResettable(server.addr);
            clients.push(client);
            const header = proxied(`192.0.2.${chance.from(1, 5)}`);
            if (chance.onceIn(5)) client.write(header.subarray(0, chance.from(1, 9)));
            else if (!chance.onceIn(5)) {
              client.write(header);
              // Asked about, waiting for a slot, or displaced before the header had come.
              await until(() =>
                backend.asked.size > asked || server.waitingFor === "slot" ||
                server.stats().refused.handshaking > displaced
              );
              if (chance.onceIn(3)) client.write(new Uint8Array(chance.from(1, 100)));
            }
          }
          await pass(time, chance.pick([0, 100, 300]));
          while (clients.length > 0 && chance.onceIn(2)) {
            await clients.splice(chance.from(0, clients.length - 1), 1)[0]!.reset();
          }
          const stats = server.stats();
          assertEquals(accountedFor(stats), stats.accepted);
          assert(backend.taken - backend.returned <= 40 + backend.pending);
        }
        await until(() => {
          const { accepted, acceptFailures } = server.stats();
          return server.waitingFor === "slot" || accepted + acceptFailures.aborted === CONNECTIONS;
        });

        assertEquals(early, []);
        let isFinished = false;
        const timeout = chance.pick([0, 1000, 5000]);
        const stopped = server.shutdown({ timeout }).then(() => isFinished = true);
        for (let ms = 0; ms <= timeout + 3000 && !isFinished; ms += 100) await pass(time, 100);
        assert(isFinished, "finished waits for a second or two after a force");
        await stopped;

        // What comes later is disposed at once.
        while (backend.pending > 0) await pass(time, 1000);
        await pass(time, 1000);
        await turns();
        assertEquals(backend.returned, backend.taken);
        assert([...backend.out.values()].every((count) => count === 0));

        const { accepted, active, ended: counts } = server.stats();
        assertEquals([active, ended.length], [0, accepted]);
        assert([...backend.asked.values()].every((times) => times === 1));
        assertEquals(new Set(served).size, served.length);
        assert(served.every((id) => backend.asked.has(id)));
        for (const { id, reason } of ended) {
          if (backend.asked.has(id)) assertNotEquals(reason, "refused_handshaking");
        }
        for (const reason of END_REASONS) seen[reason] = seen[reason]! + counts[reason];
        for (const client of clients) await client.reset();
      });
    }
    // Each way to end had its turn.
    for (const reason of WAYS) assert(seen[reason]! > 0, `${reason} in ${Deno.inspect(seen)}`);
  },
);
