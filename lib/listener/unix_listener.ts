/** Listens on a Unix path that is ours alone, and hands it over cleanly to the next server. @module */

import type { UnixListenOptions } from "./listen_options.ts";

/** Opens of the lock file before giving up: each further one means that an owner left meanwhile. */
const LOCK_ATTEMPTS = 100;

/**
 * What a lock file of ours says: which socket files are ours, the present and a replaced one. More
 * may follow: the end of a longer text, if its owner was killed while it wrote this one.
 */
const LOCK_TEXT = /^usher( \S+)*\n/;

/**
 * Listens on a Unix socket whose file is only ever ours or untouched.
 *
 * `path.lock`, locked while the listener lives, tells a live owner from a dead one: the kernel drops
 * the lock with the process, also after SIGKILL. Its text says which file was made by whoever held
 * it, so a socket of another program is never mistaken for a stale one of ours.
 *
 * The socket is made inside a directory that nobody else may enter, given its mode there, and then
 * moved into place whole: at no moment can anybody connect who may not. Deno unlinks at close the
 * path that it bound, whatever is there by then; that path is the temporary one, so a successor's
 * file is safe from it.
 */
export function listenUnix({ path, mode }: UnixListenOptions): Deno.UnixListener {
  const transport = "unix";
  if (path.startsWith("\0")) return Deno.listen({ transport, path });
  const lock = takeLock(`${path}.lock`);
  const directory = `${path}.new`;
  const temporary = `${directory}/s`;
  let listener: Deno.UnixListener | undefined;
  try {
    const stale = staleFile(path, lock);
    removeLeftovers(directory, temporary);
    Deno.mkdirSync(directory, { mode: 0o700 });
    listener = Deno.listen({ transport, path: temporary });
    if (mode !== undefined) Deno.chmodSync(temporary, mode);
    const file = identity(Deno.lstatSync(temporary));
    // Written before the file is in place: killed in between, the next start still knows both.
    writeLock(lock, [file, ...stale]);
    moveIntoPlace(temporary, path, stale.length > 0);
    removeLeftovers(directory, temporary);
    return new OwnedUnixListener(listener, path, file, lock);
  } catch (error) {
    listener?.close();
    quietly(() => removeLeftovers(directory, temporary));
    releaseLock(lock, `${path}.lock`);
    throw error;
  }
}

class OwnedUnixListener implements Deno.UnixListener {
  readonly addr: Deno.UnixAddr;
  readonly #listener: Deno.UnixListener;
  readonly #file: string;
  readonly #lock: Deno.FsFile;
  #accepting = false;
  #closed = false;

  constructor(listener: Deno.UnixListener, path: string, file: string, lock: Deno.FsFile) {
    this.addr = { transport: "unix", path };
    this.#listener = listener;
    this.#file = file;
    this.#lock = lock;
  }

  async accept(): Promise<Deno.UnixConn> {
    this.#accepting = true;
    try {
      const conn = await this.#listener.accept();
      // The kernel calls it for ever by the name under which it was bound.
      return Object.defineProperty(conn, "localAddr", { value: this.addr });
    } finally {
      this.#accepting = false;
      if (this.#closed) this.#releaseLock();
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
    if (!this.#accepting) this.#releaseLock();
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

  #releaseLock(): void {
    releaseLock(this.#lock, `${this.addr.path}.lock`);
  }
}

function takeLock(lockPath: string): Deno.FsFile {
  for (let i = 0; i < LOCK_ATTEMPTS; i++) {
    const file = openLock(lockPath);
    if (file === null) continue;
    try {
      if (!file.tryLockSync(true)) {
        throw inUse("a running server has it; stop that one, or use another path");
      }
      // The owner before us may have removed the file after we opened it: then what we hold is the
      // lock of nothing, and somebody else may hold the new one.
      const open = file.statSync();
      if (stillThere(lockPath, open)) {
        if (open.size > 0 && !LOCK_TEXT.test(readLock(file))) {
          throw inUse(`'${lockPath}' exists and is not a lock file of usher; remove or rename it`);
        }
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
function openLock(lockPath: string): Deno.FsFile | null {
  const found = statIfAny(lockPath);
  if (found !== null && !found.isFile) {
    throw inUse(`'${lockPath}' exists and is not a plain file; remove or rename it`);
  }
  try {
    // `createNew` follows no symbolic link; `create` would make the file that a planted one names.
    return found === null
      ? Deno.openSync(lockPath, { read: true, write: true, createNew: true, mode: 0o600 })
      : Deno.openSync(lockPath, { read: true, write: true });
  } catch (error) {
    const changed = found === null ? Deno.errors.AlreadyExists : Deno.errors.NotFound;
    if (error instanceof changed) return null;
    throw error;
  }
}

function stillThere(lockPath: string, open: Deno.FileInfo): boolean {
  const now = statIfAny(lockPath);
  return now !== null && identity(now) === identity(open);
}

/** The identity of a file that a dead server of ours left, or nothing where the path is free. */
function staleFile(path: string, lock: Deno.FsFile): string[] {
  const found = statIfAny(path);
  if (found === null) return [];
  const file = identity(found);
  if (found.isSocket && readLock(lock).split(/\s/).includes(file)) return [file];
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

/** Removes what a start of ours left that was ended halfway; anything else there is somebody's. */
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

function readLock(lock: Deno.FsFile): string {
  const bytes = new Uint8Array(1024);
  lock.seekSync(0, Deno.SeekMode.Start);
  return new TextDecoder().decode(bytes.subarray(0, lock.readSync(bytes) ?? 0));
}

function writeLock(lock: Deno.FsFile, files: string[]): void {
  const bytes = new TextEncoder().encode(`usher ${files.join(" ")}\n`);
  lock.seekSync(0, Deno.SeekMode.Start);
  lock.writeSync(bytes);
  // Not emptied first: killed in between, nobody would know any more whose the stale file is.
  lock.truncateSync(bytes.length);
}

function releaseLock(lock: Deno.FsFile, lockPath: string): void {
  // Removed while still locked: whoever opened it before and locks it now sees that it is gone.
  quietly(() => {
    if (stillThere(lockPath, lock.statSync())) Deno.removeSync(lockPath);
  });
  quietly(() => lock.close());
}

/** An inode number is used again for a later file; with the time of its making it is not. */
function identity(file: Deno.FileInfo): string {
  return `${file.dev}:${file.ino}:${file.birthtime?.getTime() ?? 0}`;
}

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
