/** Redis's own programs work with examples/kv.ts, and it answers as Redis does. @module */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { kv } from "../../examples/kv.ts";
import { commands, replies, type Reply } from "../../examples/kv/resp.ts";
import { Store } from "../../examples/kv/store.ts";
import { fromLatin1, latin1 } from "../../examples/kv/text.ts";
import { connection, framed, serve, type Server } from "../../mod.ts";
import { byChance, type Chance } from "../support/chance.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { LOOPBACK } from "../support/peers.ts";

/** Ms after which a program that hangs is killed. */
const LONGEST_RUN = 60_000;

/** The server, with a store of its own. */
class Serving implements AsyncDisposable {
  readonly #store = new Store();
  readonly server: Server<Deno.NetAddr> = serve(LOOPBACK, kv(this.#store));

  connect(): Promise<Deno.Conn> {
    const { hostname, port } = this.server.addr;
    return Deno.connect({ hostname, port });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.shutdown({ timeout: 0 });
    this.#store[Symbol.dispose]();
  }
}

/** Runs one of Redis's programs against a server to its end; returns its output. */
async function run(
  program: string,
  { server }: Serving,
  args: string[],
  input: Uint8Array = new Uint8Array(0),
): Promise<string> {
  const child = new Deno.Command(program, {
    args: ["-h", server.addr.hostname, "-p", String(server.addr.port), ...args],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(LONGEST_RUN),
  }).spawn();
  const [{ success, stdout, stderr }] = await Promise.all([child.output(), feed(child, input)]);
  assertEquals(latin1(stderr), "");
  assert(success, latin1(stdout));
  return latin1(stdout);
}

async function feed(child: Deno.ChildProcess, input: Uint8Array): Promise<void> {
  const writer = child.stdin.getWriter();
  await writer.write(input as Uint8Array<ArrayBuffer>);
  await writer.close();
}

/** Calls of `redis-cli`, one after the other, and their output. */
const CALLS: [args: string[], output: string][] = [
  [["PING"], "PONG"],
  [["ping", "hello"], "hello"],
  [["ECHO", "a b"], "a b"],
  [["SET", "greeting", "hello, world"], "OK"],
  [["GET", "greeting"], "hello, world"],
  [["GET", "nothing"], ""],
  [["SET", "greeting", "x", "NX"], ""],
  [["SET", "brief", "x", "EX", "100"], "OK"],
  [["TTL", "brief"], "100"],
  [["EXPIRE", "greeting", "1000"], "1"],
  [["TTL", "nothing"], "-2"],
  [["INCR", "n"], "1"],
  [["DECR", "n"], "0"],
  [["MSET", "a", "1", "b", "2"], "OK"],
  [["MGET", "a", "nothing", "b"], "1\n\n2"],
  [["EXISTS", "a", "b", "c"], "2"],
  [["KEYS", "gr*"], "greeting"],
  [["DBSIZE"], "5"],
  [["DEL", "a", "b"], "2"],
  [["CONFIG", "GET", "save"], "save\n"],
  [["COMMAND", "DOCS"], ""],
  [["FLUSHALL"], "OK"],
  [["DBSIZE"], "0"],
  [["NOSUCH"], "ERR unknown command 'NOSUCH', with args beginning with: \n"],
  [["GET"], "ERR wrong number of arguments for 'get' command\n"],
  [["QUIT"], "OK"],
];

netTest("redis-cli: each command works", async () => {
  await using serving = new Serving();
  for (const [args, output] of CALLS) {
    assertEquals(await run("redis-cli", serving, args), `${output}\n`, args.join(" "));
  }
}, { programs: ["redis-cli"] });

netTest("redis-cli: commands come from its input, and a value of any bytes", async () => {
  await using serving = new Serving();
  assertEquals(
    await run("redis-cli", serving, [], fromLatin1("SET a 'b c'\nGET a\nINCR n\nINCR n\n")),
    "OK\nb c\n1\n2\n",
  );
  const value = latin1(Uint8Array.from({ length: 100_000 }, (_, i) => i ^ (i >> 8)));
  assertEquals(await run("redis-cli", serving, ["-x", "SET", "v"], fromLatin1(value)), "OK\n");
  assertEquals(await run("redis-cli", serving, ["GET", "v"]), `${value}\n`);
}, { programs: ["redis-cli"] });

netTest("redis-cli --pipe: 20,000 commands go in at once", async () => {
  await using serving = new Serving();
  const count = 20_000;
  const input = Array.from(
    { length: count },
    (_, i) => latin1(commands.encode(["SET", `key:${i}`, `${i}`].map(fromLatin1))),
  ).join("");
  const output = await run("redis-cli", serving, ["--pipe"], fromLatin1(input));
  assertStringIncludes(output, `errors: 0, replies: ${count}\n`);
  assertEquals(await run("redis-cli", serving, ["DBSIZE"]), `${count}\n`);
  assertEquals(await run("redis-cli", serving, ["GET", "key:19999"]), "19999\n");
}, { programs: ["redis-cli"] });

for (const depth of [1, 16]) {
  netTest(`redis-benchmark -P ${depth}: it ends, and every test has a figure`, async () => {
    await using serving = new Serving();
    const tests = ["ping", "set", "get", "incr", "mset"];
    const output = await run("redis-benchmark", serving, [
      ...["-t", tests.join(","), "-c", "10", "-n", "2000", "-r", "100", "-d", "50"],
      ...["-P", String(depth), "--csv"],
    ]);
    const figures = output.trim().split("\n").slice(1).map((line) =>
      /^"([A-Z_]+)[^"]*","([\d.]+)"/.exec(line)?.slice(1) ?? line
    );
    assertEquals(
      figures.map(([name]) => name),
      ["PING_INLINE", "PING_MBULK", "SET", "GET", "INCR", "MSET"],
    );
    for (const [name, rate] of figures) assert(Number(rate) > 0, name);
  }, { programs: ["redis-benchmark"] });
}

/** A Redis without persistence, on a Unix socket: it needs no port. */
class Redis implements AsyncDisposable {
  readonly #directory = new Directory();
  readonly #child: Deno.ChildProcess;
  readonly #path = this.#directory.at("redis.sock");
  readonly #log: ReadableStreamDefaultReader<string>;

