/** Keeps the page up to date, in the browser. @module */

import type { EndReason } from "../../connection/end_reason.ts";

/** The kind of each end reason, which decides its colour; `style.ts` has the colours. */
const KINDS: Record<EndReason, "good" | "peer" | "ours" | "limit" | "handshake" | "refusal"> = {
  completed: "good",
  health_check: "good",
  peer_closed_early: "peer",
  peer_reset: "peer",
  network_error: "peer",
  handler_error: "ours",
  worker_lost: "ours",
  forced: "ours",
  abandoned: "ours",
  protocol_error: "limit",
  dismissed: "ours",
  memory_limit: "limit",
  relay_failed: "peer",
  deadline: "limit",
  max_age: "limit",
  idle_timeout: "limit",
  receive_timeout: "limit",
  frame_timeout: "limit",
  read_timeout: "limit",
  read_aborted: "ours",
  write_timeout: "limit",
  write_overflow: "limit",
  handshake_timeout: "handshake",
  handshake_failed: "handshake",
  proxy_header_invalid: "handshake",
  refused_full: "refusal",
  refused_peer_limit: "refusal",
  refused_rate: "refusal",
  refused_address: "refusal",
  refused_handshaking: "refusal",
  refused_admit: "refusal",
};

/** The module of the page that loads the others. */
export const SCRIPT: string = String.raw`
import { Chart, SPAN } from "./charts.js";
import { bytes, count, figure, time } from "./format.js";
import { Table } from "./table.js";

const KINDS = ${JSON.stringify(KINDS)};

function byId(id) {
  return document.getElementById(id);
}

/** Writes a text only where it differs, so that nothing is announced or drawn twice. */
function write(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function perSecond(value) {
  return figure(value) + "/s";
}

function bytesPerSecond(value) {
  return bytes(value) + "/s";
}

function sum(counts) {
  let all = 0;
  for (const name in counts) all += counts[name];
  return all;
}

const charts = [
  { title: "Active connections", series: [{ name: "Active", of: "active" }], format: count },
  {
    title: "Connections",
    series: [{ name: "Accepted", of: "accepted" }, { name: "Ended", of: "ended" }],
    format: perSecond,
  },
  {
    title: "Bytes",
    series: [{ name: "Received", of: "received" }, { name: "Sent", of: "sent" }],
    format: bytesPerSecond,
    binary: true,
  },
  { title: "Refusals", series: [{ name: "Refused", of: "refused" }], format: perSecond },
].map((options) => new Chart(byId("charts"), options));

const table = new Table((id, client) => {
  ask("Close connection " + id + "?", client, "Close it", "connections/" + id + "/close");
});

/** What the charts show of each server, by name: samples, and the totals of the last event. */
const histories = new Map();
let latest = null;
let feed = null;

function listen() {
  feed = new EventSource("events");
  feed.onmessage = (event) => take(JSON.parse(event.data));
  feed.onerror = () => {
    if (latest === null || latest.servers.some((server) => server.state !== "stopped")) {
      showState("No answer", "trying again", "bad");
    }
  };
}

function take(event) {
  latest = event;
  for (const server of event.servers) record(server, event.at);
  if (!document.hidden) show();
}

function record(server, at) {
  const stats = server.stats;
  const totals = {
    at: at,
    accepted: stats.accepted,
    ended: sum(stats.ended),
    received: stats.bytesRead,
    sent: stats.bytesWritten,
    refused: sum(stats.refused),
  };
  const before = histories.has(server.name) ? histories.get(server.name).totals : null;
  // The server was restarted, or the clock was set back: there is nothing to compare with.
  const isNew = before === null || totals.accepted < before.accepted || at <= before.at;
  if (isNew) histories.set(server.name, { samples: [], totals: null });
  const history = histories.get(server.name);
  if (!isNew) {
    const seconds = (at - before.at) / 1000;
    const rate = (name) => Math.max(0, totals[name] - before[name]) / seconds;
    history.samples.push({
      at: at,
      active: stats.active,
      accepted: rate("accepted"),
      ended: rate("ended"),
      received: rate("received"),
      sent: rate("sent"),
      refused: rate("refused"),
    });
  }
  history.totals = totals;
  while (history.samples.length > 0 && history.samples[0].at < at - SPAN) history.samples.shift();
}

/** The server that is shown: the one that was chosen, or the first. */
function shown() {
  const name = byId("server").value;
  return latest.servers.find((server) => server.name === name) || latest.servers[0];
}

function show() {
  if (latest === null) return;
  showServers();
  const server = shown();
  const stats = server.stats;
  const samples = histories.get(server.name).samples;
  const last = samples.length === 0 ? null : samples[samples.length - 1];
  document.title = count(stats.active) + " active – usher";
  write("addrs", server.addrs.join(", "));
  showState.apply(null, wordsFor(server));
  write("active", count(stats.active));
  write("limit", server.limit === null ? "no limit" : "of " + count(server.limit));
  const part = server.limit === null ? 0 : Math.min(1, stats.active / server.limit);
  byId("fill").style.transform = "scaleX(" + part + ")";
  byId("fill").parentNode.dataset.full = part >= 0.9;
  write("accepted", count(stats.accepted));
  write("accepted-rate", last === null ? "" : perSecond(last.accepted));
  write("handshaking", count(stats.handshaking));
  write("received", bytes(stats.bytesRead));
  write("received-rate", last === null ? "" : bytesPerSecond(last.received));
  write("sent", bytes(stats.bytesWritten));
  write("sent-rate", last === null ? "" : bytesPerSecond(last.sent));
  write("buffered", bytes(stats.buffered));
  write("refused", count(sum(stats.refused)));
  write("refused-rate", last === null ? "" : perSecond(last.refused));
  for (const cause in stats.refused) write("refused-" + cause, count(stats.refused[cause]));
  write("aborted", count(stats.acceptFailures.aborted));
  write("resources", count(stats.acceptFailures.resources));
  write("saturated", time(stats.saturatedFor));
  write("at", new Date(latest.at).toLocaleTimeString());
  byId("drain").hidden = !latest.actions || server.state !== "running";
  table.allow(latest.actions);
  table.choose(latest.servers.length > 1 ? server.name : null);
  for (const chart of charts) chart.draw(samples, latest.at);
  showEnds(stats.ended);
  showWorkers(server.workers);
}

/** A row for each worker; nothing for a server that is no fleet. */
function showWorkers(workers) {
  byId("workers").hidden = workers.length === 0;
  fit(byId("worker-rows"), workers.length, () => {
    const row = document.createElement("div");
    row.appendChild(document.createElement("dt"));
    row.appendChild(document.createElement("dd"));
    return row;
  });
  workers.forEach((worker, i) => {
    const row = byId("worker-rows").children[i];
    const again = worker.restarts === 0 ? "" : ", started again " + count(worker.restarts) + " times";
    row.children[0].textContent = "Worker " + i + ": " + worker.state;
    row.children[1].textContent = count(worker.connections) + " active" + again;
  });
}

/** Several servers are shown one at a time. */
function showServers() {
  const names = latest.servers.map((server) => server.name);
  byId("servers").hidden = names.length < 2;
  fit(byId("server"), names.length, () => document.createElement("option"));
  names.forEach((name, i) => {
    const option = byId("server").children[i];
    if (option.value !== name || option.textContent !== name) option.value = option.textContent = name;
  });
}

function wordsFor(server) {
  if (server.state === "stopped") return ["Stopped", "", "bad"];
  if (server.state === "draining") {
    const left = count(server.stats.active) + " left";
    return ["Draining", server.accepting ? left + ", still accepting" : left, "warn"];
  }
  if (server.accepting) return ["Running", "accepting", "good"];
  const causes = {
    slot: "waiting for a free slot",
    rate: "accepting at the rate of maxRate",
    resources: "waiting for descriptors or memory",
    resume: "paused",
  };
  return ["Running", causes[server.waitingFor] || "not accepting", "warn"];
}

function showState(word, more, kind) {
  write("state-word", word);
  // A count that changes every second would be announced every second.
  byId("state-more").setAttribute("aria-hidden", String(word === "Draining"));
  write("state-more", more);
  byId("state").dataset.state = kind;
}

/** The reasons that occurred, the most frequent first, in the list and in the bar. */
function showEnds(ended) {
  const all = sum(ended);
  const reasons = Object.keys(ended).filter((reason) => ended[reason] > 0)
    .sort((a, b) => ended[b] - ended[a]);
  byId("ended-none").hidden = all > 0;
  byId("ended-bar").hidden = all === 0;
  fit(byId("ended-bar"), reasons.length, () => document.createElement("span"));
  fit(byId("ended"), reasons.length, addReason);
  reasons.forEach((reason, i) => {
    const part = ended[reason] / all;
    const piece = byId("ended-bar").children[i];
    piece.dataset.kind = KINDS[reason];
    piece.style.flexGrow = part;
    const item = byId("ended").children[i];
    item.children[0].dataset.kind = piece.dataset.kind;
    item.children[1].textContent = reason.replaceAll("_", " ");
    item.children[2].firstChild.dataset.kind = piece.dataset.kind;
    item.children[2].firstChild.style.transform = "scaleX(" + ended[reason] / ended[reasons[0]] + ")";
    const percent = part > 0.001 ? (100 * part).toFixed(1) : "< 0.1";
    item.children[3].textContent = count(ended[reason]) + " · " + percent + " %";
  });
}

function addReason() {
  const item = document.createElement("li");
  item.appendChild(document.createElement("i")).setAttribute("aria-hidden", "true");
  item.appendChild(document.createElement("span"));
  const track = item.appendChild(document.createElement("span"));
  track.className = "track";
  track.setAttribute("aria-hidden", "true");
  track.appendChild(document.createElement("span"));
  item.appendChild(document.createElement("span")).className = "count";
  return item;
}

/** Adds or removes children until there are as many as asked for. */
function fit(element, length, make) {
  while (element.children.length < length) element.appendChild(make());
  while (element.children.length > length) element.lastElementChild.remove();
}

/** Asks for the token, which is kept only as long as the page is open. */
function ask(title, what, action, path) {
  write("ask-title", title);
  write("ask-what", what);
  write("ask-yes", action);
  write("ask-answer", "");
  const several = latest.servers.length > 1;
  const query = several ? "?" + new URLSearchParams({ server: shown().name }) : "";
  byId("ask-form").onsubmit = async (event) => {
    event.preventDefault(); // the dialog stays open until the answer has come
    try {
      const response = await fetch(path + query, {
        method: "POST",
        headers: { authorization: "Bearer " + byId("token").value },
      });
      const text = await response.text();
      if (!response.ok) return write("ask-answer", text);
      byId("ask").close();
      table.update();
    } catch (_) {
      write("ask-answer", "No answer came, or the token has characters that a header cannot have.");
    }
  };
  byId("ask").showModal();
}

byId("ask-no").addEventListener("click", () => byId("ask").close());
byId("drain").addEventListener("click", () => {
  const what = "It stops accepting, and stops once its connections have ended or their time is up.";
  ask("Drain the server?", what, "Drain it", "drain");
});
byId("pause").addEventListener("click", () => {
  const pausing = byId("pause").getAttribute("aria-pressed") !== "true";
  byId("pause").setAttribute("aria-pressed", String(pausing));
  table.paused = pausing;
  if (!pausing) return listen();
  feed.close();
});
byId("server").addEventListener("change", show);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) show();
});
listen();
`;
