/** Decides whether a request to the page is answered, and whether it may change anything. @module */

import { createHash, timingSafeEqual } from "node:crypto";
import { readIp } from "../wire/address/ip_address.ts";
import type { CompleteWatchOptions } from "./watch_options.ts";

/** Why a request is refused: a status, and a sentence for the client. */
export interface Refusal {
  readonly status: 401 | 403 | 421;
  readonly why: string;
}

/**
 * Refuses the requests of other sites. A browser that can reach this page sends them for any site that
 * it shows: with `Origin` or `Sec-Fetch-Site`, or with the site's own name where that site has its name
 * resolve to this address (DNS rebinding).
 *
 * @returns `undefined` if the request may be answered.
 */
export function refusal(request: Request, { hosts }: CompleteWatchOptions): Refusal | undefined {
  // Without a host it comes from no browser.
  const host = request.headers.get("host") ?? new URL(request.url).host;
  if (!isOurs(host, hosts)) {
    return { status: 421, why: "This name is not in 'hosts': ask by IP address, or add it there" };
  }
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== `http://${host}` && origin !== `https://${host}`) {
    return { status: 403, why: "Other sites may not ask" };
  }
  const site = request.headers.get("sec-fetch-site") ?? "none";
  // Following a link shows the page to the user, and nothing of it to the site with the link.
  const isLink = request.method === "GET" && request.headers.get("sec-fetch-dest") === "document";
  if (site === "none" || site === "same-origin" || isLink) return undefined;
  return { status: 403, why: "Other sites may not ask" };
}

/** Refuses a request to change something, unless it has the token of the options. */
export function actionRefusal(
  request: Request,
  { token }: CompleteWatchOptions,
): Refusal | undefined {
  if (token === undefined) {
    return { status: 403, why: "Nothing can be changed here: no 'token' was given to watch()" };
  }
  // The name of the scheme is case-insensitive (RFC 9110, 11.1).
  const [, given = ""] = /^bearer +(.*)$/i.exec(request.headers.get("authorization") ?? "") ?? [];
  return isEqual(given, token) ? undefined : { status: 401, why: "This is not the token" };
}

/** An IP address as host cannot be made to lead anywhere else. */
function isOurs(host: string, hosts: readonly string[]): boolean {
  const name = host.replace(/:\d*$/, "").toLowerCase();
  return name === "localhost" || hosts.includes(name) ||
    readIp(name.replace(/^\[(.*)\]$/, "$1")) !== null;
}

/** Compares in constant time, which needs equal lengths: hence the hashes. */
function isEqual(one: string, other: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(one), hash(other));
}
