/** How does an address become a listener, and what is said when it cannot? @module */

import { formatAddress } from "../connection/format_address.ts";
import { extendMessage } from "./extend_message.ts";
import type { CompleteTcp, UnixListenOptions } from "./options.ts";
import { listenUnix } from "./unix_listener.ts";

/** A listener, and what is done to each of its sockets before anybody sees it. */
export interface Bound {
  readonly listener: Deno.Listener;
  readonly noDelay: boolean;
  readonly keepAlive: boolean;
}

/**
 * Binds and listens. What the system refuses is thrown as the same error, its message extended by
 * the address and the way out.
 */
export function bind(options: CompleteTcp | UnixListenOptions): Bound {
  try {
    if ("path" in options) {
      return { listener: listenUnix(options), noDelay: false, keepAlive: false };
    }
    const { port, hostname, tcpBacklog, noDelay, keepAlive } = options;
    return { listener: Deno.listen({ port, hostname, tcpBacklog }), noDelay, keepAlive };
  } catch (error) {
    const way = error instanceof Error ? wayOut(error, options) : "";
    extendMessage(error, `Cannot listen on ${written(options)}: `, way === "" ? "" : `; ${way}`);
    throw error;
  }
}

function written(options: CompleteTcp | UnixListenOptions): string {
  return formatAddress(
    "path" in options ? { transport: "unix", path: options.path } : {
      transport: "tcp",
      hostname: options.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: options.port,
    },
  );
}

function wayOut(error: Error, options: CompleteTcp | UnixListenOptions): string {
  if (error instanceof Deno.errors.NotCapable) {
    return "path" in options
      ? "a Unix socket needs --allow-net, and --allow-read and --allow-write for its directory"
      : "";
  }
  if ("path" in options) {
    // Only an abstract socket comes here without an explanation of our own.
    if (error instanceof Deno.errors.AddrInUse && options.path.startsWith("\0")) {
      return "another program listens there: stop it, or use another name";
    }
    if (error instanceof Deno.errors.NotFound) return "create its directory first";
    if (error instanceof Deno.errors.PermissionDenied) {
      return "this user may not create files in its directory, or the server there is another user's";
    }
    if (error instanceof Deno.errors.NotADirectory) {
      return "a file is where its directory should be: use another path";
    }
    return "";
  }
  if (error instanceof Deno.errors.AddrInUse) {
    return "another program listens there: stop it, or use another port (0 takes any free one)";
  }
  if (error instanceof Deno.errors.AddrNotAvailable) {
    return 'this machine has no such address: use one of its own, "0.0.0.0" or "::"';
  }
  if (error instanceof Deno.errors.PermissionDenied) {
    return options.port > 0 && options.port < 1024
      ? "ports below 1024 need a privilege (on Linux CAP_NET_BIND_SERVICE): use one from 1024 up"
      : "";
  }
  if (error instanceof URIError || /lookup address/.test(error.message)) {
    return "use an IP address of this machine or a name of it, without the port";
  }
  return "";
}
