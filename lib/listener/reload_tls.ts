/** Replaces the certificates of a running server. @module */

import { formatAddress } from "../format_address.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";
import type { Expected } from "./bind.ts";

/** All addresses are prepared before the first one changes. */
export function reloadTls(
  entrances: readonly { readonly bound: Expected; readonly addr: Deno.Addr }[],
  options: TlsListenOptions,
  addr: Deno.Addr | undefined,
): void {
  const contexts = entrances
    .filter((entrance) => addr === undefined || isSame(entrance.addr, addr))
    .flatMap(({ bound }) => bound.tls ?? []);
  if (contexts.length === 0) {
    throw new TypeError(
      addr === undefined
        ? "Cannot reload TLS of a server that has none: give 'cert' and 'key' to serve() first"
        : `Cannot reload TLS of ${formatAddress(addr)}: use one of 'addrs' that has TLS`,
    );
  }
  const reloads = contexts.map((each) => each.prepare(options));
  for (const reload of reloads) reload();
}

function isSame(one: Deno.Addr, other: Deno.Addr): boolean {
  return formatAddress(one) === formatAddress(other);
}
