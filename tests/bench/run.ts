/** What happens in one measurement? @module */

import type { Case } from "./cases.ts";
import type { FigureName, Measurement } from "./figures.ts";
import { applyLoad, type Generator } from "./load_process.ts";
import { type Snapshot, snapshot } from "./measure.ts";
import { type PreparedServer, startServer } from "./servers.ts";

export interface RunSettings {
  readonly generator: Generator;
  readonly warm: number;
  readonly seconds: number;
  readonly serverCore: number | undefined;
  readonly loadCore: number | undefined;
}

export interface Outcome {
  readonly figures: Partial<Record<FigureName, number>>;
  /** The share of a core that the load itself used. */
  readonly busy: number;
}

/** A server of its own, a load of its own, both ended behind it; rejects when anything went wrong. */
export async function runOnce(
  server: PreparedServer,
  benchCase: Case,
  { generator, warm, seconds, serverCore, loadCore }: RunSettings,
): Promise<Outcome> {
  const { child, port } = await startServer(server, benchCase, serverCore);
  await using _server = child;
  const snapshots = new Map<string, Snapshot>();
  const report = await applyLoad(
    generator,
    port,
    benchCase.load,
    { warm, seconds, core: loadCore },
    async (phase) => {
      snapshots.set(phase, await snapshot(child.pid));
    },
  ).catch((error: Error) => {
    throw new Error(error.message + (child.complaint && `; the server said: ${child.complaint}`));
  });
  const { connections } = benchCase.load;
  return { figures: figuresOf(benchCase, { report, snapshots, connections }), busy: report.busy };
}

function figuresOf(benchCase: Case, measurement: Measurement): Outcome["figures"] {
  const figures: Outcome["figures"] = {};
  for (const { name, of } of benchCase.figures) {
    const value = of(measurement);
    if (value !== undefined && Number.isFinite(value)) figures[name] = value;
  }
  return figures;
}
