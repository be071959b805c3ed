/** Sends a snapshot of the servers to every open page once a second, as server-sent events. @module */

import { formatAddress } from "../format_address.ts";
import type { Servers } from "./observed.ts";

/** Ms between two events; the timer runs only while a page is open. */
const PERIOD = 1000;

/** Event streams at once; each holds a connection and is written to every second. */
const MAX_STREAMS = 32;

/** Ms after which a browser connects again when its stream has ended. */
const RETRY = 3000;

const encoder = new TextEncoder();

type Stream = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

/** One event a second, made once and sent to every open page. */
export class LiveFeed {
  readonly #servers: Servers;
  readonly #actions: boolean;
  /** The client of each stream, the oldest first. */
  readonly #streams = new Map<Stream, string>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #ended = false;

  /** @param actions Whether the page may offer to close connections and to drain a server. */
  constructor(servers: Servers, actions: boolean) {
    this.#servers = servers;
    this.#actions = actions;
  }

  /**
   * A stream whose first event is already there. One too many ends another: the oldest of the client
   * that has most. So no client keeps the others out by holding streams that it does not read.
   *
   * @param client Its IP address.
   */
  open(client: string): ReadableStream<Uint8Array<ArrayBuffer>> {
    if (this.#streams.size >= MAX_STREAMS) this.#end(this.#mostExpendable());
    let stream: Stream;
    return new ReadableStream({
      start: (controller) => {
        stream = controller;
        stream.enqueue(encoder.encode(`retry: ${RETRY}\n\n${this.#event()}`));
        // After the end the state never changes again: one event, and the browser asks again later.
        if (this.#ended) return stream.close();
        this.#streams.set(stream, client);
        this.#timer ??= this.#start();
      },
      cancel: () => this.#remove(stream),
    });
  }

  /** Sends a last event and ends every stream. */
  end(): void {
    this.#ended = true;
    this.#send();
    for (const stream of this.#streams.keys()) this.#end(stream);
  }

  #start(): ReturnType<typeof setInterval> {
    const timer = setInterval(() => this.#send(), PERIOD);
    Deno.unrefTimer(timer as unknown as number);
    return timer;
  }

  #send(): void {
    if (this.#streams.size === 0) return;
    const event = encoder.encode(this.#event());
    for (const stream of this.#streams.keys()) {
      // A page that has not taken the last event skips this one: nothing is queued for it.
      if ((stream.desiredSize ?? 0) > 0) stream.enqueue(event);
    }
  }

  #event(): string {
    const event = {
      at: Date.now(),
      actions: this.#actions,
      servers: [...this.#servers].map(([name, server]) => {
        const { state, accepting, waitingFor, maxConnections, addrs } = server;
        return {
          name,
          state,
          accepting,
          waitingFor,
          addrs: addrs.map((addr) => formatAddress(addr)),
          // JSON has no Infinity.
          limit: maxConnections === Infinity ? null : maxConnections,
          stats: server.stats(),
          // Of a server that is no fleet nothing.
          workers: server.workers ?? [],
        };
      }),
    };
    return `data: ${JSON.stringify(event)}\n\n`;
  }

  #mostExpendable(): Stream {
    const counts = new Map<string, number>();
    for (const client of this.#streams.values()) {
      counts.set(client, (counts.get(client) ?? 0) + 1);
    }
    const most = Math.max(...counts.values());
    const [stream] = this.#streams.entries().find(([, client]) => counts.get(client) === most)!;
    return stream;
  }

  #end(stream: Stream): void {
    this.#remove(stream);
    stream.close();
  }

  #remove(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
