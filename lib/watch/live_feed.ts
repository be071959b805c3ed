/** Sends a snapshot of the server to every open page once a second, as server-sent events. @module */

import { formatAddress } from "../format_address.ts";
import type { Server } from "../server/server.ts";
import { steadyStats } from "./observed.ts";

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
  readonly #server: Server;
  readonly #actions: boolean;
  readonly #streams = new Set<Stream>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #ended = false;

  /** @param actions Whether the page may offer to close connections and to drain the server. */
  constructor(server: Server, actions: boolean) {
    this.#server = server;
    this.#actions = actions;
  }

  /** A stream whose first event is already there; `null` if there are too many. */
  open(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    if (this.#streams.size >= MAX_STREAMS) return null;
    let stream: Stream;
    return new ReadableStream({
      start: (controller) => {
        stream = controller;
        stream.enqueue(encoder.encode(`retry: ${RETRY}\n\n${this.#event()}`));
        // After the end the state never changes again: one event, and the browser asks again later.
        if (this.#ended) return stream.close();
        this.#streams.add(stream);
        this.#timer ??= this.#start();
      },
      cancel: () => this.#remove(stream),
    });
  }

  /** Sends a last event and ends every stream: an open one keeps the process alive. */
  end(): void {
    this.#ended = true;
    this.#send();
    for (const stream of this.#streams) {
      this.#remove(stream);
      stream.close();
    }
  }

  #start(): ReturnType<typeof setInterval> {
    const timer = setInterval(() => this.#send(), PERIOD);
    Deno.unrefTimer(timer as unknown as number);
    return timer;
  }

  #send(): void {
    if (this.#streams.size === 0) return;
    const event = encoder.encode(this.#event());
    for (const stream of this.#streams) {
      // A page that has not taken the last event skips this one: nothing is queued for it.
      if ((stream.desiredSize ?? 0) > 0) stream.enqueue(event);
    }
  }

  #event(): string {
    return `data: ${JSON.stringify(snapshot(this.#server, this.#actions))}\n\n`;
  }

  #remove(stream: Stream): void {
    this.#streams.delete(stream);
    if (this.#streams.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}

/** Everything that the page shows but the table. */
function snapshot(server: Server, actions: boolean) {
  const { state, accepting, waitingFor, maxConnections, addrs } = server;
  return {
    at: Date.now(),
    state,
    accepting,
    waitingFor,
    addrs: addrs.map((addr) => formatAddress(addr)),
    // JSON has no Infinity.
    limit: maxConnections === Infinity ? null : maxConnections,
    actions,
    stats: steadyStats(server),
  };
}
