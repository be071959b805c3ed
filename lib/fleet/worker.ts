/** Takes the seat of this thread in its fleet, when usher loads in a worker. @module */

import { parentPort, workerData } from "node:worker_threads";
import { SEAT } from "../server/fleet_seat.ts";
import { Seat } from "./seat.ts";

Object.defineProperty(globalThis, SEAT, { value: new Seat(workerData.usherFleet, parentPort!) });
