/** Every example does what its header says. @module */

import { pathToFileURL } from "node:url";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { balancer } from "../examples/balancer.ts";
import { behindProxy } from "../examples/behind_proxy.ts";
import { chat } from "../examples/chat.ts";
import { echo } from "../examples/echo.ts";
import { stretch } from "../examples/fleet.ts";
import { forward } from "../examples/forward.ts";
import { answer } from "../examples/four_steps.ts";
import { kv } from "../examples/kv.ts";
import { mqtt } from "../examples/mqtt.ts";
import { postgres } from "../examples/postgres.ts";
import { quotes } from "../examples/quotes.ts";
import { shout } from "../examples/shout.ts";
import { socks5 } from "../examples/socks5.ts";
import { mail } from "../examples/starttls.ts";
import { tlsEcho } from "../examples/tls_echo.ts";
import { watched } from "../examples/watched.ts";
import { type Handler, type ProxyHeader, serve } from "../mod.ts";
import { Directory } from "./support/directory.ts";
import { granted, netTest } from "./support/needs.ts";
import { bytes, text } from "./support/bytes.ts";
import { readAll } from "./support/peers.ts";
import { Program } from "./support/program.ts";
import { until } from "./support/wait.ts";

const directory = new URL("../examples/", import.meta.url);

/** An example, and how to check it. */
interface Example {
  /** Its handler, or the function that makes it. */
  readonly handler: Handler | ((...options: never[]) => Handler);
  readonly question: string;
  readonly answer: string | RegExp;
  /** What it prints after its address; `PORT` stands for the port. */
  readonly hint?: string | RegExp;
  /** What it prints on stderr. */
  readonly complaint?: RegExp;
  /** Flags without which it could not be started twice at a time. */
  readonly flags?: readonly string[];
  /** The certificate that it made in its directory, if it speaks TLS. */
  readonly certificate?: string;
}

/** Every example: its handler, and a request with its answer. */
const EXAMPLES: Record<string, Example> = {
  "balancer.ts": { handler: balancer, question: "GET / HTTP/1.1\r\n\r\n", answer: "" },
  "behind_proxy.ts": {
    handler: behindProxy,
    question: "PROXY TCP4 192.0.2.7 192.0.2.1 56324 7000\r\none",
    answer:
      /^You are tcp:\/\/192\.0\.2\.7:56324 in clear text, through tcp:\/\/127\.0\.0\.1:\d+\none$/,
  },
  "chat.ts": {
    handler: chat,
    question: "Ada\n/quit\n",
    answer: "* What is your name?\r\n* Nobody else is here\r\n* Bye\r\n",
  },
  "chat_nats.ts": {
    handler: chat,
    question: "Ada\n/quit\n",
    answer: "* What is your name?\r\n* Nobody else is here\r\n" +
      "* The other servers are out of reach: only guests of this one hear you\r\n* Bye\r\n",
    // Port 1 refuses.
    flags: ["--nats", "127.0.0.1:1"],
    complaint: /^NATS at 127\.0\.0\.1:1 is away \(.*\): guests hear only those of this server/,
  },
  "echo.ts": { handler: echo, question: "one", answer: "one" },
  "fleet.ts": {
    handler: stretch,
    question: "one\n",
    answer: "2683c692f36964c74db314e8bc4f6d71\n",
  },
  "forward.ts": { handler: forward, question: "one", answer: "one" },
  "four_steps.ts": { handler: answer, question: "one", answer: "one" },
  "kv.ts": {
    handler: kv,
    question: "SET one 1\r\nINCR one\r\nQUIT\r\n",
    answer: "+OK\r\n:2\r\n+OK\r\n",
  },
  "limits_redis.ts": {
    handler: echo,
    question: "one",
    answer: "one",
    // Port 1 refuses.
    flags: ["--redis", "127.0.0.1:1"],
    complaint: /^Redis at 127\.0\.0\.1:1 is away \(.*\): this process admits 1000 connections/,
  },
  "mqtt.ts": {
    handler: mqtt,
    question: "\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a",
    answer: "\x20\x02\0\0",
  },
  "postgres.ts": {
    handler: postgres,
    question: "\0\0\0\x10\0\x03\0\0user\0a\0\0X\0\0\0\x04",
    answer: /^R[^]*server_version[^]*I$/,
    hint: 'psql "host=127.0.0.1 port=PORT sslmode=verify-ca sslrootcert=./localhost.pem"',
  },
  "quotes.ts": {
    handler: quotes,
    question: '\0\0\0\x16{"id":1,"ask":"count"}',
    answer: '\0\0\0\x13{"id":1,"answer":4}',
  },
  "readiness.ts": {
    handler: echo,
    question: "one",
    answer: "one",
    hint: /^Probes on http:\/\/127\.0\.0\.1:\d+\/readyz$/,
    flags: ["--health-port", "0", "--lame-duck", "0"],
  },
  "shout.ts": { handler: shout, question: "one\n", answer: "ONE\r\n" },
  "socks5.ts": { handler: socks5, question: "\x05\x01\x02", answer: "\x05\ufffd" },
  "starttls.ts": {
    handler: mail,
    question: "NOOP\r\nQUIT\r\n",
    answer: "220 usher.example ESMTP\r\n250 OK\r\n221 Bye\r\n",
    hint: "openssl s_client -starttls smtp -crlf -connect 127.0.0.1:PORT -CAfile ./localhost.pem",
  },
  "tls_echo.ts": {
    handler: tlsEcho,
    question: "one",
    answer: "one",
    hint: "openssl s_client -connect 127.0.0.1:PORT -CAfile ./localhost.pem",
    certificate: "localhost.pem",
  },
  "watched.ts": {
    handler: watched,
    question: "one",
    answer: "one",
    hint: /^Status page at http:\/\/127\.0\.0\.1:\d+\/$/,
    flags: ["--page", "0"],
  },
};

