/** The style sheet of the page. @module */

/** Colours are named by meaning, in a light and a dark set; every text has a contrast of at least 4.5. */
export const STYLE: string = String.raw`
:root {
  color-scheme: light dark;
  --ground: #f4f5f7; --card: #ffffff; --ink: #1b2026; --quiet: #59636e; --line: #dfe3e8; --grid: #e9ecef;
  --one: #2a62c4; --one-soft: #2a62c41f; --two: #b3541e; --good: #176b40; --warn: #855400; --bad: #b3261e;
  --good-soft: #176b401c; --warn-soft: #8554001f; --bad-soft: #b3261e1a;
  --peer: #7a8694; --limit: #c08a1e; --ours: #b3261e; --refusal: #8456b8; --handshake: #2e8596;
  --shadow: 0 1px 2px #1b202610;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #101417; --card: #181d22; --ink: #e4e8ec; --quiet: #9aa5b0; --line: #2b323a; --grid: #242b32;
    --one: #7db0ff; --one-soft: #7db0ff26; --two: #f0a468; --good: #62c893; --warn: #e3b25a; --bad: #ff8f86;
    --good-soft: #62c89324; --warn-soft: #e3b25a24; --bad-soft: #ff8f8624;
    --peer: #7f8c99; --limit: #d9a441; --ours: #f0776d; --refusal: #b08ae0; --handshake: #58b4c4;
    --shadow: none;
  }
}
* { box-sizing: border-box; }
html { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
body { margin: 0; background: var(--ground); color: var(--ink); }
h1, h2, p, dl, dd, ol, figure { margin: 0; padding: 0; }
h1 { font-size: 1.25rem; letter-spacing: -.01em; }
h2 { font-size: .95rem; font-weight: 600; }
a { color: var(--one); }
b, td, .axis, #range, dd { font-variant-numeric: tabular-nums; }
:focus-visible { outline: 2px solid var(--one); outline-offset: 2px; border-radius: 4px; }
[hidden] { display: none !important; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
.skip { position: absolute; left: 1rem; top: -4rem; padding: .5rem .8rem; background: var(--card); z-index: 2; }
.skip:focus { top: .5rem; }
.quiet { color: var(--quiet); }
.note { padding: 1rem; background: var(--warn-soft); border-radius: 8px; }

header, main, footer { max-width: 76rem; margin: 0 auto; padding: 0 1.25rem; }
header { display: flex; align-items: center; gap: 1rem; flex-wrap: wrap; padding-top: 1.25rem; padding-bottom: 1.25rem; }
header .name { display: flex; align-items: baseline; gap: .75rem; min-width: 0; flex-wrap: wrap; }
#addrs { color: var(--quiet); overflow-wrap: anywhere; }
#state { display: inline-flex; align-items: center; gap: .5rem; padding: .25rem .8rem; border-radius: 99px; background: var(--line); margin-right: auto; }
#state::before { content: ""; width: .6rem; height: .6rem; border-radius: 50%; background: currentColor; flex: none; }
#state-word { font-weight: 600; }
#state-more:empty { display: none; }
#state[data-state=good] { color: var(--good); background: var(--good-soft); }
#state[data-state=warn] { color: var(--warn); background: var(--warn-soft); }
#state[data-state=bad] { color: var(--bad); background: var(--bad-soft); }
.tools { display: flex; gap: .5rem; }

button, select, input { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--line); border-radius: 7px; padding: .4rem .8rem; min-height: 2.2rem; }
button { cursor: pointer; }
button:hover:not(:disabled) { border-color: var(--quiet); }
button:disabled { opacity: .45; cursor: default; }
button[aria-pressed=true] { background: var(--one); border-color: var(--one); color: var(--card); }
.danger { color: var(--bad); }

main { display: grid; grid-template-columns: minmax(0, 1fr); gap: 1.5rem; }
section > h2 { margin-bottom: .6rem; }
.figures { display: grid; grid-template-columns: 1.7fr repeat(6, 1fr); gap: .75rem; }
.figures > div, .card, figure, .scroll { background: var(--card); border: 1px solid var(--line); border-radius: 10px; box-shadow: var(--shadow); min-width: 0; }
.figures > div { padding: .75rem 1rem; }
.figures dt { color: var(--quiet); font-size: .85rem; }
.figures dd { display: flex; align-items: baseline; flex-wrap: wrap; column-gap: .4rem; }
.figures b { font-size: 1.45rem; font-weight: 600; letter-spacing: -.015em; white-space: nowrap; }
.figures small { color: var(--quiet); white-space: nowrap; font-size: .85rem; }
.meter { flex-basis: 100%; height: 4px; margin-top: .35rem; border-radius: 2px; background: var(--grid); overflow: hidden; }
.meter span { display: block; height: 100%; width: 100%; background: var(--one); transform: scaleX(0); transform-origin: left; }
.meter[data-full=true] span { background: var(--warn); }

#charts { display: grid; grid-template-columns: repeat(2, 1fr); gap: .75rem; }
figure { padding: .75rem 1rem .5rem; }
figcaption { display: flex; gap: .25rem 1rem; align-items: center; flex-wrap: wrap; min-height: 1.5rem; margin-bottom: .75rem; }
figcaption strong { font-weight: 600; font-size: .9rem; margin-right: auto; }
.key { color: var(--quiet); font-size: .85rem; white-space: nowrap; display: inline-flex; align-items: center; gap: .4rem; }
.key svg { width: 18px; height: 6px; flex: none; }
.plot { position: relative; height: 116px; margin-left: 4.2rem; }
.plot > svg { position: absolute; inset: 0; width: 100%; height: 100%; display: block; overflow: visible; }
.plot span { position: absolute; right: calc(100% + .6rem); font-size: .75rem; color: var(--quiet); transform: translateY(-50%); white-space: nowrap; font-variant-numeric: tabular-nums; }
.plot .top { top: 0; } .plot .middle { top: 50%; } .plot .bottom { top: 100%; }
.grid { stroke: var(--grid); fill: none; }
.line { fill: none; stroke-width: 1.75; stroke-linejoin: round; stroke-linecap: round; }
.line, .grid { vector-effect: non-scaling-stroke; }
.line.one { stroke: var(--one); } .area { fill: var(--one-soft); }
.line.two { stroke: var(--two); stroke-dasharray: 5 3; }
.axis { display: flex; justify-content: space-between; color: var(--quiet); font-size: .75rem; margin: .35rem 0 0 4.2rem; }

.pair { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: .75rem; }
.card { padding: .9rem 1rem; }
.card h2 { margin-bottom: .7rem; }
.bar { display: flex; gap: 2px; height: 14px; border-radius: 4px; overflow: hidden; background: var(--grid); margin-bottom: .7rem; }
.bar span { flex-basis: 0; min-width: 2px; }
#ended { list-style: none; display: grid; gap: .3rem; }
#ended li { display: grid; grid-template-columns: .7rem 9.5rem 1fr 7.5rem; gap: .6rem; align-items: center; }
#ended i { width: .7rem; height: .7rem; border-radius: 3px; }
#ended .track { height: 6px; border-radius: 3px; background: var(--grid); overflow: hidden; }
#ended .track span { display: block; height: 100%; transform-origin: left; border-radius: 3px; }
#ended .count { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
[data-kind=good] { background: var(--good); } [data-kind=peer] { background: var(--peer); } [data-kind=limit] { background: var(--limit); }
[data-kind=ours] { background: var(--ours); } [data-kind=refusal] { background: var(--refusal); } [data-kind=handshake] { background: var(--handshake); }
.list div { display: flex; justify-content: space-between; gap: 1rem; padding: .28rem 0; border-top: 1px solid var(--grid); }
.list div:first-child { border-top: 0; padding-top: 0; }
.list dt { color: var(--quiet); }
.list dd { white-space: nowrap; }

.above { display: flex; align-items: center; gap: .6rem; margin-bottom: .6rem; flex-wrap: wrap; }
.above h2 { margin-right: auto; }
.filter input { width: 16rem; max-width: 100%; }
.scroll { overflow-x: auto; position: relative; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; padding: 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
th button { border: 0; background: none; width: 100%; text-align: inherit; padding: .5rem .5rem; color: var(--quiet); font-size: .85rem; font-weight: 600; }
th button::after { content: "↕" / ""; opacity: .35; margin-left: .2rem; }
th[aria-sort=ascending] button, th[aria-sort=descending] button { color: var(--ink); }
th[aria-sort=ascending] button::after { content: "↑" / ""; opacity: 1; }
th[aria-sort=descending] button::after { content: "↓" / ""; opacity: 1; }
td { padding: .38rem .5rem; border-bottom: 1px solid var(--grid); white-space: nowrap; }
tbody tr:last-child td { border-bottom: 0; }
tbody tr:hover { background: var(--one-soft); }
td.text { max-width: 15rem; overflow: hidden; text-overflow: ellipsis; }
th.number, td.number { text-align: right; }
td.state span { display: inline-flex; align-items: center; gap: .4rem; }
td.state span::before { content: ""; width: .5rem; height: .5rem; border-radius: 50%; background: var(--peer); }
td.state[data-state=reading] span::before { background: var(--one); }
td.state[data-state=writing] span::before { background: var(--two); }
td.state[data-state=working] span::before { background: var(--good); }
td.state:is([data-state=waiting], [data-state=handshaking], [data-state=admitting]) span::before { background: var(--limit); }
td.zero { color: var(--quiet); }
td button { min-height: 0; padding: .1rem .55rem; font-size: .85rem; }
#rows-none { padding: 1.5rem; text-align: center; }
.pager { display: flex; align-items: center; justify-content: flex-end; gap: .75rem; margin-top: .6rem; color: var(--quiet); }
.pager button { color: var(--ink); }
footer { color: var(--quiet); padding-top: 1.5rem; padding-bottom: 2rem; font-size: .85rem; }

dialog { border: 1px solid var(--line); border-radius: 12px; background: var(--card); color: var(--ink); padding: 1.25rem; width: min(26rem, calc(100vw - 2rem)); }
dialog::backdrop { background: #0006; }
dialog form { display: contents; }
dialog p { margin: .6rem 0; overflow-wrap: anywhere; }
dialog label { display: grid; gap: .3rem; color: var(--quiet); }
dialog .tools { justify-content: flex-end; margin-top: 1rem; }
#ask-answer { color: var(--bad); }
#ask-answer:empty { display: none; }

@media (max-width: 60rem) {
  .figures { grid-template-columns: repeat(4, 1fr); }
  .figures .wide { grid-column: span 2; }
}
@media (max-width: 44rem) {
  header, main, footer { padding-left: 1rem; padding-right: 1rem; }
  .figures { grid-template-columns: repeat(2, 1fr); }
  .figures b { font-size: 1.25rem; }
  #charts, .pair { grid-template-columns: minmax(0, 1fr); }
  #ended li { grid-template-columns: .7rem 1fr auto; }
  .plot, .axis { margin-left: 3.9rem; }
  #ended .track { display: none; }
  .above h2 { flex-basis: 100%; }
  .filter { flex: 1; } .filter input { width: 100%; }
  .scroll { overflow: visible; background: none; border: 0; box-shadow: none; }
  table, thead, tbody, tr, td, th { display: block; }
  thead tr { display: flex; flex-wrap: wrap; gap: .35rem; margin-bottom: .6rem; }
  th { border: 0; } th.action { display: none; }
  th button { border: 1px solid var(--line); background: var(--card); padding: .2rem .6rem; min-height: 2rem; }
  tbody { display: grid; gap: .5rem; }
  tbody tr { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: .6rem .9rem; display: grid; grid-template-columns: 1fr 1fr; gap: .1rem 1rem; }
  td, td.number { padding: .1rem 0; border: 0; text-align: left; display: flex; justify-content: space-between; gap: .5rem; }
  td::before { content: attr(data-label); color: var(--quiet); }
  td:first-child { grid-column: 1 / -1; }
  td.text { grid-column: 1 / -1; max-width: none; white-space: normal; overflow-wrap: anywhere; text-align: right; }
  td[data-empty=true] { display: none; }
  td.action { grid-column: 1 / -1; justify-content: flex-end; }
  td.action::before { content: none; }
  .pager { justify-content: space-between; }
}
@media (prefers-reduced-motion: no-preference) {
  .meter span, #ended .track span { transition: transform .4s ease-out; }
}
`;
