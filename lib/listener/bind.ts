/** Makes a listener of an address, or throws an error that names the way out. @module */

import { formatAddress } from "../format_address.ts";
import { TlsContexts } from "../tls/tls_contexts.ts";
import { extendMessage } from "../errors.ts";
import type { AddressTest } from "./address_rules.ts";
import type { CompleteAddress, CompleteTcp } from "./listen_options.ts";
import { DescriptorListener } from "./descriptor_listener.ts";
import { listenUnix } from "./unix_listener.ts";

/** What is expected at one address. */
export interface Expected {
  /** Whose PROXY headers count; none is expected without it. */
  readonly isTrusted?: AddressTest;
  /** Clients whose address the header does not give pass the rules about addresses. */
  readonly allowsUnknown?: boolean;
  /** The certificates of the TLS that every connection begins with. */
  readonly tls?: TlsContexts;
}

/** A listener, and what is done with each of its sockets before a handler sees it. */
export interface Bound extends Expected {
  readonly listener: Deno.Listener;
  readonly noDelay: boolean;
  readonly keepAlive: boolean;
  /** Other processes may listen on the same address. */
  readonly reusePort?: boolean;
}

/**
 * Binds and listens. What the system refuses is thrown as the same error, its message extended by
 * the address and the way out.
 *
 * @param earlier What the same server has bound before.
 */
export function bind(options: CompleteAddress, earlier: readonly Bound[] = []): Bound {
  const { isTrusted, allowsUnknown } = options;
  const expected: Expected = {
    ...(isTrusted !== undefined && { isTrusted }),
    ...(allowsUnknown !== undefined && { allowsUnknown }),
    // First: an unusable certificate has an error of its own, and nothing is open yet.
    ...("tls" in options && options.tls !== undefined &&
      { tls: new TlsContexts("serve", options.tls) }),
  };
  try {
    if ("path" in options) {
      return { listener: listenUnix(options), noDelay: false, keepAlive: false, ...expected };
    }
    const { noDelay, keepAlive } = options;
    if ("fd" in options) {
      return { listener: new DescriptorListener(options.fd), noDelay, keepAlive, ...expected };
    }
    const { reusePort } = options;
    return { listener: listenTcp(options), noDelay, keepAlive, reusePort, ...expected };
  } catch (error) {
    const way = error instanceof Error ? wayOut(error, options, earlier) : "";
    extendMessage(error, `Cannot listen on ${written(options)}: `, way === "" ? "" : `; ${way}`);
    throw error;
  }
}

function listenTcp(options: CompleteTcp): Deno.TcpListener {
  const { port, hostname, tcpBacklog, reusePort, loadBalanced } = options;
  // Without the flag Deno ends the process with code 70; this function is there with it only.
  if (reusePort && !("listenDatagram" in Deno)) {
    throw new Deno.errors.NotSupported(
      '\'reusePort\' needs --unstable-net, or "unstable": ["net"] in deno.json',
    );
  }
  return Deno.listen({
    port,
    hostname,
    tcpBacklog,
    ...(reusePort && { reusePort }),
    // Not in Deno's types, and without a flag: the first thread to ask binds, each later one gets a
    // clone of that socket.
    ...(loadBalanced && { loadBalanced }),
  });
}

function written(options: CompleteAddress): string {
  if ("fd" in options) return `descriptor ${options.fd}`;
  return formatAddress(
    "path" in options ? { transport: "unix", path: options.path } : {
      transport: "tcp",
      hostname: options.hostname.replace(/^\[(.*)\]$/, "$1"),
      port: options.port,
    },
  );
}

function wayOut(error: Error, options: CompleteAddress, earlier: readonly Bound[]): string {
  if ("fd" in options) {
    return error instanceof Deno.errors.InvalidData
      ? "use one that a .socket unit of systemd or the like has started this process with"
      : "";
  }
  if (error instanceof Deno.errors.NotCapable) {
    return "path" in options
      ? "a Unix socket needs --allow-net, --allow-read and --allow-write for its directory, and " +
        "with 'mode' --allow-sys"
      : "";
  }
  if (error instanceof Deno.errors.AddrInUse && earlier.some((bound) => isAt(bound, options))) {
    return "an entry of 'listeners' before it has this address: give each its own";
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

/** Whether it may be what has the address: of TCP the port says enough, as one may be every address. */
function isAt({ listener }: Bound, options: CompleteAddress): boolean {
  const addr = listener.addr;
  if ("fd" in options) return false;
  if ("path" in options) {
    return "path" in addr && [options.path, `${Deno.cwd()}/${options.path}`].includes(addr.path);
  }
  return "port" in addr && addr.port === options.port;
}
