/** Answers a request to the status page. @module */

import type { Server } from "../server/server.ts";
import { actionRefusal, refusal } from "./gate.ts";
import type { LiveFeed } from "./live_feed.ts";
import { metricsText } from "./prometheus.ts";
import { FILES } from "./page/files.ts";
import { listConnections } from "./connections.ts";
import type { CompleteWatchOptions } from "./watch_options.ts";

/** Nobody else may show, load or keep what is answered; the page loads from here alone. */
const HEADERS: Readonly<Record<string, string>> = {
  "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; " +
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; " +
    "frame-ancestors 'none'",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cache-control": "no-store",
};

const TEXT = "text/plain; charset=utf-8";

/** Answers the requests to a status page. */
export function answer(
  request: Request,
  server: Server,
  options: CompleteWatchOptions,
  feed: LiveFeed,
): Response {
  const refused = refusal(request, options);
  if (refused !== undefined) return say(refused.status, refused.why);
  const { pathname, searchParams } = new URL(request.url);
  const action = /^\/(?:drain|connections\/(\d{1,15})\/close)$/.exec(pathname);
  if (action !== null) return act(request, server, options, action[1]);
  if (request.method !== "GET" && request.method !== "HEAD") return notAllowed("GET, HEAD");
  switch (pathname) {
    case "/metrics":
      return respond(200, "text/plain; version=0.0.4; charset=utf-8", metricsText(server));
    case "/readyz":
      return isReady(server) ? say(200, "ready") : say(503, `not ready: ${whyNot(server)}`);
    case "/livez":
      return server.state === "stopped" ? say(503, "stopped") : say(200, "alive");
    case "/connections":
      return listed(server, searchParams);
    case "/events":
      return request.method === "HEAD" ? respond(200, "text/event-stream", null) : stream(feed);
  }
  const file = FILES[pathname];
  return file === undefined ? say(404, "Not found") : respond(200, file.type, file.text);
}

/** A lame duck accepts those who come, and wants nobody to come any more. */
function isReady({ state, accepting }: Server): boolean {
  return state === "running" && accepting;
}

function whyNot({ state, waitingFor }: Server): string {
  return state === "running" ? `accepting waits for ${waitingFor}` : state;
}

function listed(server: Server, parameters: URLSearchParams): Response {
  try {
    return respond(200, "application/json", JSON.stringify(listConnections(server, parameters)));
  } catch (error) {
    if (error instanceof RangeError) return say(400, error.message);
    throw error;
  }
}

function stream(feed: LiveFeed): Response {
  const stream = feed.open();
  if (stream !== null) return respond(200, "text/event-stream", stream);
  return say(503, "Too many pages are open");
}

/** Closes a connection, or drains the server. */
function act(
  request: Request,
  server: Server,
  options: CompleteWatchOptions,
  id: string | undefined,
): Response {
  if (request.method !== "POST") return notAllowed("POST");
  const refused = actionRefusal(request, options);
  if (refused !== undefined) return say(refused.status, refused.why);
  if (id === undefined) {
    server.shutdown(); // who gives up has said so by itself
    return say(202, "draining");
  }
  const conn = server.connections.values().find((conn) => conn.id === Number(id));
  if (conn === undefined) return say(404, "This connection is over already");
  conn.close();
  return say(200, "closed");
}

function notAllowed(allow: string): Response {
  const response = say(405, `Use ${allow}`);
  response.headers.set("allow", allow);
  return response;
}

function say(status: number, sentence: string): Response {
  const response = respond(status, TEXT, `${sentence}\n`);
  if (status === 401) response.headers.set("www-authenticate", "Bearer");
  return response;
}

function respond(status: number, type: string, body: BodyInit | null): Response {
  return new Response(body, { status, headers: { ...HEADERS, "content-type": type } });
}
