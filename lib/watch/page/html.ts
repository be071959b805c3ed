/** The HTML of the page and its icon. @module */

import type { RefusalCause } from "../../server/statistics.ts";

/** What the page calls the causes of refusals. */
const REFUSALS: Record<RefusalCause, string> = {
  full: "every slot taken",
  peerLimit: "too many of one peer",
  rate: "too often of one peer",
  address: "address not allowed",
  handshaking: "displaced in the handshake",
  admit: "not admitted",
};

/** The page. It is the same for every server: the script fills in what changes. */
export const PAGE: string = String.raw`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>usher</title>
<link rel="icon" href="icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="style.css">
<script type="module" src="script.js"></script>
</head>
<body>
<a class="skip" href="#connections">Skip to the connections</a>

<header>
  <div class="name">
    <h1>usher</h1>
    <label id="servers" hidden><span class="hidden">Server</span><select id="server"></select></label>
    <p id="addrs"></p>
  </div>
  <p id="state" role="status" data-state="unknown"><span id="state-word">Connecting</span><span id="state-more"></span></p>
  <div class="tools">
    <button type="button" id="pause" aria-pressed="false">Pause</button>
    <button type="button" id="drain" class="danger" hidden>Drain…</button>
  </div>
</header>

<main>
  <noscript><p class="note">This page needs JavaScript. The same figures are at <a href="metrics">metrics</a> and <a href="connections">connections</a>.</p></noscript>

  <section aria-labelledby="now">
    <h2 id="now" class="hidden">Now</h2>
    <dl class="figures">
      <div class="wide"><dt>Active connections</dt><dd><b id="active">–</b> <small id="limit"></small><span class="meter" aria-hidden="true"><span id="fill"></span></span></dd></div>
      <div><dt>Accepted</dt><dd><b id="accepted">–</b> <small id="accepted-rate"></small></dd></div>
      <div><dt>Handshaking</dt><dd><b id="handshaking">–</b></dd></div>
      <div><dt>Received</dt><dd><b id="received">–</b> <small id="received-rate"></small></dd></div>
      <div><dt>Sent</dt><dd><b id="sent">–</b> <small id="sent-rate"></small></dd></div>
      <div><dt>Buffered</dt><dd><b id="buffered">–</b></dd></div>
      <div><dt>Refused</dt><dd><b id="refused">–</b> <small id="refused-rate"></small></dd></div>
    </dl>
  </section>

  <section aria-labelledby="charts-title">
    <h2 id="charts-title">Last three minutes</h2>
    <div id="charts"></div>
  </section>

  <section class="pair">
    <div class="card" aria-labelledby="ended-title" role="group">
      <h2 id="ended-title">Why connections ended</h2>
      <div id="ended-bar" class="bar" aria-hidden="true"></div>
      <ol id="ended"></ol>
      <p id="ended-none" class="quiet">None has ended yet.</p>
    </div>
    <div class="card" aria-labelledby="trouble-title" role="group">
      <h2 id="trouble-title">Refused and not accepted</h2>
      <dl class="list">
        ${
  Object.entries(REFUSALS).map(([cause, words]) =>
    `<div><dt>Refused: ${words}</dt><dd id="refused-${cause}">–</dd></div>`
  ).join("\n        ")
}
        <div><dt>Gone before they were accepted</dt><dd id="aborted">–</dd></div>
        <div><dt>Accepting failed for want of resources</dt><dd id="resources">–</dd></div>
        <div><dt>Time with every slot taken</dt><dd id="saturated">–</dd></div>
      </dl>
    </div>
  </section>

  <section id="workers" aria-labelledby="workers-title" hidden>
    <h2 id="workers-title">Workers</h2>
    <div class="card"><dl id="worker-rows" class="list"></dl></div>
  </section>

  <section id="connections" aria-labelledby="connections-title" tabindex="-1">
    <div class="above">
      <h2 id="connections-title">Connections</h2>
      <label class="filter"><span class="hidden">Filter by client, peer, label, listener or name</span><input type="search" id="filter" placeholder="Client, label or name" autocomplete="off" spellcheck="false"></label>
      <label><span class="hidden">State</span><select id="filter-state"><option value="">Every state</option></select></label>
    </div>
    <div class="scroll" role="region" aria-label="Table of connections" tabindex="0">
      <table role="table">
        <caption class="hidden">Connections; the buttons in the first row sort them</caption>
        <thead role="rowgroup"><tr role="row" id="heads"></tr></thead>
        <tbody role="rowgroup" id="rows"></tbody>
      </table>
      <p id="rows-none" class="quiet" hidden>No connection.</p>
    </div>
    <nav class="pager" aria-label="Pages of the table">
      <button type="button" id="previous">Previous</button>
      <span id="range">–</span>
      <button type="button" id="next">Next</button>
    </nav>
  </section>
</main>

<footer><p>Updated <time id="at">–</time>. Also here: <a href="metrics">metrics</a>, <a href="connections">connections</a> as JSON, <a href="readyz">readyz</a>, <a href="livez">livez</a>.</p></footer>

<dialog id="ask" aria-labelledby="ask-title">
  <form method="dialog" id="ask-form">
    <h2 id="ask-title"></h2>
    <p id="ask-what"></p>
    <label>Token <input type="password" id="token" autocomplete="off" required></label>
    <p id="ask-answer" role="alert"></p>
    <div class="tools">
      <button type="button" id="ask-no">Cancel</button>
      <button type="submit" id="ask-yes" class="danger"></button>
    </div>
  </form>
</dialog>
</body>
</html>
`;

/** The icon: an open door. */
export const ICON: string = String.raw`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32">
<rect width="32" height="32" rx="7" fill="#2a62c4"/>
<path d="M9 25V7h14v18M6 25h20" fill="none" stroke="#fff" stroke-width="2.4" stroke-linecap="round" stroke-linejoin="round"/>
<path d="M13 25V11l7-2.5V25" fill="#fff"/>
</svg>
`;
