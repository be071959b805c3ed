/**
 * A chat room: guests choose a name and read what the others say. `nc 127.0.0.1 7000` is a client.
 *
 * deno run --allow-net examples/chat.ts
 *
 * @module
 */

import {
  broadcast,
  type Codec,
  type Connection,
  type Framed,
  framed,
  type Handler,
  lines,
  serve,
} from "jsr:@usher/server@^0.2.0";
import { start } from "./start.ts";

/** What guests say; longer lines are truncated. */
const SAID = lines({ limit: 1024, onOversize: "truncate" });

/** What they hear: names and escapes make lines longer. */
export const HEARD: Codec<string> = lines({ ending: "\r\n" });

/** Characters of a name. */
const LONGEST_NAME = 20;

/** Names that a new guest is shown. */
const NAMES_SHOWN = 20;

/** Ms of silence after which a connection ends. People are silent for longer than programs. */
export const IDLE_TIMEOUT = 3_600_000;

/** Where guests meet. */
export interface Room {
  /** Lets a guest in, until its seat is disposed; or says why this name cannot be used. */
  enter(name: string, guest: Framed<string>): Seat | string | Promise<Seat | string>;
  /** Sends a line to every guest but the one who says it. */
  say(line: string, from: Connection): void;
}

/** A guest's place in a room. */
export interface Seat extends Disposable {
  readonly name: string;
}

/** Makes the handler for a room, of its own unless given. */
export function chat(room: Room = new LocalRoom()): Handler {
  return async (conn) => {
    const said = framed(conn, SAID);
    // Not awaited when it sends: what fails ends the connection, and so the loop over its lines.
    const guest = framed(conn, HEARD);
    using seat = await findSeat(said, guest, room);
    if (seat !== null) {
      for await (const line of said) {
        if (line === "/quit") return guest.send("* Bye");
        if (line !== "") room.say(`${seat.name}: ${visible(line)}`, conn);
      }
    }
    // The loop has ended by itself, and what is sent now still leaves.
    if (conn.draining) guest.send("* The server is stopping. Come back in a minute");
  };
}

/** Asks until the guest gives a valid name; `null` if it leaves before. */
async function findSeat(
  said: Framed<string>,
  guest: Framed<string>,
  room: Room,
): Promise<Seat | null> {
  guest.send("* What is your name?");
  for await (const line of said) {
    if (line === "/quit") return null;
    const seat = await room.enter(visible(line.trim().normalize()), guest);
    if (typeof seat !== "string") return seat;
    guest.send(`* ${seat}. What is your name?`);
  }
  return null;
}

/** The guests of this process. */
export class LocalRoom implements Room {
  readonly #names = new Set<string>();
  /** One who reads slowly is skipped, and holds up nobody. */
  readonly #guests = broadcast(HEARD, { missed: (count) => `* You missed ${count} lines` });

  enter(name: string, guest: Framed<string>): Seat | string {
    const wrong = whatIsWrong(name) ?? (this.#names.has(name) ? `The name ${name} is taken` : null);
    if (wrong !== null) return wrong;
    guest.send(whoIsHere(this.#names));
    // At once, before another guest can take the name.
    this.#names.add(name);
    const membership = this.#guests.join(guest.conn);
    this.say(`* ${name} has come`, guest.conn);
    return {
      name,
      [Symbol.dispose]: () => {
        membership[Symbol.dispose]();
        this.#names.delete(name);
        this.say(`* ${name} has left`, guest.conn);
      },
    };
  }

  say(line: string, from: Connection): void {
    this.#guests.send(line, { except: from });
  }
}

/** Why this name cannot be had; `null` if it can. */
export function whatIsWrong(name: string): string | null {
  // A name of spaces or invisible characters would look like none, or like another one.
  if (!/[\p{L}\p{N}\p{S}]/u.test(name)) return "A name needs a letter, a digit or a symbol";
  if ([...name].length > LONGEST_NAME) return `A name has at most ${LONGEST_NAME} characters`;
  return null;
}

/** The first line that a guest hears. */
export function whoIsHere(names: ReadonlySet<string>): string {
  return names.size === 0 ? "* Nobody else is here" : `* Here are ${listNames(names)}`;
}

/** At most as many names as fit on a line. */
export function listNames(names: ReadonlySet<string>): string {
  const shown = names.keys().take(NAMES_SHOWN).toArray().join(", ");
  return names.size > NAMES_SHOWN ? `${shown} and ${names.size - NAMES_SHOWN} more` : shown;
}

/**
 * Escapes what a terminal would obey instead of show, and what would reverse the text. Zero-width
 * joiners stay: they join several emoji into one.
 */
function visible(text: string): string {
  return text.replaceAll(
    /(?!\u200d)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/chat.ts";
  const options = { idleTimeout: IDLE_TIMEOUT };
  await start({ command, port: 7000 }, (place) => serve({ ...place, ...options }, chat()));
}
