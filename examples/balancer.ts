/**
 * A balancer for TLS that does not terminate it: it reads the server name that a client asks for and
 * relays the connection, still encrypted, to the backend of that name with the fewest connections. The
 * backend learns the client's address from a PROXY header. One that cannot be reached comes last until
 * a check reaches it again. `--to` takes several backends with commas between them, also of one name;
 * `*` stands for any other name, and for clients that send none.
 *
 * deno run --allow-net examples/balancer.ts --to localhost=127.0.0.1:8443
 *
 * @module
 */

import { type Connection, connection, type Handler, relay, serve } from "jsr:@usher/server@^0.2.0";
import { type ClientHello, clientHello, encodeProxyHeader } from "jsr:@usher/server@^0.2.0/wire";
import { start } from "./start.ts";

/** Ms for a client to send the server name that it wants. */
const HELLO_TIMEOUT = 10_000;

/** Ms to connect to a backend: within one network, more means that it is down. */
const CONNECT_TIMEOUT = 1_000;

/** Ms between two checks of a backend. */
const CHECK_INTERVAL = 2_000;

/** Stands for any name that is not listed. */
const ANY = "*";

/** TLS alerts, both fatal: no such name here (RFC 6066, 3), and no backend (RFC 8446, 6). */
const UNRECOGNIZED_NAME = Uint8Array.of(21, 3, 3, 0, 2, 2, 112);
const INTERNAL_ERROR = Uint8Array.of(21, 3, 3, 0, 2, 2, 80);

/** A server behind the balancer. */
export class Backend {
  readonly name: string;
  readonly hostname: string;
  readonly port: number;
  /** Connections to it, established or connecting. */
  active = 0;
  /** Whether the last connect or check succeeded. */
  isUp = true;

  constructor(name: string, hostname: string, port: number) {
    this.name = name;
    this.hostname = hostname;
    this.port = port;
  }

  /** Connects within a second, and remembers whether that worked. */
  async connect(): Promise<Deno.TcpConn | null> {
    const { hostname, port } = this;
    try {
      const signal = AbortSignal.timeout(CONNECT_TIMEOUT);
      const socket = await Deno.connect({ hostname, port, signal });
      this.isUp = true;
      return socket;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      this.isUp = false;
      return null;
    }
  }

  /** Counts a connection until it is disposed of. */
  hold(): Disposable {
    this.active++;
    return { [Symbol.dispose]: () => void this.active-- };
  }
}

/** The backends, checked from time to time until they are disposed of. */
export class Backends implements Disposable {
  readonly #all: readonly Backend[];
  readonly #checks: ReturnType<typeof setInterval>;

  constructor(all: readonly Backend[]) {
    this.#all = all;
    this.#checks = setInterval(() => this.check(), CHECK_INTERVAL);
    Deno.unrefTimer(this.#checks);
  }

  /** Connects to each backend, and closes at once. */
  async check(): Promise<void> {
    await Promise.all(this.#all.map(async (backend) => (await backend.connect())?.close()));
  }

  /** The backends of a name: those that are up first, and of these the least busy first. */
  of(name: string | undefined): Backend[] {
    const named = this.#all.filter((backend) => backend.name === name);
    const found = named.length > 0 ? named : this.#all.filter(({ name }) => name === ANY);
    return found.toSorted((a, b) => Number(b.isUp) - Number(a.isUp) || a.active - b.active);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#checks);
  }
}

/** Makes the handler that relays one client. */
export function balancer(backends: Backends): Handler {
  return async (conn) => {
    const hello = await readHello(conn);
    if (hello === null) return;
    const candidates = backends.of(hello.serverName);
    // If one fails, the next one gets the client: none of its bytes are consumed yet.
    for (const backend of candidates) {
      using _held = backend.hold();
      const socket = await backend.connect();
      if (socket === null) continue;
      await using upstream = connection(socket);
      await upstream.write(proxyHeaderFor(conn, hello));
      await relay(conn, upstream);
      return;
    }
    const isKnown = candidates.length > 0;
    await conn.write(isKnown ? INTERNAL_ERROR : UNRECOGNIZED_NAME);
    await conn.end(isKnown ? "no backend" : "unknown server name");
  };
}

/** The client's ClientHello, not consumed; `null` if the client left before. */
async function readHello(conn: Connection): Promise<ClientHello | null> {
  using _deadline = conn.deadline(HELLO_TIMEOUT);
  let hello = clientHello(new Uint8Array());
  while ("need" in hello) {
    const bytes = await conn.peek(hello.need);
    if (bytes.length < hello.need) return null;
    hello = clientHello(bytes);
  }
  return hello;
}

function proxyHeaderFor(conn: Connection, { serverName }: ClientHello): Uint8Array<ArrayBuffer> {
  return encodeProxyHeader({
    version: 2,
    command: "PROXY",
    source: conn.remoteAddr as Deno.NetAddr,
    destination: conn.localAddr as Deno.NetAddr,
    ...(serverName === undefined ? {} : { tlvs: { authority: serverName } }),
  });
}

/** Reads `NAME=HOST:PORT`, several of them with commas between them; an IPv6 address in brackets. */
export function parseBackends(text: string): Backend[] {
  return text.split(",").map((entry) => {
    const [, name = "", host = "", port = ""] = /^([^=\s]+)=(.+):(\d{1,5})$/.exec(entry) ?? [];
    if (!URL.canParse(`tcp://${host}:${port}`)) {
      throw new TypeError(`Cannot balance --to "${entry}": use NAME=HOST:PORT`);
    }
    return new Backend(name.toLowerCase(), host.replace(/^\[(.*)\]$/, "$1"), Number(port));
  });
}

if (import.meta.main) {
  const command = "deno run --allow-net examples/balancer.ts --to localhost=127.0.0.1:8443";
  await start(
    { command, port: 7443, flags: ["to"] },
    (place, { to }) => serve(place, balancer(new Backends(parseBackends(to)))),
  );
}
