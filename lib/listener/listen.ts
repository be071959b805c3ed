/** Opens one listener: a `Deno.listen` that no client can end. @module */

import { bind } from "./bind.ts";
import { disarmCompilerPanic, disarmSignalPanic } from "./descriptor_panics.ts";
import { HardenedListener } from "./hardened_listener.ts";
import {
  completeListenOptions,
  type FdListenOptions,
  type ListenOptions,
  type TcpListenOptions,
  type UnixListenOptions,
} from "./listen_options.ts";

/**
 * Listens on a TCP address: a `Deno.listen` whose `accept()` and `for await` outlive every client.
 *
 * Where a plain listener's `accept()` rejects because of one client that is already gone, this one
 * goes on to the next; where descriptors or memory run out it waits and tries again, 5 ms at first
 * and at most 1 s. `accept()` rejects only when the listener is closed, or with an unknown failure
 * that has lasted for 30 s. To have connections served, limited and drained, use {@linkcode serve}.
 *
 * @param options Where to listen.
 * @returns The listener; the kernel queues clients from here on.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If a number is out of range.
 * @throws {Deno.errors.AddrInUse} If something listens there already.
 * @throws {Deno.errors.AddrNotAvailable} If the address is not one of this machine's.
 * @throws {Deno.errors.PermissionDenied} If the system forbids it, as with ports below 1024.
 * @throws {Deno.errors.NotCapable} If `--allow-net` does not cover it.
 *
 * @example Accept one connection by hand
 * ```ts
 * import { listen } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * using listener = listen({ port: 0, hostname: "127.0.0.1" });
 * using client = await Deno.connect({ port: listener.addr.port });
 * using conn = await listener.accept();
 * assertEquals(conn.remoteAddr, client.localAddr);
 * ```
 *
 * @category Listeners
 */
export function listen(options: TcpListenOptions): Deno.TcpListener;
/**
 * Listens on a Unix socket; see {@linkcode UnixListenOptions.path} for its file and its lock.
 *
 * @param options Where to listen.
 * @returns The listener; the kernel queues clients from here on.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If `path` is too long or `mode` out of range.
 * @throws {Deno.errors.AddrInUse} If a live server, or anything that is not a stale file of a server
 * of ours, has the path.
 * @throws {Deno.errors.NotFound} If the directory does not exist.
 * @throws {Deno.errors.NotCapable} If a permission is missing.
 *
 * @example Accept on a Unix socket that only its owner may use
 * ```ts
 * import { listen } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const directory = await Deno.makeTempDir();
 * const path = `${directory}/app.sock`;
 * if (Deno.build.os !== "windows") { // where Deno has no Unix sockets
 *   using listener = listen({ path, mode: 0o600 });
 *   using _client = await Deno.connect({ transport: "unix", path });
 *   using _conn = await listener.accept();
 * }
 * assertEquals([...Deno.readDirSync(directory)], []); // file and lock are gone
 * await Deno.remove(directory);
 * ```
 *
 * @category Listeners
 */
export function listen(options: UnixListenOptions): Deno.UnixListener;
/**
 * Listens on a socket that this process was started with; see {@linkcode FdListenOptions}.
 *
 * @param options Which one.
 * @returns The listener.
 * @throws {TypeError} If an option is unknown or of the wrong type.
 * @throws {RangeError} If `fd` is out of range.
 * @throws {Deno.errors.InvalidData} If the descriptor is not a socket to listen on.
 * @throws {Deno.errors.NotSupported} If this version of Deno lacks what is needed.
 *
 * @example Every socket of a systemd unit
 * ```ts
 * import { inheritedListeners, listen } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const listeners = inheritedListeners().map(({ fd }) => listen({ fd }));
 * assertEquals(listeners, []); // none, as systemd has not started this
 * ```
 *
 * @category Listeners
 */
export function listen(options: FdListenOptions): Deno.Listener;
/**
 * Listens wherever the options say, for programs that put them together at run time.
 *
 * @param options Where to listen.
 * @returns The listener.
 *
 * @example An address from a setting
 * ```ts
 * import { listen, type ListenOptions } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const setting = "0";
 * const options: ListenOptions = setting.startsWith("/")
 *   ? { path: setting }
 *   : { port: Number(setting) };
 * using listener = listen(options);
 * assertEquals(listener.addr.transport, "tcp");
 * ```
 *
 * @category Listeners
 */
export function listen(options: ListenOptions): Deno.Listener;
export function listen(options: ListenOptions): Deno.Listener {
  const complete = completeListenOptions(options);
  disarmSignalPanic();
  disarmCompilerPanic();
  return new HardenedListener(bind(complete));
}
