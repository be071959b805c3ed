/** Speaks to the workers of a fleet in lines. @module */

import { type Connection, connection, type Framed, framed, lines } from "../../mod.ts";

/** A client with a connection of its own. */
export class Asker implements Disposable {
  readonly #conn: Connection;
  readonly #framed: Framed<string>;

  private constructor(conn: Connection) {
    this.#conn = conn;
    this.#framed = framed(conn, lines());
  }

  static async connect({ port }: { readonly port: number }): Promise<Asker> {
    return new Asker(connection(await Deno.connect({ port, hostname: "127.0.0.1" })));
  }

  /** What is answered; `null` if the connection ends instead. */
  async ask(line: string): Promise<string | null> {
    try {
      await this.#framed.send(line);
      await this.#framed.flush();
      for await (const answer of this.#framed) return answer;
      return null;
    } catch (error) {
      if (error instanceof Deno.errors.ConnectionReset) return null;
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

/** Asks once, on a connection of its own. */
export async function ask(addr: { readonly port: number }, line: string): Promise<string | null> {
  using asker = await Asker.connect(addr);
  return await asker.ask(line);
}

/** Asks on so many connections that are open at once, which the workers of a fleet share evenly. */
export async function askAll(
  addr: { readonly port: number },
  line: string,
  connections: number,
): Promise<Set<string | null>> {
  using askers = new DisposableStack();
  const answers = new Set<string | null>();
  for (let i = 0; i < connections; i++) {
    const asker = askers.use(await Asker.connect(addr));
    answers.add(await asker.ask(line));
  }
  return answers;
}
