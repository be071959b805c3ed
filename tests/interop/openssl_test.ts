/** OpenSSL works with usher's TLS. @module */

import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { existsSync } from "node:fs";
import {
  type Certificate,
  type Connection,
  connection,
  serve,
  type ServeTcpOptions,
  type TlsSettings,
} from "../../mod.ts";
import {
  ca,
  client as clientCertificate,
  expired,
  otherCa,
  server as certificate,
  wildcard,
} from "../support/certificates.ts";
import type { Directory } from "../support/directory.ts";
import { netTest, root } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { Program } from "../support/program.ts";
import { certificateFiles } from "./certificate_files.ts";
import { ask, type Outcome, run, type RunOptions } from "./processes.ts";
import { Serving } from "./serving.ts";

// Other programs of this name have other flags, and other bugs.
const needs = {
  programs: [ask("openssl", "version").startsWith("OpenSSL 3") ? "openssl" : "OpenSSL 3"],
  os: ["linux" as const, "darwin" as const],
};

const VERSIONS = ["1.2", "1.3"] as const;

/** Answers one line, and ends. */
async function answer(conn: Connection): Promise<void> {
  const line = await conn.readLine({ limit: 1_000_000 });
  await conn.write(bytes`You said ${line}\n`);
}

/** A server that answers one line, and the certificates that `openssl` needs. */
class Answering extends Serving {
  readonly files: Directory = certificateFiles();

  constructor(options: Partial<ServeTcpOptions> = {}) {
    super({ ...certificate, ...options } as Partial<ServeTcpOptions>, answer);
  }

  /** Sends something to it, and waits until it ends the connection. */
  openssl(args: string[], options: RunOptions = { input: "hello\n" }): Promise<Outcome> {
    const own = ["-connect", `127.0.0.1:${this.port}`, "-CAfile", this.files.at("ca.pem")];
    const all = ["s_client", ...own, "-verify_return_error", "-ign_eof", ...args];
    return run("openssl", all, options);
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await super[Symbol.asyncDispose]();
    this.files[Symbol.dispose]();
  }
}

/** Checks that a dialogue completed. */
function assertAnswered({ code, said, complaints }: Outcome, answer = "You said hello\n"): void {
  assertStringIncludes(said, answer, complaints);
  assertStringIncludes(said, "Verification: OK");
  // Its complaint about an end without close_notify.
  assertEquals(/unexpected eof/i.test(complaints + said), false);
  assertEquals(code, 0);
}

function flag(version: (typeof VERSIONS)[number]): string {
  return `-tls${version.replace(".", "_")}`;
}

for (const version of VERSIONS) {
  netTest(`openssl: TLS ${version}`, async () => {
    await using answering = new Answering();
    const outcome = await answering.openssl([flag(version), "-servername", "localhost"]);
    assertAnswered(outcome);
    assertStringIncludes(outcome.said, `New, TLSv${version}, Cipher is `);
    assertEquals(await answering.reasons(1), ["completed"]);
    const tls = answering.seen[0]!.tls!;
    assertEquals([tls.version, tls.serverName], [`TLSv${version}`, "localhost"]);
    assertStringIncludes(outcome.said, `Cipher is ${tls.cipher}\n`);
  }, needs);

  netTest(`openssl: small records, TLS ${version}`, async () => {
    await using answering = new Answering();
    const line = "x".repeat(300_000);
    const outcome = await answering.openssl(
      [flag(version), "-max_send_frag", "512"],
      { input: `${line}\n` },
    );
    assertAnswered(outcome, `You said ${line}\n`);
    assertEquals(answering.ended[0]!.bytesRead, line.length + 1);
  }, needs);

  netTest(`openssl: reconnects with its session, TLS ${version}`, async () => {
    await using answering = new Answering();
    const session = answering.files.at("session");
    assertAnswered(await answering.openssl([flag(version), "-sess_out", session]));
    // The server may resume it or not; either way it must work.
    const again = await answering.openssl([flag(version), "-sess_in", session]);
    assertAnswered(again);
    assertMatch(again.said, new RegExp(`(New|Reused), TLSv${version}, Cipher is `));
    assertEquals(await answering.reasons(2), ["completed", "completed"]);
  }, needs);

  netTest(`openssl: ALPN, TLS ${version}`, async () => {
    await using answering = new Answering({ alpnProtocols: ["x", "y"] });
    const agreed = await answering.openssl([flag(version), "-alpn", "z,y,x"]);
    assertAnswered(agreed);
    assertStringIncludes(agreed.said, "ALPN protocol: x\n");
    const none = await answering.openssl([flag(version)]);
    assertAnswered(none);
    assertStringIncludes(none.said, "No ALPN negotiated");
    const refused = await answering.openssl([flag(version), "-alpn", "z"]);
    assert(refused.code !== 0);
    assertStringIncludes(refused.complaints, "no application protocol");
    assertEquals(
      await answering.reasons(3),
      ["completed", "completed", "handshake_failed"],
    );
    assertEquals(answering.seen.map(({ tls }) => tls?.alpnProtocol), ["x", undefined]);
    assertEquals(answering.errors, []);
  }, needs);
}

