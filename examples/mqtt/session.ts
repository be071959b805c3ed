/** The broker's state for one client, connected or not. @module */

import type { Framed } from "jsr:@usher/server@^0.2.0";
import { type Packet, type Publication, publish } from "./packets.ts";

/** Unacknowledged deliveries of QoS 1, and their bytes. */
const MOST_IN_FLIGHT = 32, MOST_BYTES_IN_FLIGHT = 262_144;

/** Bytes of the messages queued behind them; beyond that they are dropped. */
const MOST_WAITING = 1_048_576;

/** Unsent bytes of a client from which on messages of QoS 0 are dropped. */
const SLOW = 262_144;

/** Bytes of memory that a message takes besides its payload. */
const OVERHEAD = 200;

type Delivery = Pick<Publication, "topic" | "payload">;

/** Deliveries, and the memory they take. */
class Deliveries {
  readonly byId = new Map<number, Delivery>();
  bytes = 0;

  add(id: number, delivery: Delivery): void {
    this.byId.set(id, delivery);
    this.bytes += sizeOf(delivery);
  }

  delete(id: number): boolean {
    const delivery = this.byId.get(id);
    if (delivery !== undefined) this.bytes -= sizeOf(delivery);
    return this.byId.delete(id);
  }
}

export class Session {
  readonly id: string;
  readonly clean: boolean;
  /** The filters that it has subscribed to. */
  readonly filters: Set<string> = new Set();
  #client: Framed<Packet> | undefined;
  /** By packet identifier, in the order of first delivery. */
  readonly #inFlight = new Deliveries();
  /** In the order in which they came. */
  readonly #waiting = new Deliveries();
  #came = 0;
  #lastId = 0;

  constructor(id: string, clean: boolean) {
    this.id = id;
    this.clean = clean;
  }

  get client(): Framed<Packet> | undefined {
    return this.#client;
  }

  /** The client has connected: what it has not acknowledged is delivered again (MQTT 3.1.1, 4.4). */
  attach(client: Framed<Packet>): void {
    this.#client = client;
    for (const [id, delivery] of this.#inFlight.byId) {
      client.write(publish(delivery, { id, again: true }));
    }
    this.#goOn();
  }

  /** The client has left, unless another connection has taken its place. */
  detach(client: Framed<Packet>): void {
    if (this.#client === client) this.#client = undefined;
  }

  /** Delivers at most once: a client that is away or slow does not get it. */
  offer(packet: Uint8Array): void {
    const client = this.#client;
    if (client !== undefined && client.conn.unsentBytes < SLOW) client.write(packet);
  }

  /** Delivers at least once, now or later. */
  deliver(delivery: Delivery): void {
    if (this.#waiting.bytes + sizeOf(delivery) > MOST_WAITING) return;
    this.#waiting.add(this.#came++, delivery);
    this.#goOn();
  }

  acknowledged(id: number): void {
    if (this.#inFlight.delete(id)) this.#goOn();
  }

  #goOn(): void {
    const client = this.#client;
    if (client === undefined) return;
    for (const [place, delivery] of this.#waiting.byId) {
      const { byId, bytes } = this.#inFlight;
      if (byId.size >= MOST_IN_FLIGHT || bytes >= MOST_BYTES_IN_FLIGHT) return;
      this.#waiting.delete(place);
      do this.#lastId = this.#lastId % 65_535 + 1; while (byId.has(this.#lastId));
      this.#inFlight.add(this.#lastId, delivery);
      client.write(publish(delivery, { id: this.#lastId }));
    }
  }
}

function sizeOf({ topic, payload }: Delivery): number {
  return OVERHEAD + 2 * topic.length + payload.length;
}
