/** What is measured? One entry is one case. @module */

import { exchanges, fairness, type Figure, idling, streams } from "./figures.ts";
import type { LoadPlan } from "./load_process.ts";

/** What a server does with what it reads; servers/plain.ts says it for each. */
export type Mode = "echo" | "two_writes" | "send" | "discard" | "forward" | "lines";

export interface Case {
  readonly name: string;
  readonly title: string;
  readonly mode: Mode;
  /** The size that the modes `send` and `discard` work with. */
  readonly bytes?: number;
  readonly load: LoadPlan;
  /** The server that every other one is compared with; it runs twice in each round. */
  readonly baseline: string;
  readonly figures: readonly Figure[];
}

/** Bytes of one bulk message: milliseconds of streaming for one turn-around of microseconds. */
const BULK = 4 * 1024 * 1024;

/** Streams at once: while one turns around, the others keep the server busy. */
const STREAMS = 4;

export const CASES: readonly Case[] = [
  echo("echo1", 1),
  echo("echo64", 64),
  echo("echo512", 512),
  {
    name: "connect",
    title: "connect, 64-byte echo, close; 16 at a time",
    mode: "echo",
    load: { kind: "connect", connections: 16, request: 64, reply: 64 },
    baseline: "plain",
    figures: exchanges("conn"),
  },
  {
    name: "bulk_out",
    title: `the server sends, ${STREAMS} connections`,
    mode: "send",
    bytes: BULK,
    load: { kind: "exchange", connections: STREAMS, request: 64, reply: BULK },
    baseline: "plain",
    figures: streams(BULK),
  },
  {
    name: "bulk_in",
    title: `the server reads and discards, ${STREAMS} connections`,
    mode: "discard",
    bytes: BULK,
    load: { kind: "exchange", connections: STREAMS, request: BULK, reply: 1 },
    baseline: "plain",
    figures: streams(BULK),
  },
  {
    name: "bulk_echo",
    title: `the server echoes a stream, ${STREAMS} connections`,
    mode: "echo",
    load: { kind: "exchange", connections: STREAMS, request: BULK, reply: BULK },
    baseline: "plain",
    figures: streams(BULK),
  },
  {
    name: "two_writes",
    title: "64-byte echo in two writes, 1 connection",
    mode: "two_writes",
    load: { kind: "exchange", connections: 1, request: 64, reply: 64 },
    baseline: "plain",
    figures: exchanges(),
  },
  {
    name: "memory",
    title: "10,000 idle connections, after 64 bytes and after 64 KiB on each",
    mode: "echo",
    load: { kind: "hold", connections: 10_000, request: 64, reply: 64, burst: 65536 },
    baseline: "plain",
    figures: idling(),
  },
  {
    name: "forward",
    title: `a stream forwarded to an echo and back, ${STREAMS} connections`,
    mode: "forward",
    load: { kind: "exchange", connections: STREAMS, request: BULK, reply: BULK },
    baseline: "plain_pipe",
    figures: streams(BULK),
  },
  lines("lines1", 1),
  lines("lines16", 16),
];

function echo(name: string, connections: number): Case {
  return {
    name,
    title: `64-byte echo, ${connections} connection${connections === 1 ? "" : "s"}`,
    mode: "echo",
    load: { kind: "exchange", connections, request: 64, reply: 64 },
    baseline: "plain",
    figures: [...exchanges(), ...connections > 1 ? fairness() : []],
  };
}

function lines(name: string, depth: number): Case {
  const together = depth === 1 ? "one at a time" : `${depth} at a time`;
  return {
    name,
    title: `16-byte lines echoed, ${together}, 64 connections`,
    mode: "lines",
    load: { kind: "exchange", connections: 64, request: 16, reply: 16, depth },
    baseline: "plain_lines",
    figures: exchanges("line"),
  };
}