netTest(`openssl: a key update in mid-stream (TLS 1.3)`, async () => {
  await using answering = new Answering();
  // A line of K makes both ends update their keys; without `-ign_eof` such lines are commands.
  const outcome = await answering.openssl(["-tls1_3", "-no_ign_eof"], {
    dialogue: [["K\n", /KEYUPDATE/], ["hello\n", /You said hello/]],
  });
  assertStringIncludes(outcome.said, "You said hello\n");
  assertEquals(await answering.reasons(1), ["completed"]);
}, needs);

netTest(`openssl: no renegotiation (TLS 1.2)`, async () => {
  await using answering = new Answering();
  // A line of R asks for another handshake, which costs a server much more than its client.
  const outcome = await answering.openssl(["-tls1_2", "-no_ign_eof"], {
    dialogue: [["R\n", /RENEGOTIATING/], ["hello\n", /You said hello/]],
  });
  assertStringIncludes(outcome.complaints, "no renegotiation");
  await answering.reasons(1);
  assertEquals(answering.errors, []);
  assertAnswered(await answering.openssl(["-tls1_2"]));
}, needs);

netTest(`openssl: TLS 1.1 is refused`, async () => {
  await using answering = new Answering();
  // Its own security level would keep it from offering that.
  const args = ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"];
  const { code, complaints } = await answering.openssl(args);
  assert(code !== 0);
  assertMatch(complaints, /alert (handshake failure|protocol version)/);
  assertEquals(await answering.reasons(1), ["handshake_failed"]);
  assertEquals(answering.errors, []);
}, needs);

netTest(`openssl: a client that distrusts us is no error,`, async () => {
  await using answering = new Answering();
  const { code } = await answering.openssl(["-CAfile", answering.files.at("stranger.pem")]);
  assert(code !== 0);
  assertEquals(await answering.reasons(1), ["handshake_failed"]);
  assertEquals(answering.errors, []);
}, needs);

netTest("openssl: the certificate is chosen by server name", async () => {
  await using answering = new Answering({ tls: { serverNames: { "*.example.test": wildcard } } });
  const cases = [
    { args: ["-servername", "a.example.test"], subject: "*.example.test" },
    { args: ["-servername", "A.Example.Test"], subject: "*.example.test" },
    { args: ["-servername", "localhost"], subject: "localhost" },
    { args: ["-servername", "unknown.test"], subject: "localhost" },
    { args: ["-noservername"], subject: "localhost" },
  ];
  for (const version of VERSIONS) {
    for (const { args, subject } of cases) {
      const outcome = await answering.openssl([flag(version), ...args]);
      assertAnswered(outcome);
      assertMatch(outcome.said, new RegExp(`^subject=CN ?= ?${RegExp.escape(subject)}$`, "m"));
    }
  }
}, needs);

