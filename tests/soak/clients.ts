/** What clients do, well and badly. @module */

import type { Chance } from "../support/chance.ts";
import { fillPattern, pattern } from "../support/pattern.ts";
import { type Door, enter, knock, knockAndReset } from "./doors.ts";
import { ECHOES, FAULTS, greeting, type Way } from "./handlers.ts";

/** Ms after which a client that waits for the server to end it goes away. */
const LONGEST_STAY = 1500;

/** What a client knows when it is gone. */
export interface Visit {
  /** Bytes that it tried to say, its greeting included. */
  said: number;
  /** Bytes of its own that came back. */
  heard: number;
  /** It said all that it wanted, and all of it came back. */
  whole: boolean;
  /** It heard the end of the stream, which is no reset. */
  ended: boolean;
  /** What came back was something else. */
  wrong?: string;
}

/** One client, from its knock to its end. */
export type Kind = (
  door: Door,
  client: number,
  visit: Visit,
  chance: Chance,
  mayCome: () => boolean,
) => Promise<unknown>;

/** Every kind of client, and how many of each there are among all. */
export const KINDS: Record<string, { share: number; run: Kind }> = {
  "well-behaved": {
    share: 8,
    run: (door, client, visit, chance) =>
      talk(door, client, visit, chance.pick(ECHOES), async (socket) => {
        const length = Math.floor(chance.next() ** 4 * 200_000);
        await say(socket, visit, length, Math.max(1, chance.from(1, length)));
        if (!("handshake" in socket)) await socket.closeWrite();
        // Deno's TLS cannot end one direction alone: all of it must have come back by then.
        return length;
      }),
  },
  slow: {
    share: 2,
    run: (door, client, visit, chance) =>
      talk(door, client, visit, chance.pick(ECHOES), async (socket) => {
        const length = chance.from(1, 20);
        for (let i = 0; i < length; i++) {
          await say(socket, visit, 1, 1);
          await pause(chance.from(1, 60));
        }
        if (!("handshake" in socket)) await socket.closeWrite();
        return length;
      }),
  },
  mute: {
    share: 1,
    run: async (door, _client, _visit, chance) => {
      const knocked = await knock(door);
      using _knocked = leaving(knocked, LONGEST_STAY);
      if (chance.onceIn(2)) return await drop(knocked);
      const socket = await enter(knocked, door);
      using _socket = leaving(socket, LONGEST_STAY);
      await drop(socket);
    },
  },
  resetting: {
    share: 4,
    run: (door, client, visit, chance) => {
      const said = greeting(client, chance.pick([...ECHOES, ...FAULTS]));
      const more = new Uint8Array(chance.from(0, 30_000));
      // Sometimes not even the greeting is whole.
      const p = new Uint8Array([...said, ...more]).subarray(chance.from(0, 1) * chance.from(0, 6));
      visit.said += p.length;
      return knockAndReset(door, p, chance.from(0, 1) * chance.from(0, 100));
    },
  },
  "half-closing": {
    share: 1,
    run: async (door) => {
      using socket = leaving(await knock(door), LONGEST_STAY);
      await socket.conn.closeWrite();
      await drop(socket.conn);
    },
  },
  "never reading": {
    share: 2,
    run: async (door, client, visit, chance) => {
      const knocked = await knock(door);
      using _socket = leaving(knocked, LONGEST_STAY);
      const socket = await enter(knocked, door);
      using _inside = leaving(socket, LONGEST_STAY);
      const way = greeting(client, chance.pick(["pours", "chunks", "frames", "forgets"]));
      visit.said += way.length;
      await socket.write(way);
      for (;;) {
        visit.said += 65536;
        await socket.write(new Uint8Array(65536));
      }
    },
  },
  "asking for trouble": {
    share: 4,
    run: async (door, client, visit, chance) => {
      const knocked = await knock(door);
      using _socket = leaving(knocked, LONGEST_STAY);
      const socket = await enter(knocked, door);
      using _inside = leaving(socket, LONGEST_STAY);
      const p = greeting(client, chance.pick(FAULTS));
      visit.said += p.length;
      await socket.write(p);
      visit.said += 1000;
      await socket.write(new Uint8Array(1000));
      if (chance.onceIn(2)) return;
      await drop(socket);
    },
  },
  "speaking nonsense": {
    share: 1,
    run: async (door, _client, _visit, chance) => {
      using socket = leaving(await knock(door), LONGEST_STAY);
      // A number of nobody, as a greeting.
      await socket.conn.write(fillPattern(new Uint8Array(chance.from(1, 4)), 1));
      await pause(chance.from(0, 100));
    },
  },
  flooding: {
    share: 0.4,
    run: async (door, _client, _visit, chance, mayCome) => {
      const came = await Promise.allSettled(
        Array.from({ length: chance.from(50, 200) }, () => knock(door)),
      );
      for (let i = 0; i < 10 && mayCome(); i++) await pause(chance.from(1, 60));
      for (const one of came) if (one.status === "fulfilled") one.value.close();
    },
  },
};

/** Says something, and hears it back at the same time. */
async function talk(
  door: Door,
  client: number,
  visit: Visit,
  way: Way,
  speak: (socket: Deno.Conn) => Promise<number>,
): Promise<void> {
  const knocked = await knock(door);
  using _knocked = leaving(knocked, 4 * LONGEST_STAY);
  const socket = await enter(knocked, door);
  using _socket = leaving(socket, 4 * LONGEST_STAY);
  const isTls = "handshake" in socket;
  const hello = greeting(client, way);
  visit.said += hello.length;
  await socket.write(hello);
  let wanted = Infinity;
  const hearing = (async () => {
    const p = new Uint8Array(16384);
    while (visit.heard < wanted || !isTls) {
      const n = await socket.read(p);
      if (n === null) {
        visit.ended = true;
        return;
      }
      const expected = pattern(visit.heard, n);
      if (expected.some((byte, i) => byte !== p[i])) visit.wrong = `wrong at ${visit.heard}`;
      visit.heard += n;
      if (visit.heard > visit.said) visit.wrong = "more than was said";
    }
  })();
  hearing.catch(() => {});
  wanted = await speak(socket);
  if (!isTls || visit.heard < wanted) await hearing;
  visit.whole = wanted > 0 && visit.heard === wanted;
}

/** Says the next `length` bytes of the stream, so many at once. */
async function say(
  socket: Deno.Conn,
  visit: Visit,
  length: number,
  atOnce: number,
): Promise<void> {
  for (let left = length; left > 0;) {
    const p = pattern(visit.said - 5, Math.min(left, atOnce));
    visit.said += p.length;
    for (let sent = 0; sent < p.length;) sent += await socket.write(p.subarray(sent));
    left -= p.length;
  }
}

/** Reads until it is ended. */
async function drop(socket: Deno.Conn): Promise<void> {
  const p = new Uint8Array(16384);
  while (await socket.read(p) !== null);
}

/** Closed when its scope is left, and after so many ms in any case. */
function leaving(conn: Deno.Conn, ms: number): Disposable & { conn: Deno.Conn } {
  const close = () => {
    try {
      conn.close();
    } catch {
      // TLS has taken it over, or it is closed.
    }
  };
  const timer = setTimeout(close, ms);
  return {
    conn,
    [Symbol.dispose]() {
      clearTimeout(timer);
      close();
    },
  };
}

/** Time is what slow clients take. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
