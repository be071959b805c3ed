/** Speaks TLS over a socket that is already open, reading only on demand. @module */

import { Handshake, type TlsInfo, type TlsSide } from "./handshake.ts";
import type { TlsEngine, TlsEvents } from "./tls_engine.ts";

/** Bytes that a read has room for: few while idle, more the more each one brings. */
const ROOMS = [2048, 16_384, 65_536];

/**
 * Bytes that TLS occupies beyond an idle connection's with each of these rooms, the engine's own buffers
 * included: resident memory, measured.
 */
const OCCUPIED = [0, 34_816, 131_072];

/** Reads in a row that may bring nothing; a socket that never brings anything must not block all others. */
const MOST_EMPTY_READS = 100;

/**
 * Bytes that one write takes: three full records. A caller sees progress in these steps, as in the
 * 64 KiB of Deno's own TLS, and Deno's engine would keep what is above it for a later call.
 */
const MOST_AT_ONCE = 49_152;

/** What counts the memory of the connections of a server. */
export interface MemoryCounter {
  /** So many bytes more are occupied, or less if the number is below 0. */
  take(bytes: number): void;
}

/**
 * A connection inside TLS, over any `Deno.Conn`; one read at a time. It reads from the socket only
 * while its owner reads from it, and holds no more than one such read brings: a peer that keeps
 * sending fills the kernel's buffers, not this process.
 */
export class TlsSocket implements Deno.Conn, TlsEvents {
  readonly #raw: Deno.Conn;
  /** Until it is complete or has failed. */
  #handshake: Handshake | undefined;
  #info: Promise<TlsInfo> | undefined;
  /** From when the handshake is complete. */
  #engine: TlsEngine | undefined;
  #closed = false;

  /** Where ciphertext arrives, and which of the sizes that is. */
  #room = NOTHING;
  #size = 0;
  #arrived = NOTHING;
  /** Counts the memory that TLS occupies. */
  readonly #memory: MemoryCounter | undefined;
  /** Bytes of it. */
  occupied = 0;
  /** Decrypted and not yet read, as reads before had no room for it. */
  #cleartext: Uint8Array = NOTHING;
  /** What the pending read fills. */
  #into: Uint8Array | undefined;
  /** The peer's close_notify has come. */
  #ended = false;
  /** Why nothing can be read any more: a truncated stream stays truncated. */
  #readFailure: unknown;

  /** Ciphertext being sent, and how many bytes of the caller's it holds. */
  #leaving = NOTHING;
  #taken = 0;
  /** What is being sent or waits for its turn, and the last of it: records must not interleave. */
  #inLine = 0;
  #last: Promise<unknown> | undefined;
  #finished = false;
  /** Our direction ends without close_notify. */
  #cut = false;
  #writeFailure: unknown;

  /**
   * @param raw The socket, which belongs to this one from now on.
   * @param ahead What was read from it already.
   * @param side What the handshake is made with, asked for when it begins.
   * @param begun Called when a client's first byte has come.
   * @param memory What counts the memory that TLS occupies, where something does.
   */
  constructor(
    raw: Deno.Conn,
    ahead: Uint8Array<ArrayBuffer>,
    side: TlsSide,
    begun?: () => void,
    memory?: MemoryCounter,
  ) {
    this.#raw = raw;
    this.#memory = memory;
    this.#handshake = new Handshake(raw, ahead, side, begun);
  }

  get localAddr(): Deno.Addr {
    return this.#raw.localAddr;
  }

  get remoteAddr(): Deno.Addr {
    return this.#raw.remoteAddr;
  }

  get readable(): ReadableStream<Uint8Array<ArrayBuffer>> {
    throw unsupported("readable", "read()");
  }

  get writable(): WritableStream<Uint8Array<ArrayBufferLike>> {
    throw unsupported("writable", "write()");
  }

  ref(): void {
    this.#raw.ref();
  }

  unref(): void {
    this.#raw.unref();
  }

  /**
   * Makes the handshake; a read or write does so as well.
   *
   * @throws {Deno.errors.InvalidData} If the peer speaks no TLS, the two cannot agree, or the peer's
   * certificate is not accepted.
   */
  handshake(): Promise<TlsInfo> {
    if (this.#info === undefined) {
      this.#info = this.#closed ? Promise.reject(badResource()) : this.#shakeHands();
      this.#info.catch(() => {});
    }
    return this.#info;
  }