/** The certificate that a client sends. */
const SHOWN: Record<string, (files: Directory) => string[]> = {
  nothing: () => [],
  "its certificate": (files) => ["-cert", files.at("client.pem")],
  "a stranger's certificate": (files) => ["-cert", files.at("stranger.pem")],
};

for (const version of VERSIONS) {
  for (const [what, args] of Object.entries(SHOWN)) {
    const isGood = what === "its certificate";
    netTest(`openssl: a certificate is required, and it sends ${what}; ${version}`, async () => {
      await using answering = new Answering({ tls: { clientCa: ca.cert } });
      const outcome = await answering.openssl([flag(version), ...args(answering.files)]);
      if (isGood) assertAnswered(outcome);
      else assert(outcome.code !== 0);
      assertEquals(await answering.reasons(1), [isGood ? "completed" : "handshake_failed"]);
      assertEquals(answering.seen.length, isGood ? 1 : 0);
      if (isGood) assertEquals(answering.seen[0]?.tls?.peerCertificate?.subject.CN, "client1");
      assertEquals(answering.errors, []);
    }, needs);

    netTest(`openssl: a certificate is requested, and it sends ${what}; ${version}`, async () => {
      const tls = { clientCa: ca.cert, clientCertificate: "requested" } as const;
      await using answering = new Answering({ tls });
      assertAnswered(await answering.openssl([flag(version), ...args(answering.files)]));
      assertEquals(await answering.reasons(1), ["completed"]);
      const seen = answering.seen[0]!.tls!;
      assertEquals(seen.authorized, isGood);
      assertEquals(seen.peerCertificate === undefined, what === "nothing");
    }, needs);
  }
}

// Versions, encrypted keys.

for (const version of VERSIONS) {
  const other = version === "1.2" ? "1.3" : "1.2";
  netTest(`openssl: only TLS ${version} is negotiated where nothing else is allowed`, async () => {
    const only = `TLSv${version}` as const;
    await using answering = new Answering({ tls: { minVersion: only, maxVersion: only } });
    assertAnswered(await answering.openssl([flag(version)]));
    assertAnswered(await answering.openssl([]));
    const { code, complaints } = await answering.openssl([flag(other)]);
    assert(code !== 0);
    assertStringIncludes(complaints, "alert protocol version");
    assertEquals(await answering.reasons(3), ["completed", "completed", "handshake_failed"]);
    assertEquals(answering.seen.map(({ tls }) => tls?.version), [only, only]);
  }, needs);

  netTest(`openssl: TLS ${version} is within an open range of versions`, async () => {
    const tls = version === "1.2" ? { maxVersion: "TLSv1.2" } : { minVersion: "TLSv1.3" };
    await using answering = new Answering({ tls: tls as TlsSettings });
    assertAnswered(await answering.openssl([flag(version)]));
    assert((await answering.openssl([flag(other)])).code !== 0);
  }, needs);
}

/** Ways to encrypt a key, each a command of openssl. */
const ENCRYPTIONS: Record<string, string[]> = {
  "PKCS #8": ["pkcs8", "-topk8", "-v2", "aes-256-cbc"],
  "the traditional form": ["ec", "-aes128"],
};

for (const [how, command] of Object.entries(ENCRYPTIONS)) {
  netTest(
    `openssl: a key that is encrypted by ${how} is decrypted with its passphrase`,
    async () => {
      using files = certificateFiles();
      await Deno.writeTextFile(files.at("plain.key"), certificate.key);
      const [program = "", ...how] = command;
      const { said: key, code } = await run("openssl", [
        ...[program, ...how, "-in", files.at("plain.key"), "-passout", "pass:open sesame"],
      ], { input: "" });
      assertEquals([code, key.includes("ENCRYPTED")], [0, true]);
      const { cert } = certificate;
      await using answering = new Answering({ cert, key, passphrase: "open sesame" });
      assertAnswered(await answering.openssl([]));
      for (
        const [passphrase, message] of [["wrong", "'key', which holds"], [undefined, "encrypted"]]
      ) {
        assertThrows(
          () => serve({ port: 0, cert, key, ...(passphrase && { passphrase }) }, answer),
          TypeError,
          message,
        );
      }
    },
    needs,
  );
}

