/** Formats an address, and any other untrusted text, on one line. @module */

/**
 * Formats an address as people write it: `tcp://127.0.0.1:7000`, `tcp://[::1]:7000`,
 * `unix:/run/app.sock`, `unix:@name` for a socket in Linux's abstract namespace.
 *
 * A Unix peer that has not bound a path is written as `unix:`.
 *
 * @param addr The address, as `server.addr` or `conn.remoteAddr` give it.
 * @param scheme The part before `://` of an address with a port; the transport if omitted.
 * @returns One line without control characters.
 *
 * @example Log where a server listens
 * ```ts
 * import { formatAddress } from "@usher/server";
 * import { assertEquals } from "@std/assert";
 *
 * const addr: Deno.NetAddr = { transport: "tcp", hostname: "::1", port: 7000 };
 * assertEquals(formatAddress(addr), "tcp://[::1]:7000");
 * ```
 *
 * @category Errors and records
 */
export function formatAddress(addr: Deno.Addr, scheme: string = addr.transport): string {
  if ("path" in addr) return `unix:${oneLine((addr.path ?? "").replace(/^\0/, "@"))}`;
  if ("cid" in addr) return `vsock:${addr.cid}:${addr.port}`;
  const hostname = oneLine(addr.hostname);
  const host = hostname.includes(":") ? `[${hostname}]` : hostname;
  return `${scheme}://${host}:${addr.port}`;
}

/**
 * Escapes control, invisible and bidirectional characters. Text from a peer, a path or a message must
 * not forge a second line in a log, move a terminal's cursor, or show a name in another order than it
 * has.
 */
export function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu,
    (character) => {
      const code = character.codePointAt(0)!.toString(16);
      return code.length > 4 ? `\\u{${code}}` : `\\u${code.padStart(4, "0")}`;
    },
  );
}
