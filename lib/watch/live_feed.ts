/** How does the page hear what is new? @module */

/** Ms between two pieces of news; there is a timer only while somebody listens. */
const PERIOD = 1000;

/** Who may listen at once; each holds a connection and is written to every second. */
const MOST_LISTENERS = 32;

/** Ms after which a page comes again that was sent away. */
const COME_AGAIN = 3000;

const encoder = new TextEncoder();

type Listener = ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

/** The same news for everybody who listens, as server-sent events. */
export class LiveFeed {
  readonly #news: () => string;
  readonly #listeners = new Set<Listener>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #ended = false;

  /** @param news What is new, on one line. */
  constructor(news: () => string) {
    this.#news = news;
  }

  /** The news as a stream that begins at once; `null` if too many listen. */
  listen(): ReadableStream<Uint8Array<ArrayBuffer>> | null {
    if (this.#listeners.size >= MOST_LISTENERS) return null;
    let listener: Listener;
    return new ReadableStream({
      start: (controller) => {
        listener = controller;
        listener.enqueue(encoder.encode(`retry: ${COME_AGAIN}\n\n${this.#event()}`));
        // When all is over there is this one piece of news, and who wants to know comes again.
        if (this.#ended) return listener.close();
        this.#listeners.add(listener);
        this.#timer ??= this.#start();
      },
      cancel: () => this.#forget(listener),
    });
  }

  /** Sends the last news and sends everybody away: an open stream keeps a process alive. */
  end(): void {
    this.#ended = true;
    this.#tell();
    for (const listener of this.#listeners) {
      this.#forget(listener);
      listener.close();
    }
  }

  #start(): ReturnType<typeof setInterval> {
    const timer = setInterval(() => this.#tell(), PERIOD);
    Deno.unrefTimer(timer as unknown as number);
    return timer;
  }

  #tell(): void {
    if (this.#listeners.size === 0) return;
    const event = encoder.encode(this.#event());
    for (const listener of this.#listeners) {
      // Who has not taken the last news yet gets the next; nothing is kept for the slow.
      if ((listener.desiredSize ?? 0) > 0) listener.enqueue(event);
    }
  }

  #event(): string {
    return `data: ${this.#news()}\n\n`;
  }

  #forget(listener: Listener): void {
    this.#listeners.delete(listener);
    if (this.#listeners.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }
}
