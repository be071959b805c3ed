/** psql works with examples/postgres.ts, in clear and inside TLS. @module */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { postgres } from "../../examples/postgres.ts";
import { serve, type Server } from "../../mod.ts";
import { server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { LOOPBACK } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { certificateFiles } from "./certificate_files.ts";
import { type Outcome, run } from "./processes.ts";

const NEEDS = { programs: ["psql"] };

class Serving implements AsyncDisposable {
  readonly server: Server<Deno.NetAddr>;
  readonly files = certificateFiles();

  constructor(password?: string) {
    const login = password === undefined ? {} : { password };
    const options = { tls: certificate, ...login, server: () => this.server };
    this.server = serve(LOOPBACK, postgres(options));
  }

  /** Runs psql, which prints only rows. */
  psql(sslmode: string, commands: string[], password = ""): Promise<Outcome> {
    const words = {
      ...{ host: "localhost", hostaddr: "127.0.0.1", port: this.server.addr.port },
      ...{ user: "ada", dbname: "any", sslmode, sslrootcert: this.files.at("ca.pem") },
      ...password !== "" && { password },
      connect_timeout: 10,
    };
    const where = Object.entries(words).map(([name, value]) => `${name}=${value}`).join(" ");
    const orders = commands.flatMap((command) => ["-c", command]);
    return run("psql", [where, "--no-psqlrc", "--no-password", "-At", ...orders]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.shutdown({ timeout: 0 });
    this.files[Symbol.dispose]();
  }
}

for (const sslmode of ["disable", "prefer", "require", "verify-full"]) {
  netTest(`psql with sslmode=${sslmode} is answered`, async () => {
    await using serving = new Serving();
    const { said, complaints, code } = await serving.psql(sslmode, [
      "select * from series(2); select * from nothing",
      "select * from series(1)",
    ]);
    assertEquals([said, code], ["1\n2\n1\n", 0]);
    assertStringIncludes(complaints, 'relation "nothing" does not exist');
    await until(() => serving.server.stats().ended.completed === 1);
  }, NEEDS);
}

netTest("psql sends its password inside TLS, and in clear it is not asked", async () => {
  await using serving = new Serving("secret");
  const order = ["select * from series(1)"];
  assertEquals((await serving.psql("verify-full", order, "secret")).said, "1\n");
  const wrong = await serving.psql("verify-full", order, "guess");
  assertStringIncludes(wrong.complaints, "The password is wrong");
  const clear = await serving.psql("disable", order, "secret");
  assertStringIncludes(clear.complaints, "inside TLS only");
}, NEEDS);

netTest("psql reads 300,000 rows", async () => {
  await using serving = new Serving();
  const { said } = await serving.psql("require", ["select * from series(300000)"]);
  const rows = said.trimEnd().split("\n");
  assertEquals(rows.length, 300_000);
  assert(rows.every((row, i) => row === String(i + 1)));
}, NEEDS);

netTest("psql cancels its query", async () => {
  await using serving = new Serving();
  const { port } = serving.server.addr;
  const where = `host=127.0.0.1 port=${port} user=ada dbname=any sslmode=require`;
  // psql cancels at SIGINT, which it gets once its query is on its way.
  const child = new Deno.Command("psql", {
    args: [where, "--no-psqlrc", "-At", "-c", "select * from pause(60)"],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  await until(() => [...serving.server.connections].some(({ bytesRead }) => bytesRead > 80));
  child.kill("SIGINT");
  const { stderr } = await output;
  assertStringIncludes(new TextDecoder().decode(stderr), "cancelled by its user");
}, NEEDS);

netTest("psql sees that the server stops", async () => {
  await using serving = new Serving();
  const { port } = serving.server.addr;
  const where = `host=127.0.0.1 port=${port} user=ada dbname=any sslmode=disable`;
  const child = new Deno.Command("psql", {
    args: [where, "--no-psqlrc", "-At"],
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode("select * from series(1);\n"));
  const reader = child.stdout.getReader();
  assertEquals(new TextDecoder().decode((await reader.read()).value), "1\n");
  await serving.server.shutdown();
  // It notices when it sends its next query.
  await writer.write(new TextEncoder().encode("select * from series(2);\n"));
  await writer.close();
  reader.releaseLock();
  const { stderr } = await child.output();
  assertStringIncludes(new TextDecoder().decode(stderr), "The server is being shut down");
}, NEEDS);