  /** Reads into `p`; `null` behind the peer's close_notify. */
  read(p: Uint8Array): Promise<number | null> {
    if (p.length === 0) return Promise.resolve(0);
    if (this.#closed) return Promise.reject(badResource());
    if (this.#engine === undefined) return this.handshake().then(() => this.read(p));
    if (this.#into !== undefined) {
      return Promise.reject(new Deno.errors.Busy("Cannot read while another read is pending"));
    }
    return this.#cleartext.length > 0 ? Promise.resolve(this.#takeRest(p)) : this.#receive(p);
  }

  /** Writes at most 48 KiB of `p`; resolves with how many bytes, once the kernel has them. */
  write(p: Uint8Array): Promise<number> {
    if (this.#closed) return Promise.reject(badResource());
    if (p.length === 0) return Promise.resolve(0);
    if (this.#engine === undefined) return this.handshake().then(() => this.write(p));
    if (this.#finished) return Promise.reject(new Deno.errors.BrokenPipe("Broken pipe"));
    if (this.#inLine > 0) return this.#inTurn(() => this.#write(p));
    this.#inLine = 1;
    const written = this.#write(p);
    this.#last = written;
    return written;
  }

  /**
   * From now on our direction ends without close_notify, so that what was sent before does not look
   * complete to the peer.
   */
  cut(): void {
    this.#cut = true;
  }

  /** Sends close_notify and FIN behind every earlier write; reading goes on. */
  async closeWrite(): Promise<void> {
    if (this.#closed) throw badResource();
    if (this.#engine === undefined) await this.handshake();
    if (this.#finished) return;
    this.#finished = true;
    try {
      if (this.#cut) await this.#last;
      else await this.#inTurn(() => this.#send(this.#engine!.end(), 0));
    } catch (error) {
      // Everything has been sent, and the peer has left without waiting for close_notify, as many do:
      // neither that nor the FIN that follows is an error.
      if (!isGone(error)) throw error;
    }
    await this.#raw.closeWrite();
  }

  /** Closes both directions at once; without `closeWrite()` before, the peer sees a truncated stream. */
  close(): void {
    this.#end();
    this.#raw.close();
  }

  /**
   * Closes both directions. The peer gets close_notify first, unless something is still being sent: then
   * it sees a truncated stream, as it is one.
   */
  closePolitely(): void {
    const isWhole = !this.#closed && !this.#finished && this.#inLine === 0 && !this.#cut &&
      this.#writeFailure === undefined;
    const ciphertext = isWhole ? this.#engine?.end() ?? NOTHING : NOTHING;
    this.#end();
    if (ciphertext.length === 0) return this.#raw.close();
    // The kernel takes it within this turn, or it is full and the stream is not whole for the peer.
    const close = () => {
      try {
        this.#raw.close();
      } catch {
        // The owner of the raw socket was faster.
      }
    };
    this.#raw.write(ciphertext).then(close, close);
    setImmediate(() => setImmediate(close));
  }

  #end(): void {
    if (this.#closed) throw badResource();
    this.#closed = true;
    this.#occupy(0);
    this.#engine?.destroy();
    this.#handshake?.close();
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  async #shakeHands(): Promise<TlsInfo> {
    try {
      const { engine, info, cleartext, ended } = await this.#handshake!.make();
      engine.events = this;
      this.#engine = engine;
      this.#cleartext = cleartext;
      this.#ended = ended;
      this.#resize(0);
      return info;
    } catch (error) {
      this.#readFailure ??= error;
      this.#writeFailure ??= error;
      throw error;
    } finally {
      this.#handshake = undefined;
    }
  }

  /** Has happened before this socket gets the events of the engine. */
  handshakeComplete(): void {}

  ended(): void {
    this.#ended = true;
  }

  failed(error: Error): void {
    this.#readFailure ??= new Deno.errors.InvalidData(
      `Cannot speak TLS with the peer: ${error.message}`,
      { cause: error },
    );
  }

  #receive(p: Uint8Array): Promise<number | null> {
    if (this.#readFailure !== undefined) return Promise.reject(this.#readFailure);
    if (this.#ended) return Promise.resolve(null);
    this.#into = p;
    return this.#raw.read(this.#room).then(this.#received, this.#readFailed);
  }

  readonly #received = (n: number | null): number | Promise<number | null> => {
    const cleartext = this.#decrypt(n);
    if (cleartext.length === 0) return this.#readUntilCleartext();
    const p = this.#into!;
    this.#into = undefined;
    return this.#take(cleartext, p);
  };

  /** A loop, not one more `then`: a peer can send without end what brings no cleartext. */
  async #readUntilCleartext(): Promise<number | null> {
    try {
      for (let empty = 0;;) {
        if (this.#readFailure !== undefined) {
          // Not awaited: a peer that takes nothing must not keep the error from the reader.
          this.#inTurn(() => this.#send(this.#engine!.take(), 0)).catch(() => {});
          throw this.#readFailure;
        }
        if (this.#ended) return null;
        this.#reply();
        const n = await this.#raw.read(this.#room);
        if (n === 0 && ++empty > MOST_EMPTY_READS) throw noBytes();
        const cleartext = this.#decrypt(n);
        if (cleartext.length > 0) return this.#take(cleartext, this.#into!);
      }
    } catch (error) {
      return this.#readFailed(error);
    } finally {
      this.#into = undefined;
    }
  }

  /**
   * Sends the engine's own answer to what brought no cleartext, such as the alert that there is no
   * renegotiation. While something else is being sent it can wait and goes with the next write.
   */
  #reply(): void {
    if (this.#inLine > 0 || this.#writeFailure !== undefined) return;
    const reply = this.#engine!.take();
    if (reply.length > 0) this.#inTurn(() => this.#send(reply, 0)).catch(() => {});
  }

  /** Gives the cleartext of what has arrived; it is overwritten when anything else is decrypted. */
  #decrypt(n: number | null): Uint8Array {
    if (this.#closed) throw interrupted();
    if (n === null) {
      this.#readFailure = new Deno.errors.UnexpectedEof(
        "The peer closed the connection without close_notify: what it sent may be incomplete",
      );
      return NOTHING;
    }
    // A new view for each read would cost 5 % of an echo.
    if (this.#arrived.length !== n) this.#arrived = this.#room.subarray(0, n);
    const cleartext = this.#engine!.feed(this.#arrived);
    if (n === this.#room.length) this.#resize(this.#size + 1);
    else if (this.#size > 0 && n <= ROOMS[this.#size - 1]! / 2) this.#resize(this.#size - 1);
    return cleartext;
  }

  #resize(size: number): void {
    if (size === ROOMS.length) return;
    this.#size = size;
    this.#room = new Uint8Array(ROOMS[size]!);
    this.#arrived = this.#room.subarray(0, 0);
    this.#occupy(OCCUPIED[size]!);
  }

  #occupy(bytes: number): void {
    this.#memory?.take(bytes - this.occupied);
    this.occupied = bytes;
  }

  readonly #readFailed = (error: unknown): never => {
    this.#into = undefined;
    throw this.#readFailure ??= error;
  };

  #take(cleartext: Uint8Array, p: Uint8Array): number {
    const { length } = p;
    if (cleartext.length <= length) {
      p.set(cleartext);
      return cleartext.length;
    }
    p.set(cleartext.subarray(0, length));
    this.#cleartext = cleartext.slice(length);
    return length;
  }

  #takeRest(p: Uint8Array): number {
    const rest = this.#cleartext;
    const n = Math.min(rest.length, p.length);
    p.set(rest.subarray(0, n));
    this.#cleartext = n < rest.length ? rest.subarray(n) : NOTHING;
    return n;
  }

  /** Begins `send` once everything before it has been sent. */
  #inTurn(send: () => Promise<number>): Promise<number> {
    const turn = (): Promise<number> => {
      if (this.#closed) return this.#unsent(interrupted());
      return this.#writeFailure === undefined ? send() : this.#unsent(this.#writeFailure);
    };
    const sent = this.#inLine++ === 0 ? turn() : this.#last!.then(turn, turn);
    this.#last = sent;
    return sent;
  }

  #write(p: Uint8Array): Promise<number> {
    if (this.#writeFailure !== undefined) return this.#unsent(this.#writeFailure);
    const piece = p.length > MOST_AT_ONCE ? p.subarray(0, MOST_AT_ONCE) : p;
    let ciphertext;
    try {
      ciphertext = this.#engine!.encrypt(piece);
    } catch (error) {
      this.#inLine--;
      return Promise.reject(error); // `p` is no Uint8Array: nothing has happened.
    }
    // Less than that would mean that the engine has kept a part, which nothing would ever ask for.
    if (ciphertext.length <= piece.length) return this.#unsent(incomplete());
    return this.#send(ciphertext, piece.length);
  }

  #send(ciphertext: Uint8Array<ArrayBuffer>, taken: number): Promise<number> {
    this.#leaving = ciphertext;
    this.#taken = taken;
    return this.#raw.write(ciphertext).then(this.#sent, this.#failed);
  }

  readonly #sent = (n: number): number | Promise<number> => {
    if (n < this.#leaving.length) {
      this.#leaving = this.#leaving.subarray(n);
      return this.#raw.write(this.#leaving).then(this.#sent, this.#failed);
    }
    const { buffer } = this.#leaving;
    this.#leaving = NOTHING;
    this.#inLine--;
    // Frees its memory. Left to the garbage collector, it would cost a stream 10 % of its CPU, in collections
    // and in fresh memory instead of warm, and a small echo a sixth of its p99.9.
    if (buffer.byteLength > 0) buffer.transfer(0);
    return this.#taken;
  };

  readonly #failed = (error: unknown): never => {
    this.#inLine--;
    this.#leaving = NOTHING;
    // A part of a record may have been sent: nothing behind it would make sense to the peer.
    throw this.#writeFailure ??= error;
  };

  #unsent(error: unknown): Promise<never> {
    return Promise.reject(error).catch(this.#failed);
  }
}

const NOTHING = new Uint8Array(0);

function noBytes(): Error {
  return new Deno.errors.InvalidData("Cannot read: the socket brings no bytes");
}

function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.ConnectionReset;
}

function badResource(): Error {
  return new Deno.errors.BadResource("Cannot use a connection that is closed");
}

function interrupted(): Error {
  return new Deno.errors.Interrupted("The connection was closed during the operation");
}

function incomplete(): Error {
  return new Deno.errors.NotSupported(
    "Cannot write inside TLS: 'node:tls' of this Deno has not encrypted everything at once",
  );
}

function unsupported(what: string, instead: string): Error {
  return new Deno.errors.NotSupported(`Cannot use '${what}' of a TLS socket: use ${instead}`);
}
