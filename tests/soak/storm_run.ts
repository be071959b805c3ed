/** Stops a server in the midst of a storm of clients, and counts the lost ones. @module */

import type { ShutdownReport } from "../../mod.ts";
import type { Chance } from "../support/chance.ts";
import { pattern } from "../support/pattern.ts";
import { readAll, writeAll } from "../support/peers.ts";
import { turns } from "../support/wait.ts";
import { openDescriptors, Program } from "../support/program.ts";
import { prepare, reach, type RouteKind } from "./routes.ts";

/** What a client sends and receives. */
const QUESTION = pattern(0, 64);

/**
 * Descriptors of this process above which a storm waits: clients of Deno's TLS that are closed keep
 * theirs for some seconds, and many storms would use them all up.
 */
const MOST_OPEN = 8000;

/** The fate of all clients in some storms. */
export interface Stormed {
  storms: number;
  /** Storms in which a client was lost. */
  bad: number;
  /** Refused: nothing was listening any more. */
  refused: number;
  answered: number;
  /** Ended without an answer, and without an error. */
  ended: number;
  /** Connected, and then reset or cut off. */
  lost: number;
  /** The errors of the lost ones. */
  readonly errors: Record<string, number>;
  swept: number;
  /** The longest stop in ms. */
  longest: number;
  /** Connections that the server had to force or abandon. */
  forced: number;
}

/** Storms of clients that connect at once, each to a server that stops meanwhile. */
export async function storm(
  whose: "usher" | "plain",
  kind: RouteKind,
  storms: number,
  clients: number,
  chance: Chance,
): Promise<Stormed> {
  await using program = new Program(new URL("storm_servers.ts", import.meta.url), {
    args: [whose, kind],
    longest: storms * 20_000,
  });
  const result: Stormed = {
    storms,
    bad: 0,
    refused: 0,
    answered: 0,
    ended: 0,
    lost: 0,
    errors: {},
    swept: 0,
    longest: 0,
    forced: 0,
  };
  for (let i = 0; i < storms; i++) {
    while (await openDescriptors() > MOST_OPEN) await turns(100);
    const port = Number(await program.ask(`${chance.from(1, clients - 1)}`));
    const before = result.lost;
    await Promise.all(Array.from({ length: clients }, () => come(kind, port, result)));
    if (result.lost > before) result.bad++;
    const report: ShutdownReport = JSON.parse(await program.line());
    result.swept += report.swept;
    result.forced += report.forced + report.abandoned;
    result.longest = Math.max(result.longest, report.ms);
  }
  return result;
}

async function come(kind: RouteKind, port: number, result: Stormed): Promise<void> {
  const route = { kind, at: port };
  let socket: Deno.Conn;
  try {
    socket = await reach(route);
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) result.refused++;
    // A reset may arrive before the promise of an established connection settles.
    else if (wasReset(error)) lose(error, result);
    else throw error; // not refused: this machine could not send it
    return;
  }
  try {
    const inside = await prepare(socket, route);
    await writeAll(inside, QUESTION);
    const heard = await readAll(inside);
    if (heard.length === QUESTION.length) result.answered++;
    else if (heard.length === 0) result.ended++;
    else lose(new Deno.errors.UnexpectedEof(), result);
  } catch (error) {
    lose(error, result);
    try {
      socket.close();
    } catch {
      // TLS has taken it over, and closed it.
    }
  }
}

/** Deno calls getpeername(2), which fails after a reset. */
function wasReset(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset || error instanceof Deno.errors.NotConnected;
}

function lose(error: unknown, result: Stormed): void {
  const name = error instanceof Error ? error.name : String(error);
  result.lost++;
  result.errors[name] = (result.errors[name] ?? 0) + 1;
}
