/**
 * Counts the clients that are lost when processes replace each other: with `reusePort` 64 that loop, by
 * every route, and 1,500 new ones a second; on an inherited socket, where they follow each other, and behind
 * HAProxy 64 that loop. Prints a line for each; the arguments are how many
 * upgrades (10), and a word to pick lines.
 *
 *     deno run -A tests/soak/upgrades.ts [upgrades] [word]
 *     unshare -rn sh -c 'ip link set lo up; echo 1 > /proc/sys/net/ipv4/tcp_migrate_req
 *         exec deno run -A tests/soak/upgrades.ts'
 *
 * The second command does the same in a network namespace where the kernel moves queues.
 *
 * With `--json OPTIONS` it makes one run, and prints the outcome as JSON.
 *
 * @module
 */

import type { LoopingClients } from "./looping.ts";
import { FLEET, renew, SINGLE } from "./renewal_run.ts";
import { restart } from "./restart_run.ts";
import { upgrade, type UpgradeOptions } from "./upgrade_run.ts";

const [upgrades = "10", word = ""] = Deno.args;

const ROWS: Record<string, Omit<UpgradeOptions, "upgrades">> = {
  "64 loop, TCP": { kind: "tcp", load: "loop" },
  "64 loop, PROXY": { kind: "proxy", load: "loop" },
  "64 loop, TLS": { kind: "tls", load: "loop" },
  "64 loop, PROXY and TLS": { kind: "proxied tls", load: "loop" },
  "1500 a second": { load: { rate: 1500 } },
};

if (upgrades === "--json") {
  print(JSON.stringify(await upgrade(JSON.parse(word))));
  Deno.exit();
}
for (const [name, row] of Object.entries(ROWS)) {
  if (!name.includes(word)) continue;
  const { answered, lost, losses, longest, swept } = await upgrade({
    ...row,
    upgrades: Number(upgrades),
  });
  print(
    `${name}: ${upgrades} upgrades, lost ${lost} of ${answered + lost} ${
      JSON.stringify(losses)
    }, ` +
      `longest wait ${longest} ms, swept ${swept}`,
  );
}

for (const kind of ["TCP", "Unix"] as const) {
  for (const how of ["stop", "SIGKILL"] as const) {
    const name = `64 loop, inherited ${kind}, ${how}`;
    if (name.includes(word)) say(name, await restart(kind, how, Number(upgrades)));
  }
}
for (const [what, renewed] of Object.entries({ "two servers": SINGLE, "two fleets": FLEET })) {
  const name = `64 loop, ${what} behind HAProxy`;
  if (name.includes(word)) say(name, await renew(renewed, Number(upgrades)));
}

function say(name: string, { answered, failures, longest }: LoopingClients): void {
  print(
    `${name}: ${upgrades} times, lost ${failures.length} of ${answered + failures.length} ` +
      `${failures[0] ?? ""}, longest wait ${Math.round(longest)} ms`,
  );
}

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
