/** Serves one connection, from its slot to its record. @module */

import { isPromiseLike } from "../check.ts";
import type { CoarseClock } from "../connection/coarse_clock.ts";
import { Lifeline } from "../connection/lifeline.ts";
import type { Rooms } from "../connection/rooms.ts";
import { ProtocolError } from "../errors.ts";
import type { Bound } from "../listener/bind.ts";
import { disarmCompilerPanic } from "../listener/descriptor_panics.ts";
import type { Admission } from "./admission.ts";
import type { EndRecords } from "./end_records.ts";
import type { Handler } from "./handler.ts";
import { type Identification, identify } from "./identify.ts";
import type { Lingering } from "./lingering.ts";
import type { Limits } from "./limits.ts";
import type { LiveConnections } from "./live_connections.ts";
import type { CompleteServeOptions } from "./options.ts";
import type { Refusals } from "./refusals.ts";
import type { Reporter } from "./reporter.ts";
import type { ServedConnection } from "./served_connection.ts";
import type { Slots } from "./slots.ts";
import type { Statistics } from "./statistics.ts";

/** Refused connections that may still be sent the reason; beyond that they are closed without it. */
const MAX_LINGERING_REFUSED = 64;

/** What all connections of a server share. */
export interface Service extends Identification {
  readonly handler: Handler;
  readonly options: CompleteServeOptions;
  readonly clock: CoarseClock;
  readonly rooms: Rooms;
  readonly live: LiveConnections;
  readonly limits: Limits;
  readonly slots: Slots;
  readonly lingering: Lingering;
  readonly statistics: Statistics;
  readonly refusals: Refusals;
  readonly records: EndRecords;
  /** Where the program gives `admit`. */
  readonly admission: Admission | undefined;
}

/**
 * Serves a connection, once it has a slot: identifies it, runs the handler and closes politely. What it
 * holds is given back whatever the handler, the peer or the server does. A handler that does not settle
 * even after its connection was closed is abandoned; what it does later has no effect.
 *
 * Not `async`, and with no more closures than two: the frame of a pending async function is half a KiB
 * for each idle connection, and a closure with what it holds on to some 100 bytes.
 */
export function serveConnection(conn: ServedConnection, bound: Bound, service: Service): void {
  // Forced as it came: a handler could do nothing with it, and nothing is left to end a wait.
  if (conn.life.closed) giveBack(conn, service);
  else if (service.slots.take()) begin(conn, bound, service);
  else serveOverLimit(conn, bound, service);
}

async function serveOverLimit(
  conn: ServedConnection,
  bound: Bound,
  service: Service,
): Promise<void> {
  const { slots, options } = service;
  // Where clients are refused, it waits for the end of a pause only.
  while (options.whenFull !== "wait" && slots.paused && !conn.life.closed) await slots.changed();
  const taken = options.whenFull === "wait" ? await slots.wait() : slots.take();
  if (taken) begin(conn, bound, service);
  else if (conn.life.closed) giveBack(conn, service);
  else refuse(conn, service);
}

function begin(conn: ServedConnection, bound: Bound, service: Service): void {
  conn.hasSlot = true;
  const { admission, clock, options } = service;
  // Together with what comes before it.
  if (admission !== undefined) conn.dueAt = clock.deadline(options.handshakeTimeout);
  const identifying = identify(conn, bound, service);
  if (identifying === undefined) admit(conn, service);
  else identifying.then(() => admit(conn, service));
}

function admit(conn: ServedConnection, service: Service): void {
  const asking = conn.life.closed ? undefined : service.admission?.ask(conn);
  if (asking === undefined) run(conn, service);
  else asking.then(() => run(conn, service));
}

function run(conn: ServedConnection, service: Service): void {
  if (conn.life.closed) return close(conn, service); // refused, failed, or gone already
  conn.stage = "serving";
  try {
    const serving: unknown = service.handler(conn);
    if (!isPromiseLike(serving)) return close(conn, service);
    serving.then(
      () => close(conn, service),
      (thrown: unknown) => blameAndClose(thrown, conn, service),
    );
  } catch (thrown) {
    blameAndClose(thrown, conn, service);
  }
}