  constructor() {
    this.#child = new Deno.Command("redis-server", {
      args: [
        ...["--port", "0", "--unixsocket", this.#path, "--save", "", "--appendonly", "no"],
        ...["--daemonize", "no", "--dir", this.#directory.path],
      ],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      signal: AbortSignal.timeout(LONGEST_RUN),
    }).spawn();
    this.#log = this.#child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** Resolves when it listens. */
  async ready(): Promise<void> {
    for (let log = ""; !/ready to accept connections/i.test(log);) {
      const { done, value } = await this.#log.read();
      if (done) throw new Error(`redis-server has ended: ${log}`);
      log += value;
    }
  }

  connect(): Promise<Deno.Conn> {
    return Deno.connect({ transport: "unix", path: this.#path });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    while (!(await this.#log.read()).done);
    await this.#child.status;
    this.#directory[Symbol.dispose]();
  }
}

/** Bytes sent to both in one go, to an empty store. */
const RAW: string[] = [
  "PING\r\nping x\r\nPING x y\r\n",
  "SET a 1\r\nGET a\r\nget b\r\nSET a\r\nGET a b\r\n",
  'set "a b" \'c\\\'d\'\r\nget "a\\x20b"\r\nset a""\r\nset a "" \r\nget a\r\n',
  "\r\n\n  \r\n*0\r\n*-1\r\nPING\r\n",
  "SET a 1 NX\r\nSET a 2 NX\r\nSET a 3 XX\r\nSET b 4 XX\r\nMGET a b\r\n",
  "SET a 1 NX XX\r\nSET a 1 EX\r\nSET a 1 EX 5 PX 5\r\nSET a 1 EX 0\r\nSET a 1 EX x\r\n",
  "SET a 1 EX 1.5\r\nSET a 1 PX -5\r\nSET a 1 EX x y\r\nSET a 1 EX 9223372036854775807\r\n",
  "SET a 1 NX NX EX 100\r\nGET a\r\nTTL b\r\nSET a 1\r\nTTL a\r\n",
  "INCR a\r\nDECR a\r\nDECR a\r\nSET a x\r\nINCR a\r\nSET a 01\r\nINCR a\r\nSET a ''\r\nINCR a\r\n",
  "SET a 9223372036854775807\r\nINCR a\r\nDECR a\r\nSET a -9223372036854775808\r\nDECR a\r\n",
  "EXPIRE a 10\r\nSET a 1\r\nEXPIRE a x\r\nEXPIRE a 9223372036854775807\r\nEXPIRE a 100\r\n",
  "SET a 1\r\nEXPIRE a 0\r\nGET a\r\nEXPIRE a\r\nTTL\r\n",
  "MSET a 1 b\r\nMSET a\r\nMSET a 1 a 2\r\nMGET a a\r\nEXISTS a a b\r\nDEL a a\r\n",
  "FLUSHALL\r\nFLUSHALL async\r\nFLUSHALL never\r\nDBSIZE\r\nDBSIZE x\r\n",
  `nosuch\r\nnosuch a b\r\n${"x".repeat(200)} ${"y".repeat(100)} ${"z".repeat(100)} a\r\n`,
  "CONFIG GET\r\nCONFIG GET save\r\nCONFIG GET nosuch\r\n",
  "PING\r\n*1\r\n$4\r\nPING\r\nPING\r\n",
  "*1\r\n$-5\r\n",
  "*1\r\n$99999999999\r\n",
  "*1\r\n$x\r\n",
  "*2147483648\r\n",
  "*x\r\n",
  "*1\r\n*1\r\n",
  "*1\r\nPING\r\n",
  'SET "a\r\n',
  "SET 'a'b\r\n",
];

netTest("kv.ts answers as Redis does, to valid and invalid commands", async () => {
  await using serving = new Serving();
  await using redis = new Redis();
  await redis.ready();
  for (const raw of RAW) {
    const [ours, theirs] = await Promise.all([talk(serving, raw), talk(redis, raw)]);
    assertEquals(ours, theirs, raw.slice(0, 200));
  }
}, { programs: ["redis-server"] });

/** Sends bytes after a FLUSHALL and before a QUIT; returns everything that comes back. */
async function talk(server: { connect(): Promise<Deno.Conn> }, raw: string): Promise<string> {
  await using client = connection(await server.connect());
  client.write(fromLatin1(`FLUSHALL\r\n${raw}QUIT\r\n`));
  let text = "";
  try {
    for await (const chunk of client) text += latin1(chunk);
  } catch (error) {
    // Redis closes without reading the rest, and its answers have come by then.
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  }
  return text;
}

/** Patterns, some of which match one of the keys, and some of which are odd. */
const PATTERNS = ["*", "a*", "?", "[ab]", "[^a]*", "[a-", "*b*", "\\*", "[]", "a\\", "[b-a]?", ""];

const KEYS = ["a", "b", "ab", "a*", "*", "[", "\\", "]", "-", ""];
const VALUES = ["", "0", "7", "-1", "9223372036854775807", " 1", "text", "\0\r\n\xff"];

/** A command with the same answer on both: none about time, which passes. */
function anyCommand(chance: Chance): string[] {
  const key = () => chance.pick(KEYS);
  const value = () => chance.pick(VALUES);
  const some = (one: () => string) => Array.from({ length: chance.from(0, 3) }, one);
  return chance.pick([
    () => ["SET", key(), value(), ...some(() => chance.pick(["NX", "XX", "EX", "100", "px"]))],
    () => ["GET", key()],
    () => ["INCR", key()],
    () => ["DECR", key()],
    () => ["MSET", key(), value(), ...some(value)],
    () => ["MGET", key(), ...some(key)],
    () => ["DEL", key(), ...some(key)],
    () => ["EXISTS", ...some(key)],
    () => ["EXPIRE", key(), chance.pick(["100", "-1", "x", ""])],
    () => ["KEYS", chance.pick(PATTERNS)],
    () => ["DBSIZE", ...some(key).slice(2)],
    () => ["PING", ...some(value)],
    () => ["ECHO", value()],
    // Only characters that Redis shows unchanged.
    () => [chance.pick(["nosuch", "7", "", "SETT"]), chance.pick(["a", "b c", ""])],
  ])();
}

netTest("kv.ts answers as Redis does, whatever it is asked", async () => {
  await using serving = new Serving();
  await using redis = new Redis();
  await redis.ready();
  await byChance(async (chance) => {
    const list = [["FLUSHALL"], ...Array.from({ length: 5000 }, () => anyCommand(chance))];
    const [ours, theirs] = await Promise.all([askAll(serving, list), askAll(redis, list)]);
    for (const [i, asked] of list.entries()) {
      assertEquals(
        inOrder(asked, ours[i]!),
        inOrder(asked, theirs[i]!),
        `command ${i}: ${JSON.stringify(asked)}`,
      );
    }
  });
}, { programs: ["redis-server"] });

/** A reply on the wire; keys come in any order. */
function inOrder([name]: string[], reply: Reply): string[] {
  if (name !== "KEYS" || !Array.isArray(reply)) return [latin1(replies.encode(reply))];
  return reply.map((key) => latin1(key)).toSorted();
}

/** Sends commands all together; returns their replies. */
async function askAll(
  server: { connect(): Promise<Deno.Conn> },
  list: string[][],
): Promise<Reply[]> {
  await using client = connection(await server.connect());
  const asking = framed(client, commands);
  const answers = framed(client, replies);
  const received: Reply[] = [];
  const sent = (async () => {
    for (const words of list) await asking.send(words.map(fromLatin1));
    await asking.flush();
  })();
  while (received.length < list.length) received.push(await answers.read());
  await sent;
  return received;
}
