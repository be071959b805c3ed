/** The cases to measure, one per entry. @module */

import {
  counted,
  exchanges,
  fairness,
  type Figure,
  type FigureName,
  idling,
  keeping,
  once,
  streams,
} from "./figures.ts";
import type { FanOutPlan } from "./fan_out.ts";
import type { StartPlan } from "./first_answer.ts";
import type { KeepPlan } from "./keeping.ts";
import type { LoadPlan } from "./load_process.ts";
import type { RedisPlan } from "./redis_benchmark.ts";
import { type Kept, KEPT_ITEMS } from "./servers/kept_items.ts";
import type { StopPlan } from "./stopping.ts";

/** What a server does with the bytes it reads; servers/plain.ts explains each mode. */
export type Mode =
  | "echo"
  | "two_writes"
  | "send"
  | "discard"
  | "forward"
  | "lines"
  | "frames"
  | "once"
  | "keep"
  | "tls_echo"
  | "stop"
  | "kv"
  | "mqtt"
  | "socks"
  | "work";

export interface Case {
  readonly name: string;
  readonly title: string;
  readonly mode: Mode;
  /** The size that the modes `send` and `discard` work with; for `work`, steps. */
  readonly bytes?: number;
  /** Whether server and load may use every core. */
  readonly onAllCores?: true;
  readonly load: LoadPlan | FanOutPlan | KeepPlan | RedisPlan | StartPlan | StopPlan;
  /** The server that every other one is compared with; it runs twice in each round. */
  readonly baseline: string;
  readonly figures: readonly Figure[];
  /** The figure in the picture of the case. */
  readonly pictured: FigureName;
  /** Only in the long run, or when it is asked for by name. */
  readonly long?: true;
  /** Runs in each round; 1 if missing. */
  readonly repeats?: number;
  /** How many times as long as the others it takes, where it varies more; 1 if missing. */
  readonly longer?: number;
  /**
   * Processes, one after the other, that the rounds are those of; 1 if missing. Two processes of the same
   * code differ by 3 to 4 %: how it was compiled, and where its memory lies, is chance.
   */
  readonly processes?: number;
  /** The servers that take part; all capable ones if missing. */
  readonly among?: readonly string[];
  /** Rounds at most, where one hardly differs from the other. */
  readonly rounds?: number;
  /** With `--count`, a run of its own in each of usher's servers and the plain loop counts as well. */
  readonly counted?: true;
  /** Set for the servers. It is Deno that reads these variables, so no other server takes part. */
  readonly denoEnv?: Readonly<Record<string, string>>;
}

/** Whether a mode runs inside TLS. */
export function isTls(mode: Mode): boolean {
  return mode === "tls_echo";
}

/** Bytes of one bulk message: milliseconds of streaming for one turn-around of microseconds. */
const BULK = 4 * 1024 * 1024;

/** Streams at once: while one turns around, the others keep the server busy. */
const STREAMS = 4;

/** Starts in each round. Each is short, and single ones vary. */
const STARTS = 3;

/** The setting in usher's README for more than 128 busy connections in one thread. */
const EVENTS_128 = { DENO_TOKIO_MAX_IO_EVENTS_PER_TICK: "128" };

/** Tests of redis-benchmark. */
export const KV_TESTS: readonly string[] = ["ping_inline", "ping_mbulk", "set", "get"];

/** In the cases about reading: both kinds of chunks, the floor of owned ones, and the alternatives. */
const READERS: readonly string[] = [
  "plain",
  "plain_owned",
  "usher_iterate",
  "usher_chunks",
  "node_net_deno",
  "node_net",
];

/** In the cases about connections as such, which the variants of a loop have in common. */
const WHOLE: readonly string[] = [
  "plain",
  "usher_iterate",
  "usher_read",
  "node_net_deno",
  "node_net",
  "bun",
  "go",
  "epoll",
];

