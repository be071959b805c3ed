/** Listens on a socket that this process was started with, through `node:net`, as Deno itself cannot. @module */

import type * as Net from "node:net";
import type * as Util from "node:util";
import { disarmCompilerPanic } from "./descriptor_panics.ts";
import { NodeConn } from "./node_conn.ts";

/** Sockets that are taken from the kernel before an accept asks for them, so that few wait at once. */
const MOST_READY = 64;

/**
 * Ms after which a pending accept listens anew. When no descriptor is free, Deno 2.9 stops watching
 * the socket, without an error.
 */
const LISTEN_ANEW_AFTER = 1000;

/** What a handle is made for, by libuv's numbers. */
const FOR_SOCKET = 0;
const FOR_SERVER = 1;

/** Deno never passes it on: the socket listens already. */
const BACKLOG = 511;

/** Taken while the module loads, so that a fake clock does not stop accepting. */
const realSetInterval = setInterval;
const realClearInterval = clearInterval;

/** What of `node:net`'s own handle is used here; results below 0 are errors. */
interface Handle {
  onconnection: (status: number) => void;
  open(fd: number): number;
  listen(backlog: number): number;
  accept(client: Handle): number;
  /** A duplicate of the descriptor, or -1 where none is free. */
  fdForIpc(): number;
  close(): void;
  ref(): void;
  unref(): void;
}

type HandleClass = new (purpose: number) => Handle;

/**
 * A listener on an inherited descriptor, TCP or Unix.
 *
 * `net.Server` accepts without asking whether there is room for one more, so it is used to open the
 * descriptor only. Its handle stops watching the socket when a connection is left with it, and is not
 * started again by taking that: then a new handle is made over a duplicate of the descriptor.
 */
export class DescriptorListener implements Deno.Listener {
  readonly addr: Deno.Addr;
  readonly #ready: Handle[] = [];
  #handle: Handle;
  /** A connection was left with the handle, which does not watch the socket any more. */
  #stopped = false;
  #pending: PromiseWithResolvers<Deno.Conn> | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #closed = false;
  #unref = false;

  /**
   * @throws {Deno.errors.InvalidData} If the descriptor is not a socket that can be listened on.
   * @throws {Deno.errors.NotSupported} If this Deno lacks what is needed of `node:net`.
   */
  constructor(fd: number) {
    // The whole queue of the kernel may be accepted at once, before anything here can count.
    disarmCompilerPanic();
    const server = net().createServer();
    server.on("error", () => {}); // comes later; `listening` is known now
    server.listen({ fd });
    const handle = (server as unknown as { _handle: Handle | null })._handle;
    if (!server.listening || handle === null) {
      throw new Deno.errors.InvalidData("it is not a socket to listen on");
    }
    if (typeof handle.accept !== "function" || typeof handle.fdForIpc !== "function") {
      server.close();
      throw new Deno.errors.NotSupported("this Deno lacks what is needed: use 2.9.5 or 2.9.6");
    }
    this.addr = addressOf(server.address(), fd);
    this.#handle = handle;
    handle.onconnection = this.#onConnection;
    // As with Deno's own listeners, it is a pending accept that keeps the process alive.
    handle.unref();
  }

