/**
 * One server on every core: {@linkcode fleet} runs a program of one `serve()` on several threads.
 *
 * @module
 */

export type { Fleet, FleetWorker } from "./control.ts";
export { fleet } from "./fleet.ts";
export type { FleetOptions, WorkerEnd } from "./fleet_options.ts";