export const CASES: readonly Case[] = [
  echo("echo1", 1),
  // Its goals are a few percent apart.
  { ...echo("echo64", 64), longer: 3, processes: 3 },
  ...[1, 4, 16, 64].map((kibibytes) => messages(kibibytes, 64)),
  // More streams than may wait on large rooms.
  { ...messages(64, 512), name: "echo64k_512" },
  ...[64, 256].flatMap((window) =>
    [4, 16].flatMap((connections) =>
      [1460, 16384, 65536].map((size) => windowed(window, connections, size))
    )
  ),
  echo("echo512", 512),
  withEvents(echo("echo512_events128", 512)),
  withEvents(echo("echo1500_events128", 1500)),
  connect("connect", 16),
  { ...connect("connect32", 32), long: true },
  connectOnce("connect_once", 16),
  connectOnce("connect32_once", 32),
  {
    name: "bulk_out",
    title: `the server sends, ${STREAMS} connections`,
    mode: "send",
    bytes: BULK,
    load: { kind: "exchange", connections: STREAMS, request: 64, reply: BULK },
    baseline: "plain",
    figures: streams(BULK),
    pictured: "rate",
    longer: 2,
  },
  {
    name: "bulk_in",
    title: `the server reads and discards, ${STREAMS} connections`,
    mode: "discard",
    bytes: BULK,
    load: { kind: "exchange", connections: STREAMS, request: BULK, reply: 1 },
    baseline: "plain",
    figures: streams(BULK),
    pictured: "rate",
    longer: 2,
  },
  {
    name: "bulk_echo",
    title: `the server echoes a stream, ${STREAMS} connections`,
    mode: "echo",
    load: { kind: "exchange", connections: STREAMS, request: BULK, reply: BULK },
    baseline: "plain",
    figures: streams(BULK),
    pictured: "rate",
    longer: 2,
  },
  {
    name: "two_writes",
    title: "64-byte echo in two writes, 1 connection",
    mode: "two_writes",
    load: { kind: "exchange", connections: 1, request: 64, reply: 64 },
    baseline: "plain",
    figures: exchanges(),
    pictured: "rate",
  },
  {
    name: "memory",
    title: "10,000 idle connections, after 64 bytes and after 64 KiB on each",
    mode: "echo",
    load: { kind: "hold", connections: 10_000, request: 64, reply: 64, burst: 65536 },
    baseline: "plain",
    figures: idling(),
    pictured: "idle",
    among: [...WHOLE, "usher_chunks"],
    rounds: 2,
  },
  ...[4, 16, 64].map((kibibytes) =>
    memoryAfter(
      `memory_${kibibytes}k`,
      `12 messages of ${kibibytes} KiB`,
      { burst: 1024 * kibibytes, times: 12 },
    )
  ),
  ...[64, 256].map((kibibytes) =>
    memoryAfter(
      `memory_win${kibibytes}k`,
      `a stream of 1 MiB with at most ${kibibytes} KiB unanswered`,
      { burst: 16384, window: 1024 * kibibytes, times: 64 },
    )
  ),
  ...Object.entries(KEPT_ITEMS).map(([what, { title }]) => keep(what as Kept, title)),
  {
    name: "forward",
    title: `a stream forwarded to an echo and back, ${STREAMS} connections`,
    mode: "forward",
    load: { kind: "exchange", connections: STREAMS, request: BULK, reply: BULK },
    baseline: "plain_pipe",
    figures: streams(BULK),
    pictured: "rate",
  },
  lines("lines1", 1),
  lines("lines16", 16),
  frames("frames1", 1),
  frames("frames16", 16),
  fanOut("mqtt10", 10, 12_000),
  fanOut("mqtt200", 200, 1000),
  {
    name: "socks",
    title: `4 MiB at a time through a SOCKS5 proxy, ${STREAMS} connections`,
    mode: "socks",
    bytes: BULK,
    load: { kind: "exchange", connections: STREAMS, request: 64, reply: BULK },
    baseline: "microsocks",
    figures: streams(BULK),
    pictured: "rate",
    long: true,
  },
  work("work75k", 75_000),
  work("work750k", 750_000),
  {
    ...echo("tls_echo", 64),
    title: "64-byte echo inside TLS, 64 connections",
    mode: "tls_echo",
    baseline: "plain_tls",
    long: true,
  },
  {
    name: "tls_connect",
    title: "connect, full TLS handshake, 64-byte echo, close; 16 at a time",
    mode: "tls_echo",
    load: { kind: "connect", connections: 16, request: 64, reply: 64 },
    baseline: "plain_tls",
    figures: exchanges("conn"),
    pictured: "cpu",
    long: true,
  },
  {
    name: "tls_bulk",
    title: `the server echoes a stream inside TLS, ${STREAMS} connections`,
    mode: "tls_echo",
    load: { kind: "exchange", connections: STREAMS, request: BULK, reply: BULK },
    baseline: "plain_tls",
    figures: streams(BULK),
    pictured: "rate",
    long: true,
  },
  {
    name: "tls_memory",
    title: "1,000 idle connections inside TLS, after 64 bytes and after 64 KiB on each",
    mode: "tls_echo",
    load: { kind: "hold", connections: 1000, request: 64, reply: 64, burst: 65536 },
    baseline: "plain_tls",
    figures: idling(),
    pictured: "idle",
    rounds: 1,
    long: true,
  },
  { ...start("start", "echo", "plain"), among: [...WHOLE, "usher_bundled"] },
  start("tls_start", "tls_echo", "plain_tls"),
  stop("stop0", 0),
  stop("stop1000", 1000),
  ...KV_TESTS.map((test) => kv(test, 1)),
  ...KV_TESTS.map((test) => kv(test, 16)),
];

