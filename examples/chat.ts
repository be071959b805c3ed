/**
 * A chat room: guests choose a name and read what the others say. `nc 127.0.0.1 7000` is a client.
 *
 * deno run --allow-net examples/chat.ts
 *
 * @module
 */

import {
  type Connection,
  type Framed,
  framed,
  type Handler,
  lines,
  serve,
} from "jsr:@usher/server@^0.2.0";
import { start } from "./start.ts";

/** Bytes of a line; longer ones are truncated. */
const LONGEST_LINE = 1024;

/** Characters of a name. */
const LONGEST_NAME = 20;

/** Unsent bytes above which a guest is skipped; above `maxUnsent` the connection would end. */
const SLOW = 262_144;

/** Names that a new guest is shown. */
const NAMES_SHOWN = 20;

/** Ms of silence after which a connection ends. People are silent for longer than programs. */
const IDLE_TIMEOUT = 3_600_000;

/** Makes the handler for a room of its own. */
export function chat(): Handler {
  const room = new Room();
  return async (conn) => {
    const heard = framed(conn, lines({ limit: LONGEST_LINE, onOversize: "truncate" }));
    const guest = new Guest(conn);
    using seat = await findSeat(heard, guest, room);
    if (seat !== null) {
      for await (const line of heard) {
        if (line === "/quit") return guest.tell("* Bye");
        if (line !== "") room.say(`${seat.name}: ${visible(line)}`, guest);
      }
    }
    // The loop has ended by itself, and what is sent now still leaves.
    if (conn.draining) guest.tell("* The server is stopping. Come back in a minute");
  };
}

/** Asks until the guest gives a valid name; `null` if it leaves before. */
async function findSeat(heard: Framed<string>, guest: Guest, room: Room): Promise<Seat | null> {
  guest.tell("* What is your name?");
  for await (const line of heard) {
    if (line === "/quit") return null;
    const name = visible(line.trim().normalize());
    const wrong = room.whatIsWrong(name);
    // Entered at once, before another guest can take the name.
    if (wrong === null) return room.enter(name, guest);
    guest.tell(`* ${wrong}. What is your name?`);
  }
  return null;
}

/** A connected client, whether it has a name yet or not. */
class Guest {
  readonly #conn: Connection;
  /** With a limit above that of input: lines grow by a name and by escapes. */
  readonly #said: Framed<string>;
  #missed = 0;

  constructor(conn: Connection) {
    this.#conn = conn;
    this.#said = framed(conn, lines({ ending: "\r\n" }));
  }

  /** Never waits: one slow reader must not hold up the others. */
  tell(text: string): void {
    if (this.#conn.unsentBytes > SLOW) {
      this.#missed++;
      return;
    }
    if (this.#missed > 0) this.#said.send(`* You missed ${this.#missed} lines`);
    this.#missed = 0;
    // Not awaited. If it fails, the connection has ended, and so has the loop over its lines.
    this.#said.send(text);
  }
}

/** A guest's place in the room. */
interface Seat extends Disposable {
  readonly name: string;
}

class Room {
  readonly #guests = new Map<string, Guest>();

  /** Why this name cannot be used; `null` if it can. */
  whatIsWrong(name: string): string | null {
    // A name of spaces or invisible characters would look like none, or like another one.
    if (!/[\p{L}\p{N}\p{S}]/u.test(name)) return "A name needs a letter, a digit or a symbol";
    if ([...name].length > LONGEST_NAME) return `A name has at most ${LONGEST_NAME} characters`;
    return this.#guests.has(name) ? `The name ${name} is taken` : null;
  }

  /** Lets a guest in, until the seat is disposed. */
  enter(name: string, guest: Guest): Seat {
    guest.tell(this.#whoIsHere());
    this.#guests.set(name, guest);
    this.say(`* ${name} has come`, guest);
    return {
      name,
      [Symbol.dispose]: () => {
        this.#guests.delete(name);
        this.say(`* ${name} has left`, guest);
      },
    };
  }

  #whoIsHere(): string {
    const { size } = this.#guests;
    if (size === 0) return "* Nobody else is here";
    const names = this.#guests.keys().take(NAMES_SHOWN).toArray().join(", ");
    return `* Here are ${names}${size > NAMES_SHOWN ? ` and ${size - NAMES_SHOWN} more` : ""}`;
  }

  /** Sends a line to every guest but one. */
  say(text: string, from: Guest): void {
    for (const guest of this.#guests.values()) if (guest !== from) guest.tell(text);
  }
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
