/** Listens on a Unix path that no other server can take, and hands it over cleanly to the next. @module */

import type * as NodePath from "node:path";
import type { UnixListenOptions } from "./listen_options.ts";

const transport = "unix";

/** Opens of the lock file before giving up: each further one means that an owner left meanwhile. */
const ATTEMPTS = 100;

/**
 * What a lock file of ours says: which socket files are ours, the present and a replaced one. More
 * may follow: the end of a longer text, if its owner was killed while it wrote this one.
 */
const TEXT = /^usher( \S+)*\n/;

/** Bits that let users other than the owner write: what they wrote is not to be believed. */
const OTHERS_WRITE = 0o022;

/**
 * Listens on a Unix socket whose file is only ever ours or untouched.
 *
 * `path.lock`, locked while the listener lives, tells a live owner from a dead one. Its text says
 * which file was made by a holder, so a socket of another program is never mistaken for a stale one
 * of ours.
 *
 * The socket is made with its mode inside a directory that only this user may enter, and then moved
 * into place whole. Deno unlinks at close the path that it bound, whatever is there by then; that
 * path is the temporary one, so a successor's file is safe from it.
 */
export function listenUnix({ path, mode }: UnixListenOptions): Deno.UnixListener {
  if (path.startsWith("\0")) return Deno.listen({ transport, path });
  if (mode !== undefined) checkMaySetUmask();
  // What is done at close must not depend on the directory that the process is in by then.
  const place = resolve(path);
  const lock = new PathLock(`${place}.lock`);
  const directory = `${place}.new`;
  const temporary = `${directory}/s`;
  let listener: Deno.UnixListener | undefined;
  try {
    removeLeftovers(directory, temporary);
    Deno.mkdirSync(directory, { mode: 0o700 });
    const { uid } = Deno.lstatSync(directory);
    lock.checkOwner(uid);
    const stale = staleFile(place, lock);
    // As it was given: a relative path may fit into a socket's address where the whole one does not.
    listener = bindWithMode(`${path}.new/s`, mode);
    const made = Deno.lstatSync(temporary);
    checkMade(made, uid, mode);
    const file = identity(made);
    // Written before the file is in place: killed in between, the next start still knows both.
    lock.files = [file, ...stale];
    moveIntoPlace(temporary, place, stale.length > 0);
    removeLeftovers(directory, temporary);
    return new OwnedUnixListener(listener, place, file, lock);
  } catch (error) {
    listener?.close();
    quietly(() => removeLeftovers(directory, temporary));
    lock.abandon();
    throw error;
  }
}

class OwnedUnixListener implements Deno.UnixListener {
  readonly addr: Deno.UnixAddr;
  readonly #listener: Deno.UnixListener;
  readonly #file: string;
  readonly #lock: PathLock;
  #accepting = false;
  #closed = false;

  constructor(listener: Deno.UnixListener, path: string, file: string, lock: PathLock) {
    this.addr = { transport, path };
    this.#listener = listener;
    this.#file = file;
    this.#lock = lock;
  }

