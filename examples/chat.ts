/**
 * A chat room: guests choose a name and read what the others say. `nc 127.0.0.1 7000` is a client.
 *
 * deno run --allow-net examples/chat.ts
 *
 * @module
 */

import {
  broadcast,
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
const HEARD = lines({ ending: "\r\n" });

/** Characters of a name. */
const LONGEST_NAME = 20;

/** Names that a new guest is shown. */
const NAMES_SHOWN = 20;

/** Ms of silence after which a connection ends. People are silent for longer than programs. */
const IDLE_TIMEOUT = 3_600_000;

/** Makes the handler for a room of its own. */
export function chat(): Handler {
  const room = new Room();
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
    const name = visible(line.trim().normalize());
    const wrong = room.whatIsWrong(name);
    // Entered at once, before another guest can take the name.
    if (wrong === null) return room.enter(name, guest);
    guest.send(`* ${wrong}. What is your name?`);
  }
  return null;
}

/** A guest's place in the room. */
interface Seat extends Disposable {
  readonly name: string;
}

class Room {
  readonly #names = new Set<string>();
  /** One who reads slowly is skipped, and holds up nobody. */
  readonly #guests = broadcast(HEARD, { missed: (count) => `* You missed ${count} lines` });

  /** Why this name cannot be used; `null` if it can. */
  whatIsWrong(name: string): string | null {
    // A name of spaces or invisible characters would look like none, or like another one.
    if (!/[\p{L}\p{N}\p{S}]/u.test(name)) return "A name needs a letter, a digit or a symbol";
    if ([...name].length > LONGEST_NAME) return `A name has at most ${LONGEST_NAME} characters`;
    return this.#names.has(name) ? `The name ${name} is taken` : null;
  }

  /** Lets a guest in, until the seat is disposed. */
  enter(name: string, guest: Framed<string>): Seat {
    guest.send(this.#whoIsHere());
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

  #whoIsHere(): string {
    const { size } = this.#names;
    if (size === 0) return "* Nobody else is here";
    const names = this.#names.values().take(NAMES_SHOWN).toArray().join(", ");
    return `* Here are ${names}${size > NAMES_SHOWN ? ` and ${size - NAMES_SHOWN} more` : ""}`;
  }

  /** Sends a line to every guest but the one who says it. */
  say(text: string, from: Connection): void {
    this.#guests.send(text, { except: from });
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
