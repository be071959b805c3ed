/** Sets the options of a TCP socket. @module */

/** Sets what the kernel should do with a TCP socket; sockets of another kind have no such switches. */
export function setSocketOptions(
  socket: Deno.Conn,
  options: { readonly noDelay: boolean; readonly keepAlive: boolean },
): void {
  const { setNoDelay, setKeepAlive } = socket as Partial<Deno.TcpConn>;
  try {
    // Off is what an accepted socket starts with: nothing to do then.
    if (options.noDelay) setNoDelay?.call(socket, true);
    if (options.keepAlive) setKeepAlive?.call(socket, true);
  } catch {
    // The peer is gone already: the first read or write says so, with the better error.
  }
}
