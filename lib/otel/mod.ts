/**
 * Gives the numbers of a server to OpenTelemetry.
 *
 * {@linkcode instrument} reads what the server counts anyway, whenever a reader of the meter provider
 * collects: nothing happens in between.
 *
 * @module
 */

export { instrument, type InstrumentOptions } from "./instrument.ts";
