/** Answers the requests to a status page. @module */

import { actionRefusal, refusal } from "./gate.ts";
import type { HttpAnswer } from "./http_server.ts";
import type { LiveFeed } from "./live_feed.ts";
import type { Observed, Servers } from "./observed.ts";
import { FILES } from "./page/files.ts";
import { metricsText } from "./prometheus.ts";
import type { TableQueries } from "./table_queries.ts";
import type { CompleteWatchOptions } from "./watch_options.ts";

/** Sent with every answer: no other site may show, load or keep it, and the page loads nothing else. */
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

/** Ms that the user's own metrics may take: less than the 10 s for which Prometheus waits. */
const METRICS_TIMEOUT = 5_000;

/** What a page shows, and to whom. */
export interface Site {
  readonly servers: Servers;
  readonly options: CompleteWatchOptions;
  readonly feed: LiveFeed;
  readonly queries: TableQueries;
}

/**
 * Answers a request to a status page.
 *
 * @param client The IP address that it comes from.
 */
export function answer(
  request: Request,
  site: Site,
  client: string,
): HttpAnswer | Promise<HttpAnswer> {
  const { servers, options, feed } = site;
  const refused = refusal(request, options);
  if (refused !== undefined) return say(refused.status, refused.why);
  const { pathname, searchParams } = new URL(request.url);
  const action = /^\/(?:drain|connections\/(\d{1,15})\/close)$/.exec(pathname);
  if (action !== null) return act(request, site, searchParams, action[1]);
  if (request.method !== "GET" && request.method !== "HEAD") return notAllowed("GET, HEAD");
  switch (pathname) {
    case "/metrics":
      return answerMetrics(site);
    case "/readyz":
      return answerReady(servers);
    case "/livez":
      return answerLive(servers);
    case "/connections":
      return answerConnections(site, searchParams);
    case "/events": {
      const body = request.method === "HEAD" ? "" : feed.open(client);
      return respond(200, "text/event-stream", body);
    }
  }
  const file = FILES[pathname];
  return file === undefined ? say(404, "Not found") : respond(200, file.type, file.text);
}

async function answerMetrics({ servers, options: { metrics } }: Site): Promise<HttpAnswer> {
  const own = metrics === undefined ? "" : await withTimeout(metrics);
  const text = metricsText(servers.get("") ?? Object.fromEntries(servers));
  const end = own === "" || own.endsWith("\n") ? "" : "\n";
  return respond(200, "text/plain; version=0.0.4; charset=utf-8", `${text}${own}${end}`);
}

async function withTimeout(metrics: () => string | Promise<string>): Promise<string> {
  let timer;
  const { promise, reject } = Promise.withResolvers<never>();
  try {
    const text = metrics();
    if (typeof text === "string") return text;
    const message = `'metrics' of watch() took longer than ${METRICS_TIMEOUT} ms`;
    const error = new DOMException(message, "TimeoutError");
    timer = setTimeout(reject, METRICS_TIMEOUT, error);
    return await Promise.race([text, promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Ready if every server is: a pod or a backend is one for all that it serves. */
function answerReady(servers: Servers): HttpAnswer {
  const causes = [...servers].flatMap(([name, server]) => {
    const cause = whyNotReady(server);
    return cause === undefined ? [] : [name === "" ? cause : `${name}: ${cause}`];
  });
  return causes.length === 0 ? say(200, "ready") : say(503, `not ready: ${causes.join("; ")}`);
}

/**
 * A lame duck still accepts, but no further client should be sent to it. One that accepts as fast as
 * `maxRate` allows is ready.
 */
function whyNotReady({ state, accepting, waitingFor }: Observed): string | undefined {
  if (state !== "running") return state;
  return accepting || waitingFor === "rate" ? undefined : `accepting waits for ${waitingFor}`;
}

/** Only a new process ends a worker that hangs. */
function answerLive(servers: Servers): HttpAnswer {
  const hung = [...servers].flatMap(([name, { workers = [] }]) =>
    workers.flatMap(({ state }, i) =>
      state === "hung" ? [name === "" ? `worker ${i}` : `${name}: worker ${i}`] : []
    )
  );
  if (hung.length > 0) return say(503, `hung: ${hung.join("; ")}`);
  return isStopped(servers) ? say(503, "stopped") : say(200, "alive");
}

/** Not before the last one has stopped: a restart would cut off what the others still serve. */
function isStopped(servers: Servers): boolean {
  return servers.values().every(({ state }) => state === "stopped");
}

async function answerConnections(site: Site, parameters: URLSearchParams): Promise<HttpAnswer> {
  const { servers, queries } = site;
  const name = parameters.get("server") ?? [...servers.keys()][0]!;
  const server = servers.get(name);
  if (server === undefined) return unknownServer(servers);
  parameters.delete("server");
  try {
    const page = await queries.ask(name, server, parameters);
    return page === null
      ? say(503, "Too many queries wait: ask again")
      : respond(200, "application/json", page);
  } catch (error) {
    if (error instanceof RangeError) return say(400, error.message);
    throw error;
  }
}

/** Closes a connection, or drains a server or all of them. */
async function act(
  request: Request,
  { servers, options }: Site,
  parameters: URLSearchParams,
  id: string | undefined,
): Promise<HttpAnswer> {
  if (request.method !== "POST") return notAllowed("POST");
  const refused = actionRefusal(request, options);
  if (refused?.status === 401) return say(401, refused.why, { "www-authenticate": "Bearer" });
  if (refused !== undefined) return say(refused.status, refused.why);
  const name = parameters.get("server");
  if (id === undefined && name === null) {
    for (const server of servers.values()) server.shutdown(); // one that fails reports it by itself
    return say(202, "draining");
  }
  // Ids are numbers of their own in each server; a single one is kept under the name "".
  const server = servers.get(name ?? "");
  if (server === undefined) return unknownServer(servers);
  if (id === undefined) {
    server.shutdown();
    return say(202, "draining");
  }
  return await close(server, Number(id))
    ? say(200, "closed")
    : say(404, "This connection is over already");
}

/** Whether there was a connection of that id. */
async function close(server: Observed, id: number): Promise<boolean> {
  const detail = "status page";
  if (server.connections === undefined) return await server.closeConnection!(id, detail);
  const conn = server.connections.values().find((conn) => conn.id === id);
  conn?.close(detail);
  return conn !== undefined;
}

function unknownServer(servers: Servers): HttpAnswer {
  return say(400, `Use 'server' with one of: ${[...servers.keys()].join(", ")}`);
}

function notAllowed(allow: string): HttpAnswer {
  return say(405, `Use ${allow}`, { allow });
}

function say(status: number, sentence: string, headers: Record<string, string> = {}): HttpAnswer {
  return respond(status, "text/plain; charset=utf-8", `${sentence}\n`, headers);
}

function respond(
  status: number,
  type: string,
  body: HttpAnswer["body"],
  headers: Record<string, string> = {},
): HttpAnswer {
  return { status, headers: { ...HEADERS, ...headers, "content-type": type }, body };
}
