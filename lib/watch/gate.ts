/** May this request come in? @module */

import { createHash, timingSafeEqual } from "node:crypto";
import { readIp } from "../wire/address/ip_address.ts";
import type { CompleteWatchOptions } from "./watch_options.ts";

/** Why a request is not answered: a status, and a sentence for whoever reads it. */
export interface Refusal {
  readonly status: 401 | 403 | 421;
  readonly why: string;
}

/**
 * Keeps other sites out, which any browser may show while it can reach this page: their requests say
 * where they come from, and a name of theirs that leads here (DNS rebinding) is none of ours.
 *
 * @returns `undefined` if it may.
 */
export function refusal(request: Request, { hosts }: CompleteWatchOptions): Refusal | undefined {
  // Whoever names no host asked this address, or is no browser.
  const host = request.headers.get("host") ?? new URL(request.url).host;
  if (!isOurs(host, hosts)) {
    return { status: 421, why: "This name is not in 'hosts': ask by IP address, or add it there" };
  }
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== `http://${host}` && origin !== `https://${host}`) {
    return { status: 403, why: "Other sites may not ask" };
  }
  const site = request.headers.get("sec-fetch-site") ?? "none";
  // A link to the page may be anywhere: who follows it sees the page, and the other site does not.
  const isLink = request.method === "GET" && request.headers.get("sec-fetch-dest") === "document";
  if (site === "none" || site === "same-origin" || isLink) return undefined;
  return { status: 403, why: "Other sites may not ask" };
}

/** Whether a request may change something: only with the token, if there is one at all. */
export function actionRefusal(
  request: Request,
  { token }: CompleteWatchOptions,
): Refusal | undefined {
  if (token === undefined) {
    return { status: 403, why: "Nothing can be changed here: no 'token' was given to watch()" };
  }
  const given = request.headers.get("authorization") ?? "";
  if (isSame(given, `Bearer ${token}`)) return undefined;
  return { status: 401, why: "This is not the token" };
}

/** An address as a host is beyond doubt: nobody can have it lead to somebody else. */
function isOurs(host: string, hosts: readonly string[]): boolean {
  const name = host.replace(/:\d*$/, "").toLowerCase();
  return name === "localhost" || hosts.includes(name) ||
    readIp(name.replace(/^\[(.*)\]$/, "$1")) !== null;
}

/** Takes as long whatever is wrong; hashed, since the texts must have the same length for that. */
function isSame(one: string, other: string): boolean {
  const hash = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(hash(one), hash(other));
}
