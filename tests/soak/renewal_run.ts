/** Renews two servers in turn behind HAProxy, as examples/deploy/haproxy.cfg has them. @module */

import { Haproxy } from "../interop/haproxy.ts";
import { Program } from "../support/program.ts";
import { LoopingClients } from "./looping.ts";

const EXAMPLES = new URL("../../examples/", import.meta.url);

/** Ms for which a server says that it is not ready, and goes on. HAProxy checks every 50 ms here. */
const LAME_DUCK = 1000;

/** Ms after which everything is ended. */
const LONGEST = 600_000;

/** What runs behind HAProxy: its file, and Deno's command for it. */
export interface Renewed {
  readonly program: URL;
  readonly how: string[];
}

/** The example with probes. */
export const SINGLE: Renewed = {
  program: new URL("readiness.ts", EXAMPLES),
  how: ["run", "--allow-net"],
};

/** Several threads with probes. */
export const FLEET: Renewed = {
  program: new URL("renewed_fleet.ts", import.meta.url),
  how: ["run", "--quiet", "--no-config", "--allow-net", "--allow-read"],
};

/** One of the two servers. */
export class Behind implements AsyncDisposable {
  readonly program: Program;
  addr: Deno.NetAddr = { transport: "tcp", hostname: "127.0.0.1", port: 0 };
  healthPort = 0;

  private constructor({ program, how }: Renewed, flags: Record<string, number | string>) {
    this.program = new Program(program, {
      how,
      args: Object.entries(flags).map(([name, value]) => `--${name}=${value}`),
      longest: LONGEST,
    });
  }

  /** Starts one, in the place of another if that is given. */
  static async start(lameDuck: number, renewed: Renewed, place?: Behind): Promise<Behind> {
    const behind = new Behind(renewed, {
      port: place?.addr.port ?? 0,
      "health-port": place?.healthPort ?? 0,
      "lame-duck": lameDuck,
      trust: "127.0.0.1",
    });
    const [, port] = /:(\d+)$/.exec(await behind.program.line()) ?? [];
    behind.addr = { ...behind.addr, port: Number(port) };
    const [, healthPort] = /:(\d+)\/readyz$/.exec(await behind.program.line()) ?? [];
    behind.healthPort = Number(healthPort);
    return behind;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}

/**
 * HAProxy with that configuration in front of two servers. It checks more often, and tries a request
 * only once, so that no failure is hidden.
 */
export async function inFront([one, two]: Behind[], fall = "fall 2"): Promise<Haproxy> {
  const file = await Deno.readTextFile(new URL("deploy/haproxy.cfg", EXAMPLES));
  const configuration = file
    .replace("127.0.0.1:7000", "127.0.0.1:PORT")
    .replace("127.0.0.1:7001 port 7081", `127.0.0.1:${one!.addr.port} port ${one!.healthPort}`)
    .replace("127.0.0.1:7002 port 7082", `127.0.0.1:${two!.addr.port} port ${two!.healthPort}`)
    .replace("inter 1s fall 2", `inter 50ms ${fall}`)
    .replace("option redispatch", "no option redispatch\n  retries 0");
  const haproxy = await Haproxy.startWith(configuration, LONGEST);
  await isUp(haproxy, "usher1");
  await isUp(haproxy, "usher2");
  return haproxy;
}

async function isUp(haproxy: Haproxy, server: string): Promise<void> {
  while (await opinion(haproxy, server) !== "UP L7OK");
}

/** HAProxy's state of a server, and the result of its last check. */
export async function opinion(haproxy: Haproxy, server: string): Promise<string> {
  const [head = "", ...rows] = (await haproxy.ask("show stat")).split("\n");
  const names = head.replace("# ", "").split(",");
  const cells = rows.find((row) => row.startsWith(`usher,${server},`))?.split(",") ?? [];
  // While another check is under way, the last result has a star before it.
  const check = cells[names.indexOf("check_status")]?.replace(/^\* /, "");
  return `${cells[names.indexOf("status")]} ${check}`;
}

/** Renews one after the other under 64 clients that loop; returns the clients. */
export async function renew(renewed: Renewed, renewals: number): Promise<LoopingClients> {
  await using programs = new AsyncDisposableStack();
  const start = async (place?: Behind) =>
    programs.use(await Behind.start(LAME_DUCK, renewed, place));
  const servers = [await start(), await start()];
  await using haproxy = await inFront(servers);
  const clients = new LoopingClients({ kind: "tcp", at: haproxy.port });
  for (let i = 0; i < renewals; i++) {
    await clients.more(128);
    const old = servers[i % 2]!;
    old.program.kill("SIGTERM");
    const { code } = await old.program.status;
    if (code !== 0) throw new Error(`A server ended with code ${code}`);
    servers[i % 2] = await start(old);
    // The two are never down at the same time, as in a real rolling restart.
    await isUp(haproxy, `usher${i % 2 + 1}`);
  }
  await clients.more(128);
  await clients.stop();
  return clients;
}
