/**
 * Answers PostgreSQL clients, in clear or inside TLS, from a few tables of its own: `psql` works with it.
 * The certificate is found as in `tls_echo.ts`. With `--password` it asks for one, inside TLS only.
 *
 * deno run --allow-net --allow-read --allow-write examples/postgres.ts
 *
 * @module
 */

import {
  type Connection,
  type Framed,
  framed,
  type Handler,
  type Message,
  serve,
  type Server,
  type StartTlsOptions,
} from "jsr:@usher/server@^0.2.0";
import { BinaryReader } from "jsr:@usher/server@^0.2.0/wire";
import { CERTIFICATE_OPTIONS, findCertificate } from "./certificate.ts";
import {
  dataRow,
  errorResponse,
  greetings,
  type Key,
  keyOf,
  message,
  messages,
  READY,
  rowDescription,
  type Startup,
  startups,
} from "./postgres/messages.ts";
import { QueryError, tableOf } from "./postgres/tables.ts";
import { isEqual } from "./secret.ts";
import { start } from "./start.ts";

/** Ms from the first byte of a client to its password. */
const LOGIN_TIMEOUT = 10_000;

/** Options of the handler. */
export interface PostgresOptions {
  readonly tls: StartTlsOptions;
  /** Without one, every client is let in. */
  readonly password?: string | undefined;
  /** The server itself, whose connections are a table. */
  server(): Server;
}

/** Makes the handler. */
export function postgres(options: PostgresOptions): Handler {
  // By the numbers that a client must send to cancel its query.
  const sessions = new Map<string, Session>();
  return async (conn) => {
    const entered = await enter(conn, options, sessions);
    if (entered === null) return;
    const { session, minor } = entered;
    const key = { pid: conn.id, secret: crypto.getRandomValues(new Uint32Array(1))[0]! };
    sessions.set(keyOf(key), session);
    try {
      await session.serve(key, minor);
    } finally {
      sessions.delete(keyOf(key));
    }
  };
}

/** Handles the first message; `null` where it asks for no session, or the login fails. */
async function enter(
  conn: Connection,
  options: PostgresOptions,
  sessions: ReadonlyMap<string, Session>,
): Promise<{ session: Session; minor: number } | null> {
  using _ = conn.deadline(LOGIN_TIMEOUT);
  const startup = await greet(conn, options.tls);
  if (startup === null) return null;
  if (startup.kind === "cancel") {
    sessions.get(keyOf(startup))?.cancel();
    return null;
  }
  const session = new Session(conn, options);
  return await session.logIn() ? { session, minor: startup.minor } : null;
}

/** Upgrades to TLS if the client asks for it, and returns its first message after that. */
async function greet(conn: Connection, tls: StartTlsOptions) {
  for (let asked = 0; asked < 3; asked++) {
    const startup: Startup | null = await framed(conn, startups).read();
    if (startup?.kind !== "ssl" && startup?.kind !== "gssapi") return startup;
    const isOffered = startup.kind === "ssl" && conn.tls === undefined;
    await conn.write(new TextEncoder().encode(isOffered ? "S" : "N"));
    if (isOffered) await conn.startTls(tls);
  }
  return null;
}

/** One client, after its startup message. */
class Session {
  readonly #conn: Connection;
  readonly #options: PostgresOptions;
  readonly #client: Framed<Message<string>>;
  #query = new AbortController();

  constructor(conn: Connection, options: PostgresOptions) {
    this.#conn = conn;
    this.#options = options;
    this.#client = framed(conn, messages);
  }

  /** Cancels the running query. */
  cancel(): void {
    this.#query.abort();
  }

  /** Asks for the password, if there is one; whether the client may go on. */
  async logIn(): Promise<boolean> {
    const { password } = this.#options;
    if (password === undefined) return true;
    if (this.#conn.tls === undefined) {
      return await this.#refuse("Passwords are taken inside TLS only");
    }
    await this.#client.send(message("R", (writer) => writer.u32(3)));
    const answer = await this.#client.read();
    if (answer?.header !== "p") return await this.#refuse("A password was expected");
    const given = new BinaryReader(answer.body, { name: "a password" }).cstring();
    return isEqual(given, password) || await this.#refuse("The password is wrong");
  }

  /** Answers queries until the client leaves, or until the server stops, which it announces. */
  async serve(key: Key, minor: number): Promise<void> {
    const client = this.#client;
    for (const greeting of greetings(key, minor)) client.send(greeting);
    await client.send(READY);

    let isSkipping = false;
    for await (const { header, body } of client) {
      if (header === "X") return;
      if (header === "Q") {
        await this.#simpleQuery(new BinaryReader(body, { name: "a query" }).cstring());
      } else if (header === "S") {
        isSkipping = false;
        await client.send(READY);
      } else if (!isSkipping) {
        // The extended protocol is not supported: everything up to its Sync gets one error.
        isSkipping = true;
        await client.send(errorResponse("ERROR", "0A000", "Only simple queries are understood"));
      }
    }
    if (this.#conn.draining) {
      await client.send(errorResponse("FATAL", "57P01", "The server is being shut down"));
    }
  }

  /** Runs the statements between semicolons in turn, up to the first error. */
  async #simpleQuery(text: string): Promise<void> {
    this.#query = new AbortController();
    const queries = text.split(";").filter((query) => query.trim() !== "");
    if (queries.length === 0) await this.#client.send(message("I"));
    try {
      for (const query of queries) await this.#select(query, this.#query.signal);
    } catch (error) {
      if (!(error instanceof QueryError)) throw error;
      await this.#client.send(errorResponse("ERROR", error.code, error.message));
    }
    await this.#client.send(READY);
  }

  async #select(query: string, signal: AbortSignal): Promise<void> {
    const { columns, rows } = tableOf(query, this.#options.server, signal);
    await this.#client.send(rowDescription(columns));
    let count = 0;
    for await (const row of rows()) {
      if (signal.aborted) throw new QueryError("57014", "The query was cancelled by its user");
      await this.#client.send(dataRow(row));
      count++;
    }
    await this.#client.send(message("C", (writer) => writer.cstring(`SELECT ${count}`)));
  }

  async #refuse(why: string): Promise<false> {
    await this.#client.send(errorResponse("FATAL", "28P01", why));
    return false;
  }
}

if (import.meta.main) {
  const command = "deno run --allow-net --allow-read --allow-write examples/postgres.ts";
  const options = { ...CERTIFICATE_OPTIONS, password: "SECRET" };
  await start({ command, port: 5432, options }, async (place, { password, ...files }) => {
    const { cert, key, certFile } = await findCertificate(files);
    const options = { tls: { cert, key }, password, server: () => listening };
    const listening: Server<Deno.NetAddr> = serve(place, postgres(options));
    const { hostname, port } = listening.addr;
    const hint = `psql "host=${hostname} port=${port} sslmode=verify-ca sslrootcert=${certFile}"`;
    return { listening, hint };
  });
}
