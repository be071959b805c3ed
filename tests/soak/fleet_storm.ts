/**
 * Lets a fleet's workers fail, be replaced and stop under a storm of clients, and prints what became of
 * those: `fleet_storm.ts crash|heap|hang|restart|memory|drain|even|rate [loop|RATE] [WORKERS]`.
 *
 * @module
 */

import { dial } from "../support/peers.ts";
import { say } from "../support/commands.ts";
import { Program } from "../support/program.ts";
import { LoopingClients } from "./looping.ts";
import { Looping, Storm } from "./upgrade_run.ts";

const [what = "crash", load = "loop", workers = "2"] = Deno.args;

/** A fleet in a process of its own, and its clients. */
class Scene implements AsyncDisposable {
  readonly program: Program;
  readonly port: number;

  private constructor(program: Program, port: number) {
    this.program = program;
    this.port = port;
  }

  static async start(): Promise<Scene> {
    const server = new URL("fleet_server.ts", import.meta.url);
    const hangTimeout = what === "hang" ? "2000" : "10000";
    const program = new Program(server, { args: [workers, hangTimeout], longest: 600_000 });
    return new Scene(program, Number(await program.line()));
  }

  /** What the fleet says after a command. */
  async ask(command: string) {
    return JSON.parse(await this.program.ask(command));
  }

  storm(): Promise<Storm> | Looping {
    return load === "loop"
      ? new Looping(new LoopingClients({ kind: "tcp", at: this.port }))
      : Storm.begin(this.port, Number(load));
  }

  /** Has some worker fail. */
  async fail(how: string): Promise<void> {
    const client = await this.dial();
    await client.write(new TextEncoder().encode(`!${how}`));
    await client.read(new Uint8Array(1)).catch(() => {});
    client.close();
  }

  dial(): Promise<Deno.TcpConn> {
    return dial({ transport: "tcp", hostname: "127.0.0.1", port: this.port });
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

const RUNS: Record<string, (scene: Scene) => Promise<unknown>> = {
  /** A worker crashes every half second for ten seconds. */
  async crash(scene) {
    const clients = await scene.storm();
    for (let i = 0; i < 20; i++) {
      await Promise.race([scene.fail("crash"), pause(500)]);
      await pause(500);
    }
    const fate = await clients.stop();
    const { ends, lost, isWhole } = await scene.ask("stats");
    return { ...fate, ends, lostByCount: lost, isWhole };
  },
  /** One runs out of heap. */
  async heap(scene) {
    const clients = await scene.storm();
    await pause(500);
    scene.fail("heap");
    await pause(8000);
    const fate = await clients.stop();
    const { ends, lost, isWhole, errors } = await scene.ask("stats");
    return { ...fate, ends, lostByCount: lost, isWhole, errors };
  },
  /** One hangs for good; new clients come. */
  async hang(scene) {
    const { now } = await scene.ask("stats");
    scene.fail("hang").catch(() => {});
    await pause(200);
    const clients = await scene.storm();
    await pause(5000);
    const fate = await clients.stop();
    const { errors, workers } = await scene.ask("stats");
    const reported = errors.map((error: string) => Number(error.split(" ")[0]) - now);
    return { ...fate, reportedAfter: reported, workers };
  },
  /** 16 workers are replaced. */
  async restart(scene) {
    const clients = await scene.storm();
    for (let i = 0; i < 16 / Number(workers); i++) {
      await pause(200);
      await scene.ask("restart");
    }
    await pause(200);
    const fate = await clients.stop();
    const { isWhole, lost } = await scene.ask("stats");
    return { ...fate, isWhole, lostByCount: lost };
  },
  /** 80 workers are replaced, without clients. */
  async memory(scene) {
    const rows: unknown[] = [];
    for (let i = 0; i <= 80 / Number(workers); i++) {
      const { resident, descriptors } = await scene.ask("restart");
      if (i % 8 === 0) rows.push({ replaced: i * Number(workers), resident, descriptors });
    }
    return rows;
  },
  /** Nothing fails: how many clients are answered in five seconds. */
  async rate(scene) {
    const clients = await scene.storm();
    await pause(5000);
    return await clients.stop();
  },
  /** 100 clients that stay. */
  async even(scene) {
    const clients: Deno.Conn[] = [];
    for (let i = 0; i < 100; i++) {
      const client = await scene.dial();
      clients.push(client);
      await client.write(new Uint8Array([1]));
      await client.read(new Uint8Array(1));
    }
    const { workers } = await scene.ask("stats");
    for (const client of clients) client.close();
    return workers.map(({ connections }: { connections: number }) => connections);
  },
};

if (what === "drain") {
  const total = { answered: 0, reset: 0, ms: [] as number[], swept: 0, losses: [] as string[] };
  for (let i = 0; i < 20; i++) {
    await using scene = await Scene.start();
    const clients = await scene.storm();
    await pause(300);
    const { report } = await scene.ask("stop");
    const { answered, losses } = await clients.stop();
    total.answered += answered;
    total.ms.push(Math.round(report.ms));
    total.swept += report.swept;
    // Who comes after the end is refused; that is no reset.
    for (const [loss, count] of Object.entries(losses)) {
      if (/[Rr]efused/.test(loss)) continue;
      total.reset += count;
      if (count > 0) total.losses.push(`${count} ${loss}`);
    }
  }
  say(JSON.stringify(total));
} else {
  await using scene = await Scene.start();
  say(JSON.stringify(await RUNS[what]!(scene)));
}