/** Modules that the examples share, and the one that is a test itself. */
const NO_EXAMPLES = [
  ...[
    "README.md",
    "certificate.ts",
    "chat_nats",
    "deploy",
    "haproxy.cfg",
    "kv",
    "limits_redis",
    "mqtt",
    "postgres",
    "secret.ts",
    "self_signed.ts",
    "start.ts",
  ],
  "testing_a_handler_test.ts",
];

/** The command of an example, from its header. */
interface CommandLine {
  /** The line itself. */
  readonly line: string;
  /** `run` and the permissions. */
  readonly how: string[];
  /** The flags of the example. */
  readonly args: string[];
}

async function commandLine(name: string): Promise<CommandLine> {
  const source = await Deno.readTextFile(new URL(name, directory));
  const comment = source.slice(0, source.indexOf("*/"));
  const line = /^ \* (deno run .*)$/m.exec(comment)?.[1] ?? "";
  const [before, after] = line.split(`examples/${name}`);
  assert(before !== undefined && after !== undefined, `no command line in ${name}`);
  const words = (text: string) => text.split(" ").filter((word) => word !== "");
  return { line, how: words(before).slice(1), args: words(after) };
}

/** Starts an example with its own command line, followed by `args`. */
async function startExample(name: string, ...args: string[]): Promise<Program> {
  return await startIn(undefined, name, ...args);
}

/** The same in a directory where it may leave files. */
async function startIn(cwd: URL | undefined, name: string, ...args: string[]): Promise<Program> {
  const { how, args: own } = await commandLine(name);
  const options = { how, args: [...own, ...args], ...(cwd !== undefined && { cwd }) };
  return new Program(new URL(name, directory), options);
}

/** Takes the first line that an example prints. */
async function address(example: Program): Promise<{ hostname: string; port: number }> {
  const line = await example.line();
  const [, hostname = "", port] = /^Listening on tcp:\/\/(?:\[?([^/]+?)\]?):(\d+)$/.exec(line) ??
    [];
  assert(port !== undefined, `printed ${JSON.stringify(line)} first`);
  return { hostname, port: Number(port) };
}

/** Sends a text and the end, and reads to the end of the answer; over TLS if there is a `ca`. */
async function ask(
  addr: { hostname: string; port: number },
  question: string,
  ca?: string,
): Promise<string> {
  const client = ca === undefined
    ? await Deno.connect(addr)
    : await Deno.connectTls({ ...addr, caCerts: [ca] });
  await client.write(bytes`${question}`);
  await client.closeWrite();
  return text(await readAll(client));
}

/** Stops an example as a user would, and returns its output since the first line. */
async function stop(example: Program): Promise<string[]> {
  example.kill("SIGTERM");
  await example.status;
  return [...await example.lines(), ...await example.complaints()];
}

/** The message and exit code of an example that does not start. */
async function refusal(example: Program): Promise<{ code: number; complaints: string[] }> {
  const { code } = await example.status;
  assertEquals(await example.lines(), []);
  return { code, complaints: await example.complaints() };
}

