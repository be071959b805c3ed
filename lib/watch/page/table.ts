/** Shows the table of connections, in the browser. @module */

import { CONNECTION_STATES } from "../connections.ts";

/** A module of the page. Everything is shown as text, never as HTML. */
export const TABLE: string = String.raw`
import { bytes, count, time } from "./format.js";

/** Rows on a page. */
const LIMIT = 25;

/** Ms between two updates. */
const PERIOD = 2000;

/** Ms after the last keystroke at which a filter is applied. */
const TYPING = 200;

const STATES = ${JSON.stringify(CONNECTION_STATES)};

function same(value) {
  return value;
}

/** An end reason as words. */
function words(reason) {
  return reason.replaceAll("_", " ");
}

/** Without the scheme of the most common transport. */
function shorten(address) {
  return address.replace("tcp://", "");
}

const COLUMNS = [
  { name: "id", label: "No.", kind: "number", show: String },
  { name: "client", label: "Client", kind: "text", show: shorten },
  { name: "label", label: "Label", kind: "text", show: same, optional: true },
  { name: "state", label: "State", kind: "state", show: same },
  { name: "age", label: "Age", kind: "number", show: time, first: "desc" },
  { name: "idle", label: "Idle", kind: "number", show: time, first: "desc" },
  { name: "received", label: "Received", kind: "number", show: bytes, first: "desc" },
  { name: "sent", label: "Sent", kind: "number", show: bytes, first: "desc" },
  { name: "unsent", label: "Unsent", kind: "number", show: bytes, first: "desc", buffers: true },
  { name: "buffered", label: "Buffered", kind: "number", show: bytes, first: "desc", buffers: true },
  { name: "listener", label: "Listener", kind: "text", show: shorten, optional: true },
  { name: "tls", label: "TLS", kind: "short", show: same, optional: true },
  { name: "name", label: "Name", kind: "text", show: same, optional: true },
  { name: "peer", label: "Peer", kind: "text", show: shorten, optional: true },
  { name: "worker", label: "Worker", kind: "short", show: same, optional: true },
  { name: "reason", label: "Ended by", kind: "short", show: words, optional: true },
  { name: "detail", label: "Detail", kind: "text", show: same, optional: true },
];

function byId(id) {
  return document.getElementById(id);
}

/** The table. It fetches the page that it shows every other second. */
export class Table {
  constructor(close) {
    this.close = close;
    this.sort = "id";
    this.order = "desc";
    this.offset = 0;
    this.actions = false;
    this.server = null;
    this.paused = false;
    this.pending = null;
    this.rows = [];
    this.heads = COLUMNS.map((column) => this.addHead(column));
    const action = byId("heads").appendChild(document.createElement("th"));
    action.className = "action";
    action.setAttribute("role", "columnheader");
    action.hidden = true;
    action.appendChild(document.createElement("span")).className = "hidden";
    action.firstChild.textContent = "Close";
    this.action = action;
    for (const state of STATES) {
      const option = byId("filter-state").appendChild(document.createElement("option"));
      option.value = option.textContent = state;
    }
    let typing;
    byId("filter").addEventListener("input", () => {
      clearTimeout(typing);
      typing = setTimeout(() => this.turnTo(0), TYPING);
    });
    byId("filter-state").addEventListener("change", () => this.turnTo(0));
    byId("previous").addEventListener("click", () => this.turnTo(Math.max(0, this.offset - LIMIT)));
    byId("next").addEventListener("click", () => this.turnTo(this.offset + LIMIT));
    this.showSort();
    setInterval(() => {
      if (!this.paused && !document.hidden && this.pending === null) this.update();
    }, PERIOD);
    this.update();
  }

  addHead(column) {
    const head = byId("heads").appendChild(document.createElement("th"));
    head.scope = "col";
    head.className = column.kind === "number" ? "number" : "";
    head.setAttribute("role", "columnheader");
    const button = head.appendChild(document.createElement("button"));
    button.type = "button";
    button.textContent = column.label;
    button.addEventListener("click", () => {
      const again = this.sort === column.name;
      const other = this.order === "asc" ? "desc" : "asc";
      this.order = again ? other : column.first || "asc";
      this.sort = column.name;
      this.showSort();
      this.turnTo(0);
    });
    return head;
  }

  showSort() {
    COLUMNS.forEach((column, i) => {
      const order = this.order === "asc" ? "ascending" : "descending";
      this.heads[i].setAttribute("aria-sort", column.name === this.sort ? order : "none");
    });
  }

  /** Whether connections may be closed from here. */
  allow(actions) {
    if (this.actions === actions) return;
    this.actions = actions;
    this.update();
  }

  /** Shows the connections of another one of several servers. */
  choose(server) {
    if (this.server === server) return;
    this.server = server;
    this.turnTo(0);
  }

  turnTo(offset) {
    this.offset = offset;
    this.update();
  }

  /** Fetches the page. A request still under way is aborted: it asks for another page by now. */
  async update() {
    if (this.pending !== null) this.pending.abort();
    const pending = this.pending = new AbortController();
    const query = new URLSearchParams({
      sort: this.sort,
      order: this.order,
      offset: this.offset,
      limit: LIMIT,
      filter: byId("filter").value,
    });
    if (this.server !== null) query.set("server", this.server);
    if (byId("filter-state").value !== "") query.set("state", byId("filter-state").value);
    try {
      const response = await fetch("connections?" + query, { signal: pending.signal });
      if (response.ok) this.show(await response.json());
    } catch (_) {
      // The feed shows that no answer comes; the table keeps what it had.
    } finally {
      if (this.pending === pending) this.pending = null;
    }
  }

  show(page) {
    const found = page.connections;
    if (found.length === 0 && this.offset > 0) {
      return this.turnTo(Math.max(0, Math.ceil(page.matching / LIMIT - 1) * LIMIT));
    }
    while (this.rows.length < found.length) this.rows.push(this.addRow());
    while (this.rows.length > found.length) this.rows.pop().element.remove();
    this.action.hidden = !this.actions;
    found.forEach((connection, i) => this.fill(this.rows[i], connection));
    COLUMNS.forEach((column, i) => {
      // Without TLS and balancers their columns would be empty.
      if (!column.optional) return;
      const unused = column.name !== this.sort && found.every((one) => one[column.name] === "");
      this.heads[i].hidden = unused;
      for (const row of this.rows) row.element.children[i].hidden = unused;
    });
    byId("rows-none").hidden = found.length > 0;
    const from = found.length === 0 ? 0 : page.offset + 1;
    const of = page.matching === page.total ? "" : " found, " + count(page.total) + " in all";
    byId("range").textContent = count(from) + "–" + count(page.offset + found.length) + " of " +
      count(page.matching) + of;
    byId("previous").disabled = this.offset === 0;
    byId("next").disabled = this.offset + LIMIT >= page.matching;
  }

  addRow() {
    const element = byId("rows").appendChild(document.createElement("tr"));
    element.setAttribute("role", "row");
    const row = { element: element, id: 0, client: "" };
    row.texts = COLUMNS.map(function (column) {
      const cell = element.appendChild(document.createElement("td"));
      cell.setAttribute("role", "cell");
      cell.className = column.kind;
      cell.dataset.label = column.label;
      const inside = cell.appendChild(document.createElement("span"));
      return inside.appendChild(document.createTextNode(""));
    });
    row.action = element.appendChild(document.createElement("td"));
    row.action.className = "action";
    row.action.setAttribute("role", "cell");
    row.button = row.action.appendChild(document.createElement("button"));
    row.button.type = "button";
    row.button.className = "danger";
    row.button.textContent = "Close…";
    row.button.addEventListener("click", () => this.close(row.id, row.client));
    return row;
  }

  fill(row, connection) {
    row.id = connection.id;
    row.client = connection.client;
    row.action.hidden = !this.actions;
    row.button.setAttribute("aria-label", "Close connection " + connection.id + "…");
    COLUMNS.forEach(function (column, i) {
      const value = connection[column.name];
      const text = column.show(value);
      const node = row.texts[i];
      if (node.data === text) return;
      node.data = text;
      const cell = node.parentNode.parentNode;
      if (column.kind === "state") cell.dataset.state = text;
      if (column.kind === "text") cell.title = text;
      cell.classList.toggle("zero", value === 0);
      cell.dataset.empty = text === "" || (column.buffers && value === 0);
    });
  }
}
`;