function blameAndClose(thrown: unknown, conn: ServedConnection, service: Service): void {
  if (conn.stage !== "abandoned") blame(thrown, conn, service.reporter);
  close(conn, service);
}

function close(conn: ServedConnection, service: Service): void {
  if (conn.endAtOnce()) return giveBack(conn, service);
  conn.finish().then(() => {
    giveBack(conn, service);
    if (!conn.life.closed) conn.end().then(() => giveBack(conn, service));
  });
}

/** Closes a connection for which no slot is free, after it was sent what `whenFull` has for it. */
async function refuse(conn: ServedConnection, service: Service): Promise<void> {
  const { options: { whenFull }, refusals } = service;
  conn.life.setReason("refused_full");
  if (typeof whenFull !== "string" && refusals.lingering < MAX_LINGERING_REFUSED) {
    refusals.lingering++;
    conn.write(whenFull);
    await conn.end();
    refusals.lingering--;
  }
  conn.close();
  giveBack(conn, service);
}

/** Gives up on a handler or an `admit` that does not settle, or on what gives back its lease. */
export function abandon(conn: ServedConnection, service: Service): void {
  if (conn.lease === "returning") conn.lease = undefined;
  else conn.stage = "abandoned";
  conn.asked = undefined;
  giveBack(conn, service);
}

/**
 * Gives back all that a connection holds, each once: places and slot as soon as our FIN has left, the
 * rest when the socket is closed, which may be at the same time. A slot is held until what `admit` gave
 * is back, so that there is never more of it out than there are slots.
 */
function giveBack(conn: ServedConnection, service: Service): void {
  const { slots, handshaking, access, lingering, live, records, admission } = service;
  handshaking.leave(conn);
  access.leave(conn);
  admission?.giveBack(conn)?.then(() => {
    if (conn.lease !== "returning") return; // abandoned meanwhile
    conn.lease = undefined;
    giveBack(conn, service);
  });
  if (conn.lease !== undefined) return;
  if (conn.hasSlot) slots.giveBack();
  conn.hasSlot = false;
  if (!conn.life.closed) return lingering.enter(conn);
  lingering.leave(conn);
  if (!live.leave(conn)) return;
  disarmCompilerPanic();
  records.write(conn);
}

/** Decides what a handler's error means for its connection, and reports the handler's own. */
function blame(thrown: unknown, conn: ServedConnection, reporter: Reporter): void {
  // A read was given `drainSignal`: the handler has ended because it was asked to.
  if (conn.isDrainReason(thrown)) return;
  const origin = originOf(thrown);
  if (origin === "protocol") return conn.life.setReason("protocol_error", thrown);
  if (origin === "handler") reporter.report(thrown, conn);
  // The connection's own first failure, if there was one, has settled the reason before this.
  if (origin === "connection" && conn.life.closed) return;
  // Reads of records and frames throw it when the peer has left in the middle of one.
  if (origin === "cut short" && conn.life.peerFinished) {
    return conn.life.setReason("peer_closed_early", thrown);
  }
  const gaveUp = origin === "connection" ? Lifeline.gaveUp(thrown) : undefined;
  conn.life.setReason(gaveUp ?? "handler_error", thrown);
}

/**
 * Where an error that a handler threw comes from. `connection` may be another one than its own, in a
 * broadcast for instance: as with a plain socket whose `peer` left, it ends the handler and is not
 * reported.
 */
function originOf(
  thrown: unknown,
): "protocol" | "connection" | "cut short" | "peer" | "handler" {
  try {
    if (thrown instanceof ProtocolError) return "protocol";
    if (Lifeline.produced(thrown)) return "connection";
    if (thrown instanceof Deno.errors.UnexpectedEof) return "cut short";
    return isPeerGone(thrown) ? "peer" : "handler";
  } catch {
    return "handler"; // A Proxy may throw even at `instanceof`.
  }
}

/** Whether some peer went away in mid-connection, which any peer can do at will. */
function isPeerGone(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.ConnectionAborted ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.NotConnected ||
    error instanceof Deno.errors.Interrupted;
}
