/** A client of Redis on one connection. @module */

import { type Connection, connection, type Framed, framed } from "jsr:@usher/server@^0.2.0";
import { type Command, commands, Failure, replies, type Reply } from "../kv/resp.ts";

const encoder = new TextEncoder();

/** Sends commands as they come, and matches replies to them by their order. */
export class Redis {
  readonly #conn: Connection;
  readonly #commands: Framed<Command>;
  readonly #timeout: number;
  /** Commands that are not answered yet, in the order in which they were sent. */
  readonly #sent: PromiseWithResolvers<Reply>[] = [];
  /** Resolves when the connection is over. */
  readonly over: Promise<void>;

  private constructor(conn: Connection, timeout: number) {
    this.#conn = conn;
    this.#commands = framed(conn, commands);
    this.#timeout = timeout;
    this.over = this.#read();
  }

  /**
   * Connects.
   *
   * @param timeout Ms for that, and for each reply.
   */
  static async connect(address: Deno.ConnectOptions, timeout: number): Promise<Redis> {
    const socket = await Deno.connect({ ...address, signal: AbortSignal.timeout(timeout) });
    return new Redis(connection(socket, { idleTimeout: Infinity }), timeout);
  }

  /** Sends a command; rejects with the error that Redis answers, or if the connection is over first. */
  async call(...words: (string | number)[]): Promise<Reply> {
    const reply = Promise.withResolvers<Reply>();
    this.#sent.push(reply);
    // Late replies could not be told from those that are due, so nothing more is read.
    const late = setTimeout(() => this.#conn.close("no reply"), this.#timeout);
    try {
      await this.#commands.send(words.map((word) => encoder.encode(`${word}`)));
      const answer = await reply.promise;
      if (answer instanceof Failure) throw new Error(answer.text);
      return answer;
    } finally {
      clearTimeout(late);
    }
  }

  async #read(): Promise<void> {
    try {
      for await (const reply of framed(this.#conn, replies)) this.#sent.shift()?.resolve(reply);
    } catch {
      // What is not answered is rejected, and says so.
    }
    this.#conn.close();
    const error = new Deno.errors.ConnectionAborted("Redis has gone away");
    for (const reply of this.#sent.splice(0)) {
      reply.promise.catch(() => {});
      reply.reject(error);
    }
  }

  /** Closes the connection; what is not answered is rejected. */
  close(): void {
    this.#conn.close();
  }
}
