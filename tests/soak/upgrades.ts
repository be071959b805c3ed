/**
 * Counts the clients that are lost when processes with `reusePort` replace each other: 64 that loop, by
 * every route, and 1,500 new ones a second. Prints a line for each; the arguments are how many
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

function print(text: string): void {
  Deno.stdout.writeSync(new TextEncoder().encode(`${text}\n`));
}
