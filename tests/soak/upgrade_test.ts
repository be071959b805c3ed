/**
 * Processes with `reusePort` replace each other without losing a client. `tests/soak/upgrades.ts` goes
 * on for longer.
 *
 * @module
 */

import { assert, assertEquals } from "@std/assert";
import { netTest } from "../support/needs.ts";
import { Program } from "../support/program.ts";
import { upgrade, type UpgradeOptions } from "./upgrade_run.ts";

netTest("upgrades with reusePort lose none of 64 looping clients", async () => {
  const { lost, losses, answered } = await upgrade({ load: "loop", upgrades: 4 });
  assertEquals({ lost, losses }, { lost: 0, losses: {} });
  assert(answered > 0);
}, { os: ["linux"] });

/** A network namespace in which the kernel moves the queue of a listener that closes. */
const APART = [
  "unshare",
  "--map-root-user",
  "--net",
  "sh",
  "-c",
  'ip link set lo up && echo 1 > /proc/sys/net/ipv4/tcp_migrate_req && exec "$0" "$@"',
];

const LOADS: Record<string, Omit<UpgradeOptions, "upgrades">> = {
  "of 1,500 new clients a second": { load: { rate: 1500 } },
  "of 64 looping clients behind a proxy and inside TLS": { kind: "proxied tls", load: "loop" },
};

for (const [clients, load] of Object.entries(LOADS)) {
  netTest(`upgrades with reusePort lose none ${clients} where tcp_migrate_req is 1`, async () => {
    await using program = new Program(new URL("upgrades.ts", import.meta.url), {
      args: ["--json", JSON.stringify({ ...load, upgrades: 3 })],
      under: APART,
    });
    const { lost, losses, answered } = JSON.parse(await program.line());
    assertEquals(lost, 0, JSON.stringify(losses));
    assert(answered > 0);
  }, { os: ["linux"], programs: ["cc", "ip"], networkNamespaces: true });
}
