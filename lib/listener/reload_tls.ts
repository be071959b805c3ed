/** How are certificates exchanged while a server runs? @module */

import { formatAddress } from "../format_address.ts";
import type { TlsContexts } from "../tls/tls_contexts.ts";
import type { TlsListenOptions } from "../tls/tls_options.ts";
import type { Expected } from "./bind.ts";

/** Every address is looked at before the first one changes. */
export function reloadTls(
  entrances: readonly { readonly bound: Expected; readonly addr: Deno.Addr }[],
  options: TlsListenOptions,
  addr: Deno.Addr | undefined,
): void {
  const wanted = entrances.filter((entrance) =>
    addr === undefined ? entrance.bound.tls !== undefined : isSame(entrance.addr, addr)
  );
  const contexts = wanted.flatMap(({ bound }) => bound.tls ?? []);
  if (contexts.length === 0) {
    throw new TypeError(
      addr === undefined
        ? "Cannot reload TLS of a server that has none: give 'cert' and 'key' to serve() first"
        : `Cannot reload TLS of ${formatAddress(addr)}: use one of 'addrs' that has TLS`,
    );
  }
  if (contexts.includes("native")) {
    throw new Deno.errors.NotSupported(
      'Cannot reload TLS of the route "native", where Deno has one certificate for ever: use ' +
        'tls: { route: "flexible" }',
    );
  }
  const reloads = (contexts as TlsContexts[]).map((each) => each.prepare(options));
  for (const reload of reloads) reload();
}

function isSame(one: Deno.Addr, other: Deno.Addr): boolean {
  return formatAddress(one) === formatAddress(other);
}