  accept(): Promise<Deno.Conn> {
    if (this.#closed) return Promise.reject(closedError());
    if (this.#pending !== undefined) {
      return Promise.reject(new Deno.errors.Busy("Another accept task is ongoing"));
    }
    const client = this.#take();
    if (client !== null) return connOf(client, this.addr);
    try {
      if (this.#stopped) this.#listenAnew();
    } catch (error) {
      return Promise.reject(error);
    }
    this.#pending = Promise.withResolvers();
    const { promise } = this.#pending;
    if (!this.#unref) this.#handle.ref();
    this.#watch();
    return promise;
  }

  close(): void {
    if (this.#closed) throw closedError();
    this.#closed = true;
    this.#settle(closedError());
    for (let client; (client = this.#take()) !== null;) client.close();
    this.#handle.close();
  }

  ref(): void {
    this.#unref = false;
    if (this.#pending !== undefined) this.#handle.ref();
  }

  unref(): void {
    this.#unref = true;
    this.#handle.unref();
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Deno.Conn> {
    throw new TypeError("Cannot iterate over the bare listener: use listen() or serve()");
  }

  /** A connection that has been accepted already, or `null`. */
  #take(): Handle | null {
    return this.#ready.shift() ?? acceptFrom(this.#handle);
  }

  readonly #onConnection = (status: number): void => {
    if (status < 0) return this.#settle(errorOf(status));
    if (this.#ready.length >= MOST_READY) {
      this.#stopped = true;
      return;
    }
    const client = acceptFrom(this.#handle);
    if (client === null) return;
    this.#ready.push(client);
    this.#settle();
  };

  /** Lets a pending accept have what is ready, or fail. */
  #settle(error?: unknown): void {
    const pending = this.#pending;
    if (pending === undefined) return;
    const client = error === undefined ? this.#take() : null;
    if (error === undefined && client === null) return;
    this.#pending = undefined;
    this.#handle.unref();
    realClearInterval(this.#timer);
    if (client === null) pending.reject(error);
    else connOf(client, this.addr).then(pending.resolve, pending.reject);
  }

  #watch(): void {
    this.#timer = realSetInterval(() => {
      try {
        const isShort = this.#listenAnew(true);
        this.#settle(isShort ? errorOf("EMFILE") : undefined);
      } catch (error) {
        this.#settle(error);
      }
    }, LISTEN_ANEW_AFTER);
    Deno.unrefTimer(this.#timer as unknown as number);
  }

  /** @returns If `probe`, whether it took the last descriptor: then no client can be accepted. */
  #listenAnew(probe = false): boolean {
    const next = this.#duplicate();
    next.onconnection = this.#onConnection;
    const status = next.listen(BACKLOG);
    if (status < 0) {
      next.close();
      throw errorOf(status);
    }
    if (this.#unref || this.#pending === undefined) next.unref();
    const isShort = probe && this.#hasNoDescriptor();
    // Nothing of ours runs between the last accept of the old one and its end.
    for (let client; (client = acceptFrom(this.#handle)) !== null;) this.#ready.push(client);
    this.#handle.close();
    this.#handle = next;
    this.#stopped = false;
    return isShort;
  }

  #hasNoDescriptor(): boolean {
    try {
      this.#duplicate().close();
      return false;
    } catch {
      return true;
    }
  }

  #duplicate(): Handle {
    const fd = this.#handle.fdForIpc();
    // It says no more than that; the others that it could mean are no reason to give up either.
    if (fd < 0) throw errorOf("EMFILE");
    const handle = new (classOf(this.#handle))(FOR_SERVER);
    const status = handle.open(fd);
    if (status < 0) throw errorOf(status);
    return handle;
  }
}

/** A connection that the handle has accepted, or `null`. */
function acceptFrom(handle: Handle): Handle | null {
  const client = new (classOf(handle))(FOR_SOCKET);
  return handle.accept(client) === 0 ? client : null;
}

/** TCP or Unix, as its listener is. */
function classOf(handle: Handle): HandleClass {
  return handle.constructor as HandleClass;
}

function connOf(handle: Handle, localAddr: Deno.Addr): Promise<Deno.Conn> {
  const { Socket } = net();
  const socket = new Socket({
    handle,
    allowHalfOpen: true,
    pauseOnCreate: true,
    readable: true,
    writable: true,
  } as unknown as Net.SocketConstructorOpts);
  if ("path" in localAddr) {
    return Promise.resolve(new NodeConn(socket, localAddr, { transport: "unix", path: "" }));
  }
  const { remoteAddress, remotePort, localAddress, localPort } = socket;
  if (remoteAddress === undefined || remotePort === undefined) {
    socket.destroy();
    return Promise.reject(errorOf("ENOTCONN", Deno.errors.NotConnected));
  }
  const transport = "tcp";
  return Promise.resolve(
    new NodeConn<Deno.NetAddr>(
      socket,
      { transport, hostname: localAddress!, port: localPort! },
      { transport, hostname: remoteAddress, port: remotePort },
    ),
  );
}

/** Deno cannot tell the path of a Unix socket that it has not bound. */
function addressOf(address: ReturnType<Net.Server["address"]>, fd: number): Deno.Addr {
  if (address === null || typeof address === "string") {
    return { transport: "unix", path: address ?? `/dev/fd/${fd}` };
  }
  return { transport: "tcp", hostname: address.address, port: address.port };
}

function errorOf(status: number | string, ErrorClass: new (m: string) => Error = Error): Error {
  const code = typeof status === "string" ? status : util().getSystemErrorName(status);
  return Object.assign(new ErrorClass(`accept ${code}`), { code });
}

function closedError(): Error {
  return new Deno.errors.BadResource("Listener has been closed");
}

/** Loaded at first use only: few servers are started with a socket. */
function net(): typeof Net {
  return builtin("node:net");
}

function util(): typeof Util {
  return builtin("node:util");
}

function builtin<Module>(name: string): Module {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: string): Module };
  };
  return process.getBuiltinModule(name);
}