Deno.test({
  name: "examples/ holds nothing that is not started here",
  ignore: !granted,
  fn() {
    const found = [...Deno.readDirSync(directory)].map(({ name }) => name);
    assertEquals(found.toSorted(), [...Object.keys(EXAMPLES), ...NO_EXAMPLES].toSorted());
  },
});

for (const [name, example] of Object.entries(EXAMPLES)) {
  netTest(`examples/${name} has its command in its header`, async () => {
    const { line } = await commandLine(name);
    const source = await Deno.readTextFile(new URL(name, directory));
    assertStringIncludes(source, `const command = "${line}";`);
    // In a worker of a fleet the program is the main module only where it is a file.
    assertMatch(source, /\nif \(import\.meta\.main( \|\| !isMainThread)?\) \{\n/);
    assertEquals(typeof example.handler, "function");
  });

  netTest(`examples/${name} prints its address and answers until it is stopped`, async () => {
    const { question, answer, hint, complaint, flags = [], certificate } = example;
    await using backend = serve({ port: 0, hostname: "127.0.0.1" }, echo);
    using place = new Directory();
    const own = name === "forward.ts" ? ["--to", `127.0.0.1:${backend.addr.port}`] : [];
    const cwd = pathToFileURL(`${place.path}/`);
    await using running = await startIn(cwd, name, ...own, ...flags, "--port", "0");
    const addr = await address(running);
    assertEquals(addr.hostname, "127.0.0.1");
    if (typeof hint === "string") {
      assertEquals(await running.line(), hint.replace("PORT", String(addr.port)));
    } else if (hint !== undefined) assertMatch(await running.line(), hint);
    const ca = certificate && await Deno.readTextFile(place.at(certificate));
    for (let time = 0; time < 2; time++) {
      const answered = await ask(addr, question, ca);
      if (typeof answer === "string") assertEquals(answered, answer);
      else assertMatch(answered, answer);
    }
    if (complaint !== undefined) assertMatch(await running.complaint() ?? "", complaint);
    assertEquals(await stop(running), []);
    // `listen()` by itself does not handle signals, and Windows has none.
    const code = name === "four_steps.ts" ? 143 : 0;
    if (Deno.build.os !== "windows") assertEquals((await running.status).code, code);
  });

  netTest(`examples/${name} says which permissions it needs when they are missing`, async () => {
    const { line, args } = await commandLine(name);
    await using example = new Program(new URL(name, directory), { how: ["run"], args });
    const { code, complaints } = await refusal(example);
    assertEquals(code, 1);
    assertEquals(complaints, [`This example needs permissions: ${line}`]);
  });
}

const WRONG_FLAGS = [
  { flags: ["--prot", "0"], wrong: "--prot" },
  { flags: ["--port"], wrong: "--port" },
  { flags: ["--port", "http"], wrong: '"http"' },
  { flags: ["--port", "65536"], wrong: '"65536"' },
  { flags: ["7000"], wrong: "7000" },
];

for (const { flags, wrong } of WRONG_FLAGS) {
  netTest(`examples/echo.ts refuses the flags ${flags.join(" ")}`, async () => {
    const { line } = await commandLine("echo.ts");
    await using example = await startExample("echo.ts", ...flags);
    const { code, complaints: [message, ...more] } = await refusal(example);
    assertEquals(code, 2);
    assertStringIncludes(message ?? "", wrong);
    assertEquals(more, [`Use: ${line} [--hostname 127.0.0.1] [--port 7000]`]);
  });
}

netTest("examples/echo.ts starts in any directory and listens on IPv6 too", async () => {
  const { how } = await commandLine("echo.ts");
  await using example = new Program(new URL("echo.ts", directory), {
    how,
    args: ["--hostname", "::1", "--port", "0"],
    cwd: new URL("file:///"),
  });
  const addr = await address(example);
  assertEquals(addr.hostname, "::1");
  assertEquals(await ask(addr, "hello"), "hello");
}, { os: ["linux", "darwin"] });

netTest(
  "examples/echo.ts listens on port 7000 by default, or says that it is taken",
  async () => {
    using _taken = await take(7000);
    await using example = await startExample("echo.ts");
    const { code, complaints } = await refusal(example);
    assertEquals(code, 1);
    assertEquals(complaints.length, 1);
    assertMatch(complaints[0]!, /^Cannot listen on tcp:\/\/127\.0\.0\.1:7000: .* use another port/);
  },
);

netTest("examples/echo.ts says why it cannot listen, and nothing else", async () => {
  await using example = await startExample("echo.ts", "--hostname", "203.0.113.9");
  const { code, complaints } = await refusal(example);
  assertEquals(code, 1);
  assertEquals(complaints.length, 1);
  assertMatch(complaints[0]!, /^Cannot listen on tcp:\/\/203\.0\.113\.9:7000: /);
});

for (
  const target of ["", "localhost", "localhost:", ":7000", "localhost:70000", "::1:7000", "a/b:1"]
) {
  netTest(`examples/forward.ts refuses to forward to "${target}"`, async () => {
    await using example = await startExample("forward.ts", `--to=${target}`);
    const { code, complaints } = await refusal(example);
    assertEquals(code, 2);
    assertStringIncludes(complaints[0]!, `"${target}": use HOST:PORT`);
  });
}

for (const version of [1, 2] as const) {
  netTest(`examples/forward.ts --send-proxy v${version} sends the client's address`, async () => {
    const headers: (ProxyHeader | undefined)[] = [];
    const options = { port: 0, hostname: "127.0.0.1", proxyProtocol: { trust: ["127.0.0.1"] } };
    await using backend = serve(options, async (conn) => {
      headers.push(conn.proxy);
      await echo(conn);
    });
    const to = ["--to", `127.0.0.1:${backend.addr.port}`, "--send-proxy", `v${version}`];
    await using example = await startExample("forward.ts", ...to);
    const { hostname, port } = await address(example);
    const client = await Deno.connect({ hostname, port });
    const { localAddr: source, remoteAddr: destination } = client;
    await client.write(bytes`one`);
    await client.closeWrite();
    assertEquals(text(await readAll(client)), "one");
    assertEquals(headers, [{ version, command: "PROXY", source, destination } as ProxyHeader]);
  });
}

const WRONG_OWN_FLAGS = [
  {
    name: "forward.ts",
    flags: ["--to", "127.0.0.1:7000", "--send-proxy", "v3"],
    wrong: 'Cannot forward with --send-proxy "v3": use v1 or v2',
    usage: "[--send-proxy v1|v2]",
  },
  {
    name: "behind_proxy.ts",
    flags: ["--trust", "10.0.0.0/33"],
    wrong: '"10.0.0.0/33"',
    usage: "[--trust 127.0.0.1,::1]",
  },
  {
    name: "tls_echo.ts",
    flags: ["--cert", "cert.pem"],
    wrong: "Cannot use --cert, --key and --dir so: give the first two, or the third",
    usage: "[--cert FILE] [--key FILE] [--dir DIRECTORY]",
  },
  {
    name: "starttls.ts",
    flags: ["--cert", "cert.pem"],
    wrong: "Cannot use --cert, --key and --dir so: give the first two, or the third",
    usage: "[--cert FILE] [--key FILE] [--dir DIRECTORY]",
  },
];

for (const { name, flags, wrong, usage } of WRONG_OWN_FLAGS) {
  netTest(`examples/${name} refuses the flags ${flags.join(" ")}`, async () => {
    using place = new Directory();
    await using example = await startIn(pathToFileURL(`${place.path}/`), name, ...flags);
    const { code, complaints: [message, help] } = await refusal(example);
    assertEquals(code, 2);
    assertStringIncludes(message ?? "", wrong);
    assertStringIncludes(help ?? "", ` ${usage} `);
  });
}

netTest("examples/forward.ts goes on when its target refuses connections", async () => {
  const gone = Deno.listen({ port: 0, hostname: "127.0.0.1" });
  const { port } = gone.addr;
  gone.close();
  await using example = await startExample("forward.ts", "--to", `127.0.0.1:${port}`);
  const addr = await address(example);
  assertEquals(await ask(addr, ""), "");
  assertMatch(await example.complaint() ?? "", /^usher: connection 1 from .*ConnectionRefused/);
  assertEquals(await ask(addr, ""), "");
});

/**
 * Listens on a port of this machine. Another run of these tests may have it for a moment, and must not
 * give it up in the midst of this one; a program that keeps it longer does as well.
 */
async function take(port: number): Promise<Disposable> {
  let listener: Disposable | undefined;
  const isOurs = () => {
    try {
      listener = Deno.listen({ port, hostname: "127.0.0.1" });
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
    return listener !== undefined;
  };
  await until(isOurs).catch(() => {});
  return listener ?? { [Symbol.dispose]() {} };
}
