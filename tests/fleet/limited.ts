/** Fleets whose limits a test chooses, and their clients. @module */

import { setEnvironmentData } from "node:worker_threads";
import { type Fleet, fleet, type FleetOptions } from "../../lib/fleet/mod.ts";
import { connection, type ServeTcpOptions } from "../../mod.ts";

/** Cells of the count of handlers in all workers: now, and the most at once. */
export const NOW = 0, MOST = 1;

/** What the program of the workers is given. */
export interface Limited {
  readonly handlers: SharedArrayBuffer;
  readonly options: Partial<ServeTcpOptions>;
}

/** Starts a fleet, and gives the count of handlers in all of its workers. */
export async function limited(
  workers: number,
  options: Partial<ServeTcpOptions>,
  rest: Partial<FleetOptions> = {},
): Promise<{ running: Fleet; handlers: Int32Array }> {
  const handlers = new SharedArrayBuffer(8);
  const data: Limited = { handlers, options: { shutdownTimeout: 1000, ...options } };
  setEnvironmentData("limited", data as never);
  const program = new URL("./programs/limited.ts", import.meta.url);
  const running = await fleet(program, { workers, ...rest });
  return { running, handlers: new Int32Array(handlers) };
}

/** A client, which a PROXY header can make that of another address. */
export class Client implements AsyncDisposable {
  readonly #conn: ReturnType<typeof connection>;

  constructor(conn: Deno.Conn) {
    this.#conn = connection(conn);
  }

  static async connect({ port }: Deno.NetAddr, from?: string): Promise<Client> {
    const client = new Client(await Deno.connect({ port }));
    if (from !== undefined) await client.#write(`PROXY TCP4 ${from} 127.0.0.1 1 1\r\n`);
    return client;
  }

  /** The worker that serves it; `null` if it was turned away. */
  async served(): Promise<string | null> {
    try {
      return await this.#conn.readLine();
    } catch {
      return null;
    }
  }

  async ask(line: string): Promise<string | null> {
    await this.#write(`${line}\n`);
    return await this.served();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#conn.end().catch(() => {});
  }

  #write(text: string): Promise<unknown> {
    return this.#conn.write(new TextEncoder().encode(text));
  }
}
