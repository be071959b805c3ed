/** Carries messages between servers through NATS, and says when it cannot. @module */

import {
  connect,
  createInbox,
  type Msg,
  type NatsConnection,
  type PublishOptions,
} from "npm:@nats-io/transport-node@^3";
import { setTimeout as delay } from "node:timers/promises";

/** Ms between two tries to connect, and at most as many more, so that not all servers come at once. */
const RETRY = 250;

/** Ms between two pings; the third without an answer is the end of a connection. */
const PING = 2000;

/** What a server does with messages. */
export interface Listener {
  /** Another server has published something. */
  heard(message: unknown): void;
  /** Another server has asked something; what to answer. */
  asked(question: unknown): unknown;
  /** The bus is there now, or has gone away. */
  changed(isUp: boolean): void;
}

/** A subject of NATS. A connection that is lost is made again; what is published meanwhile is lost. */
export class Bus {
  /** Whether messages reach the others. */
  isUp = false;
  readonly #server: string;
  readonly #subject: string;
  readonly #listener: Listener;
  readonly #report: (sentence: string) => void;
  readonly #closing = new AbortController();
  readonly #tried = Promise.withResolvers<void>();
  readonly #closed: Promise<void>;
  #nats: NatsConnection | undefined;
  #hasReported = false;
  #hasHeardStrange = false;

  constructor(
    server: string,
    subject: string,
    listener: Listener,
    report: (sentence: string) => void,
  ) {
    this.#server = server;
    this.#subject = subject;
    this.#listener = listener;
    this.#report = report;
    this.#closed = this.#run();
  }

  /** Resolves once it is known whether it is there; rejects if this process may not connect to it. */
  get tried(): Promise<void> {
    return this.#tried.promise;
  }

  /** Tells all other servers, if they can be reached. */
  publish(message: object): void {
    if (this.isUp) this.#send(this.#subject, message);
  }

  /** Asks all other servers; resolves after so many answers or ms. Each answer is heard as it comes. */
  async ask(
    question: object,
    answers: { most: number; wait: number; heard: (answer: unknown) => void },
  ): Promise<void> {
    if (!this.isUp || answers.most === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, answers.wait);
    const inbox = createInbox();
    let heard = 0;
    const subscription = this.#nats!.subscribe(inbox, {
      callback: (_, message) => {
        // NATS answers with nothing where no server listens.
        if (message.data.length === 0) return resolve();
        this.#read(message, answers.heard);
        if (++heard === answers.most) resolve();
      },
    });
    this.#send(`${this.#subject}.ask`, question, { reply: inbox });
    await promise;
    clearTimeout(timer);
    subscription.unsubscribe();
  }

  /** Sends what was published, and leaves. */
  async close(): Promise<void> {
    this.#closing.abort();
    await (this.isUp ? this.#nats?.drain() : this.#nats?.close())?.catch(() => {});
    await this.#closed;
  }

  async #run(): Promise<void> {
    const nats = await this.#connect();
    if (nats === undefined) return;
    if (this.#closing.signal.aborted) return await nats.close();
    this.#nats = nats;
    nats.subscribe(this.#subject, {
      callback: (_, message) => this.#read(message, (said) => this.#listener.heard(said)),
    });
    nats.subscribe(`${this.#subject}.ask`, {
      callback: (_, message) =>
        this.#read(
          message,
          (question) => message.respond(JSON.stringify(this.#listener.asked(question))),
        ),
    });
    this.#change(true);
    this.#tried.resolve();
    for await (const { type } of nats.status()) {
      if (type === "disconnect") this.#change(false);
      if (type === "reconnect") this.#change(true);
    }
    // It gives up only if NATS refuses this client.
    if (!this.#closing.signal.aborted) this.#change(false);
  }

  async #connect(): Promise<NatsConnection | undefined> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      try {
        return await connect({
          servers: this.#server,
          noEcho: true,
          maxReconnectAttempts: -1,
          reconnectTimeWait: RETRY,
          reconnectJitter: RETRY,
          pingInterval: PING,
        });
      } catch (error) {
        if (error instanceof Deno.errors.NotCapable) {
          this.#tried.reject(error);
          return undefined;
        }
        if (!this.#hasReported) this.#reportAway(error);
        this.#tried.resolve();
        await delay(RETRY * (1 + Math.random()), undefined, { signal }).catch(() => {});
      }
    }
    return undefined;
  }

  #change(isUp: boolean): void {
    if (isUp === this.isUp) return;
    this.isUp = isUp;
    if (!isUp) this.#reportAway();
    else if (this.#hasReported) this.#report(`NATS at ${this.#server} is back`);
    this.#listener.changed(isUp);
  }

  #reportAway(error?: unknown): void {
    this.#hasReported = true;
    const why = error instanceof Error ? ` (${error.message})` : "";
    this.#report(`NATS at ${this.#server} is away${why}: guests hear only those of this server`);
  }

  /** What NATS does not take, such as more than its `max_payload`, is reported and ends nothing. */
  #send(subject: string, message: object, options?: PublishOptions): void {
    try {
      this.#nats!.publish(subject, JSON.stringify(message), options);
    } catch (error) {
      this.#report(`Cannot publish on ${subject}: ${(error as Error).message}`);
    }
  }

  /** Nor does what is no message of ours. */
  #read(message: Msg, use: (value: unknown) => void): void {
    try {
      use(message.json());
    } catch (error) {
      if (!this.#hasHeardStrange) {
        this.#report(`Others use ${message.subject}, too: ${(error as Error).message}`);
      }
      this.#hasHeardStrange = true;
    }
  }
}
