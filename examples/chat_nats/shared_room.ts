/** A room whose guests are on any number of servers. @module */

import { broadcast, type Connection, type Framed } from "jsr:@usher/server@^0.2.0";
import { HEARD, listNames, type Room, type Seat, whatIsWrong, whoIsHere } from "../chat.ts";
import { Bus, type Listener } from "./bus.ts";

/** Ms between two signs of life. */
const TICK = 1000;

/** Ticks without one after which a server counts as gone. */
const GONE_AFTER = 4;

/** Ms in which other servers answer. One that does not is not waited for. */
const ANSWER_WITHIN = 500;

const AWAY = "* The other servers are out of reach: only guests of this one hear you";
const BACK = "* The other servers can be reached again";

/** When a guest has come, and to which server: that decides who keeps a name. */
interface Claim {
  readonly since: number;
  readonly id: string;
}

/** What servers tell each other. */
type Message = {
  /** Of the server. */
  readonly id: string;
  /** Lines said there so far, this one included: a gap shows how many were lost. */
  readonly lines: number;
  /** With each line as it is, without which the sender is only alive. */
  readonly said?: string;
  readonly entered?: Guest;
  readonly left?: string;
  /** The guest of one name has another one from now on. */
  readonly renamed?: readonly [from: string, to: Guest];
  /** All guests, in a question when a server begins to hear the others, and in the answers. */
  readonly guests?: readonly Guest[];
  readonly isGoing?: true;
};

type Guest = readonly [name: string, since: number];

/** Another server. */
interface Other {
  lines: number;
  guests: Map<string, number>;
  /** Ticks since it was heard. */
  silent: number;
}

/** A guest of this server. */
interface Here {
  name: string;
  readonly since: number;
  readonly guest: Framed<string>;
}

/**
 * Guests hear all that is said on every server. A name is asked for before it is given; two guests who
 * have one name all the same, since their servers could not reach each other, are told apart as soon as
 * they can: the later one is renamed.
 */
export class SharedRoom implements Room, Listener {
  readonly #id = crypto.randomUUID();
  readonly #bus: Bus;
  /** One who reads slowly is skipped, and holds up nobody. */
  readonly #guests = broadcast(HEARD, { missed: (count) => `* You missed ${count} lines` });
  readonly #here = new Map<string, Here>();
  readonly #others = new Map<string, Other>();
  /** Names that guests of this server are about to have. */
  readonly #claims = new Map<string, Claim & { isLost: boolean }>();
  /** Names that guests of other servers are about to have, and for how many ticks. */
  readonly #promised = new Map<string, number>();
  readonly #ticking = setInterval(() => this.#tick(), TICK);
  #lines = 0;
  #greeting: Promise<void> | undefined;

  /** @param report Is called with one sentence when NATS has gone away, and when it is back. */
  constructor(nats: string, report: (sentence: string) => void) {
    this.#bus = new Bus(nats, "usher.chat", this, report);
  }

  /** Resolves when the guests of all other servers are known, or NATS is known to be away. */
  async begin(): Promise<void> {
    await this.#bus.tried;
    await this.#greeting;
  }

