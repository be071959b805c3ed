/** Kinds of clients, well-behaved and not. @module */

import type { Chance } from "../support/chance.ts";
import { fillPattern, pattern } from "../support/pattern.ts";
import { prepare, reach, reachAndReset, type Route } from "./routes.ts";
import { ECHOES, FAULTS, greeting, type Way } from "./handlers.ts";

/** Ms after which a client that waits for the server to end it leaves. */
const LONGEST_STAY = 1500;

/** What a client knows when it has ended. */
export interface Visit {
  /** Bytes that it tried to send, including its greeting. */
  said: number;
  /** Bytes of its own that came back. */
  heard: number;
  /** It sent everything, and all of it came back. */
  whole: boolean;
  /** It saw the end of the stream, rather than a reset. */
  ended: boolean;
  /** Something else came back. */
  wrong?: string;
}

/** One client, from connect to end. */
export type Kind = (
  route: Route,
  client: number,
  visit: Visit,
  chance: Chance,
  mayCome: () => boolean,
) => Promise<unknown>;

/** Every kind of client, and its share of all clients. */
export const KINDS: Record<string, { share: number; run: Kind }> = {
  "well-behaved": {
    share: 8,
    run: (route, client, visit, chance) =>
      talk(route, client, visit, chance.pick(ECHOES), async (socket) => {
        const length = Math.floor(chance.next() ** 4 * 200_000);
        await say(socket, visit, length, Math.max(1, chance.from(1, length)));
        if (!("handshake" in socket)) await socket.closeWrite();
        // Deno's TLS cannot half-close: all of it must have come back by then.
        return length;
      }),
  },
  slow: {
    share: 2,
    run: (route, client, visit, chance) =>
      talk(route, client, visit, chance.pick(ECHOES), async (socket) => {
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
    run: async (route, _client, _visit, chance) => {
      const raw = await reach(route);
      using _raw = leaving(raw, LONGEST_STAY);
      if (chance.onceIn(2)) return await drop(raw);
      const socket = await prepare(raw, route);
      using _socket = leaving(socket, LONGEST_STAY);
      await drop(socket);
    },
  },
  resetting: {
    share: 4,
    run: (route, client, visit, chance) => {
      const said = greeting(client, chance.pick([...ECHOES, ...FAULTS]));
      const more = new Uint8Array(chance.from(0, 30_000));
      // Sometimes not even the greeting is complete.
      const p = new Uint8Array([...said, ...more]).subarray(chance.from(0, 1) * chance.from(0, 6));
      visit.said += p.length;
      return reachAndReset(route, p, chance.from(0, 1) * chance.from(0, 100));
    },
  },
  "half-closing": {
    share: 1,
    run: async (route) => {
      using socket = leaving(await reach(route), LONGEST_STAY);
      await socket.conn.closeWrite();
      await drop(socket.conn);
    },
  },
  "never reading": {
    share: 2,
    run: async (route, client, visit, chance) => {
      const raw = await reach(route);
      using _socket = leaving(raw, LONGEST_STAY);
      const socket = await prepare(raw, route);
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
    run: async (route, client, visit, chance) => {
      const raw = await reach(route);
      using _socket = leaving(raw, LONGEST_STAY);
      const socket = await prepare(raw, route);
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
    run: async (route, _client, _visit, chance) => {
      using socket = leaving(await reach(route), LONGEST_STAY);
      // A number of no client, as a greeting.
      await socket.conn.write(fillPattern(new Uint8Array(chance.from(1, 4)), 1));
      await pause(chance.from(0, 100));
    },
  },
  flooding: {
    share: 0.4,
    run: async (route, _client, _visit, chance, mayCome) => {
      const came = await Promise.allSettled(
        Array.from({ length: chance.from(50, 200) }, () => reach(route)),
      );
      for (let i = 0; i < 10 && mayCome(); i++) await pause(chance.from(1, 60));
      for (const one of came) if (one.status === "fulfilled") one.value.close();
    },
  },
};

/** Sends something, and reads it back at the same time. */
async function talk(
  route: Route,
  client: number,
  visit: Visit,
  way: Way,
  speak: (socket: Deno.Conn) => Promise<number>,
): Promise<void> {
  const raw = await reach(route);
  using _raw = leaving(raw, 4 * LONGEST_STAY);
  const socket = await prepare(raw, route);
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

/** Sends the next `length` bytes of the stream, in chunks of a given size. */
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

/** Reads to the end. */
async function drop(socket: Deno.Conn): Promise<void> {
  const p = new Uint8Array(16384);
  while (await socket.read(p) !== null);
}

/** Closed when its scope is left, and after some ms in any case. */
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

/** A real delay, since slow clients need one. */
function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
