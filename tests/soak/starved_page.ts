/**
 * Holds 1,000 idle connections to a server with a hard limit of 1,024 descriptors, or to its status
 * page, and probes the page once a second.
 *
 * deno run -A tests/soak/starved_page.ts [seconds, 30 unless given]
 *
 * Prints a line for each run: with which permissions, at which port, how the probes were answered while
 * the strangers were there and after they had left, and how long the slowest answer took. The exit code
 * is 1 if a probe of the page was not answered, or the server is not ready at the end.
 *
 * @module
 */

import { bytes, text } from "../support/bytes.ts";
import { Clients, dial, readAll, writeAll } from "../support/peers.ts";
import { Program } from "../support/program.ts";

const SECONDS = Number(Deno.args[0] ?? 30);
const STRANGERS = 1_000;
const DESCRIPTORS = 1_024;

/** Connections that are opened at once: fewer than a queue holds. */
const AT_ONCE = 100;

const program = new URL("../watch/programs/starved.ts", import.meta.url);
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

for (const permissions of ["--allow-all", "--allow-net"]) {
  for (const port of ["addr", "page"] as const) await run(permissions, port);
}

async function run(permissions: string, port: "addr" | "page"): Promise<void> {
  await using starved = new Program(program, {
    how: ["run", "--quiet", "--no-config", "--no-prompt", permissions],
    descriptors: DESCRIPTORS,
    longest: 1000 * SECONDS + 60_000,
  });
  const addrs = JSON.parse(await starved.line()) as Record<typeof port, Deno.NetAddr>;
  const before = await probe(addrs.page);
  const meanwhile: Probe[] = [];
  {
    using _strangers = await connectAll(addrs[port]);
    for (let i = 0; i < SECONDS; i++) {
      meanwhile.push(await probe(addrs.page));
      await sleep(1000);
    }
  }
  let after = await probe(addrs.page);
  for (let i = 0; i < 10 && after.status !== 200; i++) {
    await sleep(200);
    after = await probe(addrs.page);
  }
  const counts = Map.groupBy(meanwhile, ({ status }) => status);
  const answers = [...counts].map(([status, { length }]) => `${length} x ${status}`).join(", ");
  const slowest = Math.max(...meanwhile.map(({ ms }) => ms)).toFixed(1);
  // deno-lint-ignore no-console -- what this program is for
  console.log(
    `${permissions}, strangers at the ${port === "page" ? "page" : "server"}: ` +
      `${before.status} before, ${answers} (slowest ${slowest} ms), ${after.status} after`,
  );
  if (meanwhile.some(({ status }) => status === 0) || after.status !== 200) Deno.exitCode = 1;
}

/** How a probe was answered; status 0 if it was not. */
interface Probe {
  readonly status: number;
  readonly ms: number;
}

async function probe(page: Deno.NetAddr): Promise<Probe> {
  const since = performance.now();
  try {
    const client = await dial(page);
    await writeAll(client, bytes`GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    const [, status = 0] = /^HTTP\/1\.1 (\d+) /.exec(text(await readAll(client))) ?? [];
    return { status: Number(status), ms: performance.now() - since };
  } catch {
    return { status: 0, ms: performance.now() - since };
  }
}

async function connectAll(addr: Deno.NetAddr): Promise<Clients> {
  const all: Deno.TcpConn[] = [];
  while (all.length < STRANGERS) {
    all.push(...await Promise.all(Array.from({ length: AT_ONCE }, () => dial(addr))));
  }
  return new Clients(all);
}