  /** Takes leave of the others. */
  async close(): Promise<void> {
    clearInterval(this.#ticking);
    this.#publish({ isGoing: true });
    await this.#bus.close();
  }

  async enter(name: string, guest: Framed<string>): Promise<Seat | string> {
    const wrong = whatIsWrong(name) ?? this.#whyTaken(name);
    if (wrong !== null) return wrong;
    const claim = { since: Date.now(), id: this.#id, isLost: false };
    this.#claims.set(name, claim);
    try {
      const question = { name, claim };
      await this.#bus.ask(question, {
        most: this.#others.size,
        wait: ANSWER_WITHIN,
        heard: (isFree) => claim.isLost ||= isFree !== true,
      });
      if (claim.isLost || this.#isElsewhere(name)) return `The name ${name} is taken`;
      return this.#seat(name, claim.since, guest);
    } finally {
      this.#claims.delete(name);
    }
  }

  say(line: string, from: Connection): void {
    this.#guests.send(line, { except: from });
    this.#lines++;
    this.#publish({ said: line });
  }

  changed(isUp: boolean): void {
    this.#guests.send(isUp ? BACK : AWAY);
    if (isUp) this.#greet();
    // Their names are free here meanwhile.
    else for (const other of this.#others.values()) other.guests.clear();
  }

  asked(question: unknown): unknown {
    if ((question as Message).guests !== undefined) {
      this.heard(question);
      return this.#message({ guests: this.#list() });
    }
    const { name, claim: theirs } = question as { name: string; claim: Claim };
    const ours = this.#claims.get(name);
    if (this.#here.has(name) || (ours !== undefined && isBefore(ours, theirs))) return false;
    if (ours !== undefined) ours.isLost = true;
    this.#promised.set(name, 2);
    return true;
  }

  heard(message: unknown): void {
    const { id, lines, said, entered, left, renamed, guests, isGoing } = message as Message;
    let other = this.#others.get(id);
    if (other === undefined) {
      if (guests === undefined) {
        if (said !== undefined) this.#guests.send(said);
        // It has begun while NATS was away, or its greeting was lost: this time it is asked.
        if (isGoing === undefined && this.#greeting === undefined) this.#greet();
        return;
      }
      this.#others.set(id, other = { lines, guests: new Map(), silent: 0 });
    }
    const lost = lines - other.lines - (said === undefined ? 0 : 1);
    if (lost > 0) this.#guests.send(`* ${lost} lines from another server were lost`);
    other.lines = lines;
    other.silent = 0;
    if (said !== undefined) this.#guests.send(said);
    if (entered !== undefined) this.#entered(other, id, entered, "has come");
    if (left !== undefined) {
      other.guests.delete(left);
      this.#guests.send(`* ${left} has left`);
    }
    if (renamed !== undefined) {
      other.guests.delete(renamed[0]);
      this.#entered(other, id, renamed[1], `was ${renamed[0]}`);
    }
    if (guests !== undefined) this.#replace(other, id, guests);
    if (isGoing) this.#others.delete(id);
  }

  #entered(other: Other, id: string, [name, since]: Guest, how: string): void {
    other.guests.set(name, since);
    this.#promised.delete(name);
    this.#guests.send(`* ${name} ${how}`);
    this.#settle(name, { since, id });
  }

  /** The guests of another server as they are now, which were not all known. */
  #replace(other: Other, id: string, guests: readonly Guest[]): void {
    const before = other.guests;
    other.guests = new Map(guests);
    const isNew = guests.some(([name]) => !before.has(name));
    if (isNew) {
      this.#guests.send(`* On another server are ${listNames(new Set(other.guests.keys()))}`);
    }
    for (const [name, since] of guests) this.#settle(name, { since, id });
  }

  /** Of two guests with one name the later is renamed, by its own server. */
  #settle(name: string, theirs: Claim): void {
    const here = this.#here.get(name);
    if (here === undefined || isBefore({ since: here.since, id: this.#id }, theirs)) return;
    let number = 2;
    while (this.#whyTaken(`${name}-${number}`) !== null) number++;
    const to = `${name}-${number}`;
    this.#here.delete(name);
    this.#here.set(to, here);
    here.name = to;
    here.guest.send(`* Another ${name} was there before you: you are ${to} now`);
    this.#guests.send(`* ${to} was ${name}`, { except: here.guest.conn });
    this.#publish({ renamed: [name, [to, here.since]] });
  }

  #seat(name: string, since: number, guest: Framed<string>): Seat {
    const here: Here = { name, since, guest };
    guest.send(whoIsHere(this.#names()));
    if (!this.#bus.isUp) guest.send(AWAY);
    this.#here.set(name, here);
    const membership = this.#guests.join(guest.conn);
    this.#guests.send(`* ${name} has come`, { except: guest.conn });
    this.#publish({ entered: [name, since] });
    return {
      get name() {
        return here.name;
      },
      [Symbol.dispose]: () => {
        membership[Symbol.dispose]();
        this.#here.delete(here.name);
        this.#guests.send(`* ${here.name} has left`);
        this.#publish({ left: here.name });
      },
    };
  }

  #whyTaken(name: string): string | null {
    const isTaken = this.#here.has(name) || this.#claims.has(name) || this.#promised.has(name) ||
      this.#isElsewhere(name);
    return isTaken ? `The name ${name} is taken` : null;
  }

  #isElsewhere(name: string): boolean {
    return this.#others.values().some(({ guests }) => guests.has(name));
  }

  /** Of all guests, on every server that can be reached. */
  #names(): Set<string> {
    const elsewhere = [...this.#others.values()].flatMap(({ guests }) => [...guests.keys()]);
    return new Set([...this.#here.keys(), ...elsewhere]);
  }

  #list(): Guest[] {
    return Array.from(this.#here.values(), ({ name, since }) => [name, since]);
  }

  #message(content: Omit<Message, "id" | "lines">): Message {
    return { id: this.#id, lines: this.#lines, ...content };
  }

  #publish(content: Omit<Message, "id" | "lines">): void {
    this.#bus.publish(this.#message(content));
  }

  /** Asks all others who their guests are, and says who is here. */
  #greet(): void {
    const greeting = this.#bus.ask(this.#message({ guests: this.#list() }), {
      most: Infinity,
      wait: ANSWER_WITHIN,
      heard: (answer) => this.heard(answer),
    }).finally(() => {
      if (this.#greeting === greeting) this.#greeting = undefined;
    });
    this.#greeting = greeting;
  }

  #tick(): void {
    this.#publish({});
    for (const [name, ticks] of this.#promised) {
      if (ticks === 0) this.#promised.delete(name);
      else this.#promised.set(name, ticks - 1);
    }
    if (!this.#bus.isUp) return;
    for (const [id, other] of this.#others) {
      if (other.silent++ < GONE_AFTER) continue;
      this.#others.delete(id);
      const names = new Set(other.guests.keys());
      if (names.size > 0) {
        this.#guests.send(`* Their server is gone, and with it ${listNames(names)}`);
      }
    }
  }
}

/** Whether the one keeps a name that both have. */
function isBefore(one: Claim, other: Claim): boolean {
  return one.since < other.since || (one.since === other.since && one.id < other.id);
}
