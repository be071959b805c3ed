/** The state that all clients of a broker share. @module */

import { type Connect, type Publication, publish } from "./packets.ts";
import { Session } from "./session.ts";
import { isFilter, Topics } from "./topics.ts";

/** Limits: subscriptions per client, retained messages, sessions kept. */
const MOST_FILTERS = 100, MOST_RETAINED = 10_000, MOST_SESSIONS = 10_000;

/** The code of a subscription that is refused (MQTT 3.1.1, 3.9.3). */
export const REFUSED = 0x80;

/** Sessions, subscriptions and retained messages. */
export class Broker {
  /** Disconnected ones are in the order in which they left. */
  readonly #sessions = new Map<string, Session>();
  readonly #topics = new Topics<Session>();
  readonly #retained = new Map<string, Publication>();

  /** The session of a client, and whether it had one; another connection with its identifier is closed. */
  enter({ clientId, clean }: Connect): [session: Session, present: boolean] {
    const kept = this.#sessions.get(clientId);
    kept?.client?.conn.close("taken over");
    if (kept !== undefined && !kept.clean && !clean) return [kept, true];
    if (kept !== undefined) this.#forget(kept);
    if (this.#sessions.size >= MOST_SESSIONS) this.#forgetOneThatIsAway();
    const session = new Session(clientId === "" ? crypto.randomUUID() : clientId, clean);
    this.#sessions.set(session.id, session);
    return [session, false];
  }

  /** The client has left; its session is kept if it asked for that. */
  leave(session: Session): void {
    if (this.#sessions.get(session.id) !== session || session.client !== undefined) return;
    this.#sessions.delete(session.id);
    if (session.clean) return this.#forget(session);
    this.#sessions.set(session.id, session);
  }

  publish(publication: Publication): void {
    const { topic, payload, qos, retain } = publication;
    const packet = publish(publication, {});
    // A copy: a retained message must not keep the whole buffer it arrived in.
    const kept = { ...publication, payload: packet.subarray(packet.length - payload.length) };
    if (retain && payload.length === 0) this.#retained.delete(topic);
    else if (retain && (this.#retained.has(topic) || this.#retained.size < MOST_RETAINED)) {
      this.#retained.set(topic, kept);
    }
    for (const [session, granted] of this.#topics.of(topic)) {
      if (Math.min(qos, granted) === 0) session.offer(packet);
      else session.deliver(kept);
    }
  }

  /** The QoS granted, or a refusal. */
  subscribe(session: Session, filter: string, qos: number): number {
    if (!isFilter(filter)) return REFUSED;
    if (!session.filters.has(filter) && session.filters.size >= MOST_FILTERS) return REFUSED;
    const granted = Math.min(qos, 1);
    session.filters.add(filter);
    this.#topics.add(filter, session, granted);
    return granted;
  }

  unsubscribe(session: Session, filter: string): void {
    session.filters.delete(filter);
    this.#topics.delete(filter, session);
  }

  /** The retained messages of the topics that match. */
  retained(filter: string): Publication[] {
    const one = new Topics<true>();
    one.add(filter, true, 0);
    return [...this.#retained.values()].filter(({ topic }) => one.of(topic).size > 0);
  }

  #forget(session: Session): void {
    for (const filter of session.filters) this.#topics.delete(filter, session);
    this.#sessions.delete(session.id);
  }

  #forgetOneThatIsAway(): void {
    for (const session of this.#sessions.values()) {
      if (session.client === undefined) return this.#forget(session);
    }
  }
}
