/** Mosquitto's clients work with examples/mqtt.ts, in clear and with certificates. @module */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { ca, client, server as certificate, stranger } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { netTest, root } from "../support/needs.ts";
import { Program } from "../support/program.ts";
import { run } from "./processes.ts";

const NEEDS = { programs: ["mosquitto_sub", "mosquitto_pub"] };

/** The example as its users start it, with certificate files. */
class Broker implements AsyncDisposable {
  readonly place: Directory;
  readonly #program: Program;
  port = 0;

  private constructor(args: string[]) {
    this.place = new Directory();
    const files = { ca: ca.cert, cert: certificate.cert, key: certificate.key };
    const others = { client: client.cert, client_key: client.key };
    const strange = { stranger: stranger.cert, stranger_key: stranger.key };
    for (const [name, pem] of Object.entries({ ...files, ...others, ...strange })) {
      Deno.writeTextFileSync(this.place.at(name), pem);
    }
    this.#program = new Program(new URL("examples/mqtt.ts", root), {
      how: ["run", "--allow-net", "--allow-read"],
      args: ["--port", "0", ...args.map((arg) => arg.replace("./", `${this.place.path}/`))],
    });
  }

  static async start(...args: string[]): Promise<Broker> {
    const broker = new Broker(args);
    broker.port = Number(/:(\d+)$/.exec(await broker.#program.line())?.[1]);
    return broker;
  }

  /** Its address, for one of Mosquitto's clients; over TLS with the certificate of that name. */
  at(who?: string): string[] {
    const { place, port } = this;
    const own = who === undefined ? [] : ["--cert", place.at(who), "--key", place.at(`${who}_key`)];
    const tls = who === undefined ? [] : ["--cafile", place.at("ca"), "-h", "localhost", ...own];
    return [...who === undefined ? ["-h", "127.0.0.1"] : tls, "-p", String(port)];
  }

  async publish(where: string[], ...args: string[]): Promise<void> {
    const { code, complaints } = await run("mosquitto_pub", [...where, ...args]);
    assertEquals([code, complaints], [0, ""]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program[Symbol.asyncDispose]();
    this.place[Symbol.dispose]();
  }
}

/** A subscriber, which is killed when its scope is left. */
class Subscriber implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #lines: AsyncGenerator<string>;

  constructor(where: string[], ...args: string[]) {
    this.#child = new Deno.Command("mosquitto_sub", {
      args: [...where, "-W", "60", ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.#lines = linesOf(this.#child.stdout);
  }

  /** The next message. */
  async line(): Promise<string> {
    const { value, done } = await this.#lines.next();
    if (done) throw new Error("It has ended");
    return value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#lines.return(undefined);
  }
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

/** A subscriber that runs until it has received so many messages; resolves to its output. */
async function subscribed(where: string[], count: number, ...args: string[]): Promise<string[]> {
  const options = [...where, "-C", String(count), "-W", "30", ...args];
  const { said } = await run("mosquitto_sub", options);
  return said.split("\n").filter((line) => line !== "");
}

netTest("Mosquitto's clients publish, subscribe and get retained messages", async () => {
  await using broker = await Broker.start();
  const where = broker.at();
  await broker.publish(where, "-t", "home/kitchen", "-m", "21", "-r", "-q", "1");
  await broker.publish(where, "-t", "home/cellar", "-m", "12", "-r");
  const args = ["-t", "home/+", "-t", "$SYS/#", "-v", "-q", "1"];
  assertEquals((await subscribed(where, 2, ...args)).toSorted(), [
    "home/cellar 12",
    "home/kitchen 21",
  ]);
  await broker.publish(where, "-t", "home/kitchen", "-n", "-r");
  assertEquals(await subscribed(where, 1, ...args), ["home/cellar 12"]);
}, NEEDS);

netTest(
  "Mosquitto's clients get in a session what was published while they were away",
  async () => {
    await using broker = await Broker.start();
    const where = broker.at();
    const session = ["-i", "ada", "-c", "-q", "1", "-t", "topic", "-t", "ready"];
    await broker.publish(where, "-t", "ready", "-m", "yes", "-r");
    assertEquals(await subscribed(where, 1, ...session), ["yes"]);
    for (let i = 1; i <= 20; i++) {
      await broker.publish(
        where,
        "-t",
        "topic",
        "-m",
        `${i}`,
        "-q",
        "1",
      );
    }
    const heard = await subscribed(where, 21, ...session);
    const messages = Array.from({ length: 20 }, (_, i) => `${i + 1}`);
    assertEquals(heard.filter((line) => line !== "yes"), messages);
  },
  NEEDS,
);

netTest("a will of one of Mosquitto's clients is published when it is killed", async () => {
  await using broker = await Broker.start();
  const where = broker.at();
  const ready = ["-t", "ready", "-m", "yes", "-r"];
  await broker.publish(where, ...ready);
  await using ada = new Subscriber(where, "-t", "ready", "-t", "gone", "-v");
  assertEquals(await ada.line(), "ready yes");
  {
    const will = ["--will-topic", "gone", "--will-payload", "bob"];
    await using bob = new Subscriber(where, "-t", "ready", ...will);
    assertEquals(await bob.line(), "yes");
  }
  assertEquals(await ada.line(), "gone bob");
}, NEEDS);

netTest(
  "Mosquitto's clients need a certificate of the authority where one is asked for",
  async () => {
    await using broker = await Broker.start(
      "--cert",
      "./cert",
      "--key",
      "./key",
      "--client-ca",
      "./ca",
    );
    await broker.publish(broker.at("client"), "-t", "a", "-m", "inside", "-r", "-q", "1");
    assertEquals(await subscribed(broker.at("client"), 1, "-t", "a"), ["inside"]);
    const message = ["-t", "a", "-m", "from a stranger", "-r", "-q", "1"];
    const refused = await run("mosquitto_pub", [...broker.at("stranger"), ...message]);
    assert(refused.code !== 0);
    assertStringIncludes(refused.complaints, "Error");
    assertEquals(await subscribed(broker.at("client"), 1, "-t", "a"), ["inside"]);
  },
  NEEDS,
);

netTest(
  "what is published line by line passes to one of Mosquitto's clients unharmed",
  async () => {
    await using broker = await Broker.start();
    const where = broker.at();
    await broker.publish(where, "-t", "ready", "-m", "yes", "-r");
    await using ada = new Subscriber(where, "-q", "1", "-t", "ready", "-t", "bulk");
    assertEquals(await ada.line(), "yes");
    const lines = Array.from({ length: 100 }, (_, i) => `${i} `.repeat(1000));
    const input = lines.map((line) => `${line}\n`).join("");
    const { code } = await run("mosquitto_pub", [...where, "-t", "bulk", "-q", "1", "-l"], {
      input,
    });
    assertEquals(code, 0);
    for (const line of lines) assertEquals(await ada.line(), line);
  },
  NEEDS,
);