// Sessions and client certificates.

/** A client with a certificate, which resumes the session of its last connection. */
function visit(answering: Answering, session: string, ...args: string[]): Promise<Outcome> {
  return answering.openssl([
    ...["-servername", "localhost", "-cert", answering.files.at("client.pem")],
    ...(existsSync(session) ? ["-sess_in", session] : []),
    ...["-sess_out", session, ...args],
  ]);
}

netTest("openssl: a session without a certificate does not lock its client out", async () => {
  await using asksNone = new Answering();
  await using requires = new Answering({ tls: { clientCa: ca.cert } });
  const session = asksNone.files.at("session");
  assertAnswered(await visit(asksNone, session));
  const second = await visit(requires, session);
  assertAnswered(second);
  // Whatever TLS 1.2 starts with, it resumes no session of TLS 1.3.
  assertStringIncludes(second.said, "New, TLSv1.2");
  assertAnswered(await visit(requires, session));
  assertEquals(await requires.reasons(2), ["completed", "completed"]);
}, needs);

for (const version of VERSIONS) {
  netTest(
    `openssl: a client of only TLS ${version} gets an alert for such a session`,
    async () => {
      await using asksNone = new Answering();
      await using requires = new Answering({ tls: { clientCa: ca.cert } });
      const session = asksNone.files.at("session");
      assertAnswered(await visit(asksNone, session, flag(version)));
      const refused = await visit(requires, session, flag(version));
      // A client that keeps its sessions in memory drops one that gets an alert.
      assertMatch(refused.complaints, /alert (handshake failure|protocol version)/);
      assertEquals(await requires.reasons(1), ["handshake_failed"]);
    },
    needs,
  );
}

// As the client.

/** `openssl s_server`, which sends each line back in reverse. */
class Reversing implements AsyncDisposable {
  readonly #files = certificateFiles();
  readonly #child: Deno.ChildProcess;
  /** Its address. */
  readonly port: Promise<number>;