function echo(name: string, connections: number): Case {
  return {
    name,
    title: `64-byte echo, ${connections} connection${connections === 1 ? "" : "s"}`,
    mode: "echo",
    load: { kind: "exchange", connections, request: 64, reply: 64 },
    baseline: "plain",
    figures: [...exchanges(), ...connections > 1 ? fairness() : []],
    pictured: "cpu",
  };
}

/** Messages of one size, one in flight on each connection. */
function messages(kibibytes: number, connections: number): Case {
  const size = 1024 * kibibytes;
  return {
    ...echo(`echo${kibibytes}k`, connections),
    title: `${kibibytes} KiB echo, ${connections} connections`,
    load: { kind: "exchange", connections, request: size, reply: size },
    figures: [...exchanges(), ...counted()],
    among: READERS,
    counted: true,
    long: true,
    longer: 2,
    processes: 3,
  };
}

/** A protocol with a window, and every network slower than loopback, looks like this to a server. */
function windowed(kibibytes: number, connections: number, size: number): Case {
  return {
    name: `win${kibibytes}k_${connections}x${size}`,
    title: `echo of writes of ${size.toLocaleString("en")} B, at most ${kibibytes} KiB ` +
      `unanswered, ${connections} connections`,
    mode: "echo",
    load: { kind: "stream", connections, request: size, reply: size, window: 1024 * kibibytes },
    baseline: "plain",
    figures: [
      ...streams(size),
      ...exchanges().filter(({ name }) => /^p\d/.test(name)),
      ...counted(),
    ],
    pictured: "rate",
    among: READERS,
    counted: true,
    long: true,
    longer: kibibytes > 64 ? 3 : 2,
  };
}

/** Short connections where the client's FIN comes first. */
function connect(name: string, connections: number): Case {
  return {
    name,
    title: `connect, 64-byte echo, close; ${connections} at a time`,
    mode: "echo",
    load: { kind: "connect", connections, request: 64, reply: 64 },
    baseline: "plain",
    figures: exchanges("conn"),
    pictured: "rate",
    among: WHOLE,
    longer: 2,
  };
}

/** The same where the server's FIN comes first. */
function connectOnce(name: string, connections: number): Case {
  return {
    ...connect(name, connections),
    title: `connect, 64-byte echo, the server closes; ${connections} at a time`,
    mode: "once",
    load: { kind: "connect", connections, request: 64, reply: 64, serverCloses: true },
    long: true,
  };
}