  async accept(): Promise<Deno.UnixConn> {
    this.#accepting = true;
    try {
      const conn = await this.#listener.accept();
      // The kernel goes on calling it by the name under which it was bound.
      return Object.defineProperty(conn, "localAddr", { value: this.addr });
    } finally {
      this.#accepting = false;
      if (this.#closed) this.#lock.release();
    }
  }

  close(): void {
    if (this.#closed) return this.#listener.close();
    this.#closed = true;
    // Before the socket closes, so that a client finds no file rather than a dead one.
    quietly(() => {
      if (identity(Deno.lstatSync(this.addr.path)) === this.#file) Deno.removeSync(this.addr.path);
    });
    this.#listener.close();
    // With an accept pending Deno unlinks its temporary path only when that has settled. A successor
    // that had the lock before would find its own temporary file gone.
    if (!this.#accepting) this.#lock.release();
  }

  ref(): void {
    this.#listener.ref();
  }

  unref(): void {
    this.#listener.unref();
  }

  [Symbol.dispose](): void {
    if (!this.#closed) this.close();
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Deno.UnixConn> {
    throw new TypeError("Cannot iterate over the bare listener: use listen() or serve()");
  }
}

/** Loads `node:path` at first use only: most servers have no need of it. */
function resolve(path: string): string {
  const { process } = globalThis as unknown as {
    process: { getBuiltinModule(name: "node:path"): typeof NodePath };
  };
  return process.getBuiltinModule("node:path").resolve(path);
}

/** Not by trying, as Deno would ask at the terminal, and keep the server waiting for an answer. */
function checkMaySetUmask(): void {
  if (Deno.permissions.querySync({ name: "sys", kind: "umask" }).state === "granted") return;
  throw new Deno.errors.NotCapable("Requires sys access to set the umask");
}

/**
 * Binds with the mode from the start: a chmod(2) afterwards would follow a link that has taken the
 * file's place. Nothing else of this thread runs while the umask is another one.
 */
function bindWithMode(path: string, mode: number | undefined): Deno.UnixListener {
  if (mode === undefined) return Deno.listen({ transport, path });
  const before = Deno.umask(0o777 & ~mode);
  try {
    return Deno.listen({ transport, path });
  } finally {
    Deno.umask(before);
  }
}

/** Whether it is the socket that was just bound, with the mode that was asked for. */
function checkMade(made: Deno.FileInfo, uid: number | null, mode: number | undefined): void {
  if (!made.isSocket || made.uid !== uid) {
    throw inUse(
      "another program exchanges files there; use a directory that only this user writes to",
    );
  }
  const given = made.mode! & 0o777;
  if (mode === undefined || given === mode) return;
  throw new Deno.errors.NotSupported(
    `the file has mode 0o${given.toString(8)} there instead of 0o${mode.toString(8)}, as under a ` +
      "default ACL; use another directory",
  );
}

/** The identity of a file that a dead server of ours left, or nothing where the path is free. */
function staleFile(path: string, lock: PathLock): string[] {
  const found = statIfAny(path);
  if (found === null) return [];
  const file = identity(found);
  if (found.isSocket && lock.files.includes(file)) return [file];
  throw inUse(
    found.isSocket
      ? "a socket is there that usher did not make; remove it if no program listens on it"
      : "there is a file, and it is not a socket; use another path",
  );
}

function moveIntoPlace(temporary: string, path: string, replace: boolean): void {
  if (replace) return Deno.renameSync(temporary, path);
  try {
    // Unlike a rename, a link never replaces what another program put there since we looked.
    Deno.linkSync(temporary, path);
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) {
      throw inUse("another program has just taken it; use another path");
    }
    // A file system without links.
    Deno.renameSync(temporary, path);
  }
}

/** Removes what a start of ours left that was ended halfway; anything else there is another program's. */
function removeLeftovers(directory: string, temporary: string): void {
  const found = statIfAny(directory);
  if (found === null) return;
  const foreign = `'${directory}' exists and is not usher's; remove or rename it`;
  if (!found.isDirectory) throw inUse(foreign);
  if (statIfAny(temporary)?.isSocket) Deno.removeSync(temporary);
  try {
    Deno.removeSync(directory);
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOTEMPTY") {
      throw inUse(foreign);
    }
    throw error;
  }
}

/** A lock file, locked: the kernel drops the lock with the process, also after SIGKILL. */
class PathLock {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  /** The file had a text before this start. */
  readonly #isOld: boolean;

  /**
   * Takes the lock at `path`, making its file where there is none.
   *
   * @throws {Deno.errors.AddrInUse} If a live server has it, or if the file is not a lock of ours.
   */
  constructor(path: string) {
    this.#path = path;
    this.#file = takeLock(path);
    this.#isOld = this.#file.statSync().size > 0;
  }

  /** The socket files that holders of this lock have made, each by its identity. */
  get files(): string[] {
    return readText(this.#file).trim().split(/\s+/).slice(1);
  }

  set files(files: readonly string[]) {
    const bytes = new TextEncoder().encode(`usher ${files.join(" ")}\n`);
    this.#file.seekSync(0, Deno.SeekMode.Start);
    this.#file.writeSync(bytes);
    // Not emptied first: if killed in between, nothing would say any more whose the stale file is.
    this.#file.truncateSync(bytes.length);
  }

  /**
   * Refuses a file that another user has planted.
   *
   * @param uid Of a file that this process has made: Deno gives a process's own user only with a
   * permission.
   */
  checkOwner(uid: number | null): void {
    if (this.#file.statSync().uid === uid) return;
    throw inUse(`'${this.#path}' belongs to another user; remove or rename it`);
  }

  /** Unlocks and removes the file, after the socket is gone. */
  release(): void {
    // Removed while still locked: a process that opened it before and locks it now sees that it is gone.
    quietly(() => {
      if (isStillAt(this.#path, this.#file.statSync())) Deno.removeSync(this.#path);
    });
    this.#close();
  }

  /**
   * Unlocks after a start that failed. A file of an earlier start stays: only its text says whose a
   * stale socket is, and the next start needs that.
   */
  abandon(): void {
    if (this.#isOld) this.#close();
    else this.release();
  }

  #close(): void {
    quietly(() => this.#file.close());
  }
}

function takeLock(path: string): Deno.FsFile {
  for (let i = 0; i < ATTEMPTS; i++) {
    const file = openLock(path);
    if (file === null) continue;
    try {
      const info = file.statSync();
      checkIsLock(path, info);
      if (!file.tryLockSync(true)) {
        throw inUse("a running server has it; stop that one, or use another path");
      }
      // The owner before us may have removed the file after we opened it: then this is the lock of
      // nothing, and another process may hold the new one.
      if (isStillAt(path, info)) {
        if (info.size > 0 && !TEXT.test(readText(file))) throw inUse(notALock(path));
        return file;
      }
    } catch (error) {
      file.close();
      throw error;
    }
    file.close();
  }
  throw inUse("other servers start and stop there all the time; use another path");
}

/** The lock file, made if there is none; `null` if that changes just now. */
function openLock(path: string): Deno.FsFile | null {
  const found = statIfAny(path);
  if (found !== null && !found.isFile) {
    throw inUse(`'${path}' exists and is not a plain file; remove or rename it`);
  }
  try {
    // `createNew` follows no symbolic link; `create` would make the file that a planted one names.
    return found === null
      ? Deno.openSync(path, { read: true, write: true, createNew: true, mode: 0o600 })
      : Deno.openSync(path, { read: true, write: true });
  } catch (error) {
    const changed = found === null ? Deno.errors.AlreadyExists : Deno.errors.NotFound;
    if (error instanceof changed) return null;
    throw error;
  }
}

/** Of the open file, as the path may lead elsewhere by now. */
function checkIsLock(path: string, { isFile, mode, nlink }: Deno.FileInfo): void {
  // Removed since it was opened: no lock any more, but nothing that was planted either.
  if (nlink === 0) return;
  if (!isFile || (nlink ?? 1) > 1) throw inUse(notALock(path));
  if (((mode ?? 0) & OTHERS_WRITE) === 0) return;
  throw inUse(`other users may write to '${path}', so it is not believed; remove or rename it`);
}

function notALock(path: string): string {
  return `'${path}' exists and is not a lock file of usher; remove or rename it`;
}

function readText(file: Deno.FsFile): string {
  const bytes = new Uint8Array(1024);
  file.seekSync(0, Deno.SeekMode.Start);
  return new TextDecoder().decode(bytes.subarray(0, file.readSync(bytes) ?? 0));
}

function isStillAt(path: string, { dev, ino }: Deno.FileInfo): boolean {
  const now = statIfAny(path);
  return now !== null && now.dev === dev && now.ino === ino;
}

/**
 * An inode number is used again for a later file; with the time of its making it is not. The device is
 * left out: its number changes when a file system is mounted again, as at a container's restart. Where
 * a file system keeps no such time, the device has to do.
 */
function identity({ dev, ino, birthtime }: Deno.FileInfo): string {
  return birthtime === null ? `${dev}:${ino}` : `${ino}@${birthtime.getTime()}`;
}

/** What is at a path, not following a link; `null` if nothing is. */
function statIfAny(path: string): Deno.FileInfo | null {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function inUse(why: string): Error {
  // An error made here has no `code` of its own, and callers look at it.
  return Object.assign(new Deno.errors.AddrInUse(why), { code: "EADDRINUSE" });
}

/** For cleaning up: what cannot be removed is found, and replaced or named, by the next start. */
function quietly(step: () => void): void {
  try {
    step();
  } catch {
    // See above.
  }
}
