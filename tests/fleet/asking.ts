/** Speaks to the workers of a fleet in lines. @module */

import { assertEquals } from "@std/assert";
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
  ask(line: string): Promise<string | null> {
    return nullIfReset(async () => {
      await this.#framed.send(line);
      await this.#framed.flush();
      return await this.#receive();
    });
  }

  /** What is answered next; `null` if the connection ends instead. */
  next(): Promise<string | null> {
    return nullIfReset(() => this.#receive());
  }

  async #receive(): Promise<string | null> {
    for await (const answer of this.#framed) return answer;
    return null;
  }

  [Symbol.dispose](): void {
    this.#conn.close();
  }
}

/** A worker that does not turn its event loop, from `begin()` to `[Symbol.dispose]()`. */
export class Hang implements Disposable {
  readonly #path: string;

  private constructor(path: string) {
    this.#path = path;
  }

  /** Has the worker hang that serves `asker`, which is answered once more when it is over. */
  static async begin(asker: Asker): Promise<Hang> {
    const hang = new Hang(Deno.makeTempFileSync());
    assertEquals(await asker.ask(`hang ${hang.#path}`), "hangs");
    return hang;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.#path);
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

async function nullIfReset<T>(run: () => Promise<T>): Promise<T | null> {
  try {
    return await run();
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionReset) return null;
    throw error;
  }
}