/** Memory of connections seconds after they were busy. */
function memoryAfter(
  name: string,
  what: string,
  sizes: Pick<LoadPlan, "burst" | "times" | "window">,
): Case {
  return {
    name,
    title: `1,000 idle connections, after 64 bytes and 5 s after ${what} on each`,
    mode: "echo",
    load: { kind: "hold", connections: 1000, request: 64, reply: 64, rest: 5, ...sizes },
    baseline: "plain",
    figures: idling(),
    pictured: "idle_after_burst",
    among: READERS,
    rounds: 1,
    long: true,
  };
}

function keep(what: Kept, title: string): Case {
  return {
    name: `keep_${what}`,
    title: `memory that ${title} keeps`,
    mode: "keep",
    load: { kind: "keep", connections: 1, what },
    baseline: "plain_keep",
    figures: keeping(),
    pictured: "kept",
    rounds: 1,
    long: true,
  };
}

function withEvents(benchCase: Case): Case {
  const [setting = ""] = Object.entries(EVENTS_128).map((pair) => pair.join("="));
  const title = `${benchCase.title}, with ${setting}`;
  return { ...benchCase, title, pictured: "p999", denoEnv: EVENTS_128, long: true };
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
    pictured: "rate",
    longer: depth > 1 ? 2 : 1,
  };
}

function frames(name: string, depth: number): Case {
  const together = depth === 1 ? "one at a time" : `${depth} at a time`;
  return {
    name,
    title: `frames of 64 bytes with their length in front echoed, ${together}, 64 connections`,
    mode: "frames",
    load: { kind: "exchange", connections: 64, request: 68, reply: 68, depth, prefix: true },
    baseline: "plain_frames",
    figures: exchanges("frame"),
    pictured: "rate",
    longer: depth > 1 ? 2 : 1,
    long: true,
  };
}

function fanOut(name: string, subscribers: number, messages: number): Case {
  return {
    name,
    title: `examples/mqtt.ts beside mosquitto: 90 bytes at QoS 0 to ${subscribers} subscribers`,
    mode: "mqtt",
    load: { kind: "fan_out", connections: subscribers, messages },
    baseline: "mosquitto",
    figures: exchanges("delivery").filter(({ name }) => name === "rate" || name === "cpu"),
    pictured: "rate",
    rounds: 5,
    long: true,
  };
}

/** A step takes 1.3 ns at 3 GHz. */
function work(name: string, steps: number): Case {
  return {
    ...echo(name, 64),
    title: `${steps.toLocaleString("en")} steps of computing for each 64-byte echo, ` +
      "64 connections, on every core",
    mode: "work",
    bytes: steps,
    onAllCores: true,
    baseline: "usher_single",
    // Node's cluster computes in processes of its own.
    figures: exchanges().filter(({ name }) => name !== "cpu"),
    pictured: "rate",
    long: true,
  };
}

function start(name: string, mode: Mode, baseline: string): Case {
  const inside = isTls(mode) ? ", inside TLS" : "";
  return {
    name,
    title: `from the start of the process to the first answer${inside}`,
    mode,
    load: { kind: "start", connections: 1 },
    baseline,
    figures: once("to answer"),
    pictured: "ms",
    long: true,
    repeats: STARTS,
  };
}

function stop(name: string, connections: number): Case {
  return {
    name,
    title: `shutdown() with ${connections.toLocaleString("en")} idle connections that have spoken`,
    mode: "stop",
    load: { kind: "stop", connections },
    baseline: "usher_stop",
    figures: once("to stop"),
    pictured: "ms",
    long: true,
  };
}

function kv(test: string, depth: number): Case {
  return {
    name: `kv_${test}${depth}`,
    title: `examples/kv.ts beside Redis: redis-benchmark -t ${test} -P ${depth}, 50 clients`,
    mode: "kv",
    load: { kind: "redis", connections: 50, test, depth },
    baseline: "redis",
    figures: exchanges("cmd").filter(({ name }) => name !== "p999"),
    pictured: "rate",
    rounds: 3,
    long: true,
  };
}