  constructor(name: string, { cert, key }: Certificate, ...args: string[]) {
    const file = this.#files.at(`${name}.pem`);
    Deno.writeTextFileSync(file, cert + key);
    this.#child = new Deno.Command("openssl", {
      args: ["s_server", "-accept", "127.0.0.1:0", "-cert", file, "-rev", ...args],
      stdin: "null",
      stdout: "piped",
      stderr: "null",
    }).spawn();
    this.port = this.#listening();
  }

  async #listening(): Promise<number> {
    let said = "";
    for await (const text of this.#child.stdout.pipeThrough(new TextDecoderStream())) {
      said += text;
      const [, port] = /ACCEPT 127\.0\.0\.1:(\d+)/.exec(said) ?? [];
      if (port !== undefined) return Number(port);
    }
    throw new Error(`openssl does not listen: ${said}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.status;
    this.#files[Symbol.dispose]();
  }
}

for (const version of VERSIONS) {
  netTest(`openssl: is our server, in TLS ${version}`, async () => {
    await using server = new Reversing("server", certificate, flag(version), "-alpn", "x");
    await using client = connection(
      await Deno.connect({ hostname: "127.0.0.1", port: await server.port }),
    );
    await client.startTls({
      role: "client",
      serverName: "localhost",
      caCerts: [ca.cert],
      alpnProtocols: ["x"],
    });
    const { version: negotiated, alpnProtocol, authorized } = client.tls!;
    assertEquals([negotiated, alpnProtocol, authorized], [`TLSv${version}`, "x", true]);
    await client.write(bytes`hello\n`);
    assertEquals(await client.readLine(), "olleh");
  }, needs);

  netTest(`openssl: asks us for a certificate, in TLS ${version}`, async () => {
    using files = certificateFiles();
    const asking = ["-Verify", "1", "-verify_return_error", "-CAfile", files.at("ca.pem")];
    await using server = new Reversing("server", certificate, flag(version), ...asking);
    const role = "client" as const;
    const options = { role, serverName: "localhost", caCerts: [ca.cert] };
    const dialled = async () =>
      connection(await Deno.connect({ hostname: "127.0.0.1", port: await server.port }));
    {
      // It serves one client at a time.
      await using client = await dialled();
      await client.startTls({ ...options, ...clientCertificate });
      await client.write(bytes`hello\n`);
      assertEquals(await client.readLine(), "olleh");
    }
    await using without = await dialled();
    await assertRejects(async () => {
      await without.startTls(options);
      await without.readLine();
    }, Deno.errors.InvalidData);
  }, needs);
}

/** Servers that are not the intended one. */
const OTHERS: Record<string, { shown: Certificate; serverName: string; caCerts: string[] }> = {
  "for another name": { shown: certificate, serverName: "other.test", caCerts: [ca.cert] },
  "of another authority": { shown: certificate, serverName: "localhost", caCerts: [otherCa.cert] },
  "that has expired": { shown: expired, serverName: "localhost", caCerts: [ca.cert] },
};

for (const [what, { shown, ...meant }] of Object.entries(OTHERS)) {
  netTest(`openssl: is refused with a certificate ${what}`, async () => {
    await using server = new Reversing("shown", shown);
    using client = connection(
      await Deno.connect({ hostname: "127.0.0.1", port: await server.port }),
    );
    const starting = client.startTls({ role: "client", ...meant });
    await assertRejects(() => starting, Deno.errors.InvalidData);
  }, needs);
}

/** The output of an example after its address. */
async function hint(example: Program): Promise<string[]> {
  assertMatch(await example.line(), /^Listening on /);
  return (await example.line()).split(" ");
}

netTest(`examples/tls_echo.ts: its openssl command works`, async () => {
  using place = certificateFiles();
  await using example = new Program(new URL("examples/tls_echo.ts", root), {
    how: ["run", "--allow-net", "--allow-read", "--allow-write"],
    args: ["--port", "0", "--dir", place.path],
  });
  const [program = "", ...args] = await hint(example);
  const { code, said } = await run(program, [...args, "-verify_return_error"], {
    dialogue: [["hello, echo\n", /^hello, echo$/m]],
  });
  assertStringIncludes(said, "Verification: OK");
  assertMatch(said, /^hello, echo$/m);
  assertEquals(code, 0);
}, needs);

netTest("examples/starttls.ts: its openssl command works, and sends a mail", async () => {
  using place = certificateFiles();
  await using example = new Program(new URL("examples/starttls.ts", root), {
    how: ["run", "--allow-net", "--allow-read", "--allow-write"],
    args: ["--port", "0", "--dir", place.path],
  });
  const [program = "", ...args] = await hint(example);
  // Without the last two, lines that begin with R and Q would be for openssl itself.
  const { code, said } = await run(program, [...args, "-verify_return_error", "-quiet"], {
    input: [
      ...["MAIL FROM:<a@example.com>", "EHLO me", "STARTTLS", "MAIL FROM:<a@example.com>"],
      ...["RCPT TO:<b@example.com>", "DATA", "hello", ".", "QUIT", ""],
    ].join("\n"),
  });
  assertEquals(said.split("\r\n"), [
    "503 Say EHLO first",
    "250 usher.example",
    "503 This is TLS already",
    "250 OK",
    "250 OK",
    "354 Go ahead, and end with a line that is a dot",
    "250 Thrown away: 7 bytes of <a@example.com> to 1",
    "221 Bye",
    "",
  ]);
  assertEquals(code, 0);
}, needs);
