/**
 * A chat: everybody gives a name, and what one says all others read. `nc 127.0.0.1 7000` is a client.
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
} from "jsr:@usher/server@^0.1.0";
import { start } from "./start.ts";

/** Bytes of a line that somebody may say; what is more is cut off. */
const LONGEST_LINE = 1024;

/** Characters of a name. */
const LONGEST_NAME = 20;

/** Unsent bytes above which a guest is skipped; above `maxUnsent` the connection would end. */
const SLOW = 262_144;

/** Names that are told to somebody new. */
const NAMES_TOLD = 20;

/** Ms of silence after which a connection ends. People are silent for longer than programs. */
const PATIENCE = 3_600_000;

/** Makes the handler for a room of its own. */
export function chat(): Handler {
  const room = new Room();
  return async (conn) => {
    const heard = framed(conn, lines({ limit: LONGEST_LINE, onOversize: "truncate" }));
    const guest = new Guest(conn);
    using seat = await findSeat(heard, guest, room);
    if (seat === null) return;
    for await (const line of heard) {
      if (line === "/quit") return guest.tell("* Bye");
      if (line !== "") room.say(`${seat.name}: ${visible(line)}`, guest);
    }
  };
}

/** Asks until there is a name that will do; `null` if the guest leaves before. */
async function findSeat(heard: Framed<string>, guest: Guest, room: Room): Promise<Seat | null> {
  guest.tell("* What is your name?");
  for (let line; (line = await heard.read()) !== null;) {
    if (line === "/quit") return null;
    const name = visible(line.trim().normalize());
    const wrong = room.whatIsWrong(name);
    // At once, before anybody else can take the name.
    if (wrong === null) return room.enter(name, guest);
    guest.tell(`* ${wrong}. What is your name?`);
  }
  return null;
}

/** Somebody to talk to. */
class Guest {
  readonly #conn: Connection;
  /** Longer lines than those that are heard: a name goes before them, and escapes into them. */
  readonly #said: Framed<string>;
  #missed = 0;

  constructor(conn: Connection) {
    this.#conn = conn;
    this.#said = framed(conn, lines({ ending: "\r\n" }));
  }

  /** Never waits: whoever speaks must not wait for who is slow to read. */
  tell(text: string): void {
    if (this.#conn.unsentBytes > SLOW) {
      this.#missed++;
      return;
    }
    if (this.#missed > 0) this.#said.send(`* You missed ${this.#missed} lines`);
    this.#missed = 0;
    // Not awaited. If it fails the connection is over, and the loop over what it says ends, too.
    this.#said.send(text);
  }
}

/** Somebody's place in the room. */
interface Seat extends Disposable {
  readonly name: string;
}

class Room {
  readonly #guests = new Map<string, Guest>();

  /** Why nobody can have this name; `null` if it can be had. */
  whatIsWrong(name: string): string | null {
    // Spaces and what has no shape would look like nobody, or like somebody else.
    if (!/[\p{L}\p{N}\p{S}]/u.test(name)) return "A name needs a letter, a digit or a symbol";
    if ([...name].length > LONGEST_NAME) return `A name has at most ${LONGEST_NAME} characters`;
    return this.#guests.has(name) ? `The name ${name} is taken` : null;
  }

  /** Lets somebody in, until the seat is disposed. */
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
    const names = this.#guests.keys().take(NAMES_TOLD).toArray().join(", ");
    return `* Here are ${names}${size > NAMES_TOLD ? ` and ${size - NAMES_TOLD} more` : ""}`;
  }

  /** Says something to all but one. */
  say(text: string, from: Guest): void {
    for (const guest of this.#guests.values()) if (guest !== from) guest.tell(text);
  }
}

/**
 * Escapes what a terminal would obey instead of show, and what would turn the text around. Joiners
 * stay: they make one picture of several.
 */
function visible(text: string): string {
  return text.replaceAll(
    /(?!\u200d)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  );
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/chat.ts";
  const options = { idleTimeout: PATIENCE };
  await start({ command, port: 7000 }, (place) => serve({ ...place, ...options }, chat()));
}
