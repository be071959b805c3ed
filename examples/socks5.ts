/**
 * A SOCKS5 proxy (RFC 1928): connects clients to any host that it can reach. With `--user` and
 * `--password` it asks for them (RFC 1929); without, it serves every client.
 *
 * deno run --allow-net examples/socks5.ts
 *
 * @module
 */

import {
  type Connection,
  connection,
  type Handler,
  ProtocolError,
  relay,
  serve,
} from "jsr:@usher/server@^0.2.0";
import { BinaryReader, BinaryWriter } from "jsr:@usher/server@^0.2.0/wire";
import { isEqual } from "./secret.ts";
import { start } from "./start.ts";

/** The user who may use the proxy. */
export interface Login {
  readonly user: string;
  readonly password: string;
}

/** Ms for a client to log in and send its request. */
const LOGIN_TIMEOUT = 10_000;

/** Ms to connect to the host that a client asks for. */
const CONNECT_TIMEOUT = 10_000;

/** Methods of authentication. */
const NONE = 0, PASSWORD = 2, NOT_ACCEPTABLE = 0xff;

const CONNECT = 1;

/** Address types. */
const IPV4 = 1, NAME = 3, IPV6 = 4;

/** Replies (RFC 1928, 6). */
const SUCCEEDED = 0, FAILED = 1, NOT_ALLOWED = 2, NETWORK_UNREACHABLE = 3, HOST_UNREACHABLE = 4;
const REFUSED = 5, UNKNOWN_COMMAND = 7, UNKNOWN_ADDRESS = 8;

/** The host that a client wants to reach. */
interface Target {
  readonly hostname: string;
  readonly port: number;
}

/** Makes the handler, which asks for the login if one is given. */
export function socks5(login?: Login): Handler {
  return async (conn) => {
    const client = new Client(conn);
    const target = await client.logIn(login);
    if (target === null) return;
    let socket: Deno.TcpConn;
    try {
      socket = await Deno.connect({ ...target, signal: AbortSignal.timeout(CONNECT_TIMEOUT) });
    } catch (error) {
      await client.reply(replyTo(error));
      return;
    }
    await using upstream = connection(socket);
    await client.reply(SUCCEEDED);
    await relay(conn, upstream);
  };
}

/** The SOCKS part of a connection, before its bytes are relayed. */
class Client {
  readonly #conn: Connection;

  constructor(conn: Connection) {
    this.#conn = conn;
  }

  /** The host that the client wants, or `null` after a reply that refuses it. */
  async logIn(login: Login | undefined): Promise<Target | null> {
    using _deadline = this.#conn.deadline(LOGIN_TIMEOUT);
    return await this.#authenticate(login) ? await this.#request() : null;
  }

  /** Sends a reply. Its bound address is unspecified: after CONNECT a client has no use for one. */
  async reply(code: number): Promise<void> {
    const reply = new BinaryWriter().u8(5).u8(code).u8(0).u8(IPV4).u32(0).u16(0);
    await this.#conn.write(reply.finish());
  }

  /** Negotiates a method and checks the login; returns whether the client may go on. */
  async #authenticate(login: Login | undefined): Promise<boolean> {
    await this.#version(5);
    const offered = await this.#read((await this.#read(1)).u8());
    const wanted = login === undefined ? NONE : PASSWORD;
    const isOffered = offered.rest().includes(wanted);
    await this.#conn.write(Uint8Array.of(5, isOffered ? wanted : NOT_ACCEPTABLE));
    if (!isOffered || login === undefined) return isOffered;

    await this.#version(1);
    const user = await this.#text();
    const password = await this.#text();
    // Both are compared, so that the time does not reveal which one is wrong.
    const isRight = [isEqual(user, login.user), isEqual(password, login.password)].every(Boolean);
    await this.#conn.write(Uint8Array.of(1, isRight ? 0 : 1));
    return isRight;
  }

  async #request(): Promise<Target | null> {
    await this.#version(5);
    const head = await this.#read(3);
    const command = head.u8();
    head.skip(1);
    const hostname = await this.#address(head.u8());
    if (hostname === null) return await this.#refuse(UNKNOWN_ADDRESS);
    const port = (await this.#read(2)).u16();
    return command === CONNECT ? { hostname, port } : await this.#refuse(UNKNOWN_COMMAND);
  }

  async #refuse(code: number): Promise<null> {
    await this.reply(code);
    return null;
  }

  async #version(wanted: number): Promise<void> {
    const version = (await this.#read(1)).u8();
    if (version !== wanted) throw new ProtocolError(`Cannot speak version ${version} of SOCKS`);
  }

  /** An address of the given type, or `null` if the type is unknown. */
  async #address(type: number): Promise<string | null> {
    if (type === NAME) return await this.#text();
    if (type === IPV4) return (await this.#read(4)).rest().join(".");
    if (type !== IPV6) return null;
    const reader = await this.#read(16);
    return Array.from({ length: 8 }, () => reader.u16().toString(16)).join(":");
  }

  /** A text prefixed by its length. */
  async #text(): Promise<string> {
    const size = (await this.#read(1)).u8();
    return (await this.#read(size)).string(size);
  }

  async #read(count: number): Promise<BinaryReader> {
    if (count === 0) return new BinaryReader(new Uint8Array());
    const bytes = await this.#conn.readExactly(count);
    if (bytes === null) throw new ProtocolError("Cannot serve a client that leaves in its login");
    return new BinaryReader(bytes, { name: "a login" });
  }
}

/** The reply code for an error from connecting. */
function replyTo(error: unknown): number {
  if (error instanceof Deno.errors.NotCapable) return NOT_ALLOWED;
  const { code, message, name } = error as Error & { code?: unknown };
  if (code === "ECONNREFUSED") return REFUSED;
  if (code === "ENETUNREACH") return NETWORK_UNREACHABLE;
  const isUnreachable = code === "EHOSTUNREACH" || code === "ETIMEDOUT" ||
    name === "TimeoutError" || message.includes("failed to lookup");
  return isUnreachable ? HOST_UNREACHABLE : FAILED;
}

function loginOf(user?: string, password?: string): Login | undefined {
  if (user === undefined && password === undefined) return undefined;
  if (user !== undefined && password !== undefined) return { user, password };
  throw new TypeError("Cannot use --user without --password, nor the other way: give both or none");
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/socks5.ts";
  const options = { user: "NAME", password: "SECRET" };
  await start(
    { command, port: 1080, options },
    (place, { user, password }) => serve(place, socks5(loginOf(user, password))),
  );
}
