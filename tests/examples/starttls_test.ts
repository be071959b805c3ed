/** Mail is received, and the state from before TLS is dropped. @module */

import { assertEquals } from "@std/assert";
import { mail } from "../../examples/starttls.ts";
import { connect, everySplit } from "../../lib/testing/mod.ts";
import { connection, type EndRecord, serve } from "../../mod.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readExactly, writeAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";

const GREETING = "220 usher.example ESMTP";
const GO_AHEAD = "354 Go ahead, and end with a line that is a dot";

/** The client's lines and the replies; a whole mail counts as one. */
const DIALOGUE: [said: string, ...replies: string[]][] = [
  ["NOOP", "250 OK"],
  ["MAIL FROM:<a@example.com>", "503 Say EHLO first"],
  ["EHLO", "501 Say who you are: EHLO your.name"],
  ["ehlo client.example", "250-usher.example", "250 STARTTLS"],
  ["RCPT TO:<b@example.com>", "503 Say MAIL first"],
  ["DATA", "503 Say RCPT first"],
  ["MAIL FROM: a@example.com", "501 Say MAIL FROM:<address>"],
  ["MAIL FROM:<a@example.com> BODY=8BITMIME", "250 OK"],
  ["MAIL FROM:<a@example.com>", "503 There is a sender already"],
  ["DATA", "503 Say RCPT first"],
  ["RCPT TO:<>", "501 Say RCPT TO:<address>"],
  ["RCPT TO:<b@example.com>", "250 OK"],
  ["rcpt to: <c@example.com>", "250 OK"],
  ["DATA", GO_AHEAD],
  ["Subject: x\r\n\r\nhello\r\n.", "250 Thrown away: 21 bytes of <a@example.com> to 2"],
  ["RCPT TO:<b@example.com>", "503 Say MAIL first"],
  ["MAIL FROM:<>", "250 OK"],
  ["RSET", "250 OK"],
  ["RCPT TO:<b@example.com>", "503 Say MAIL first"],
  ["MAIL FROM:<>", "250 OK"],
  ["RCPT TO:<b@example.com>", "250 OK"],
  ["DATA", GO_AHEAD],
  [".", "250 Thrown away: 0 bytes of <> to 1"],
  ["STARTTLS now", "501 STARTTLS takes nothing"],
  ["", "500 Unknown command"],
  ["VRFY b", "500 Unknown command"],
  ["QUIT", "221 Bye"],
];

Deno.test("mail() receives mail", async () => {
  await using client = connect(mail(certificate));
  await hear(client, [GREETING]);
  for (const [said, ...replies] of DIALOGUE) await expect(client, said, ...replies);
  assertEquals(await client.readLine(), null);
  assertEquals((await client.ended).reason, "completed");
});

/** Sends something and reads the replies. */
async function expect(client: Deno.Conn, said: string, ...replies: string[]): Promise<void> {
  await writeAll(client, bytes`${said}\r\n`);
  await hear(client, replies, said);
}

async function hear(client: Deno.Conn, replies: string[], said?: string): Promise<void> {
  const expected = replies.map((reply) => `${reply}\r\n`).join("");
  assertEquals(text(await readExactly(client, expected.length)), expected, said);
}

/** The dialogue before a mail. */
const BEGINNING = [GREETING, "250-usher.example", "250 STARTTLS", "250 OK", "250 OK"];
const BEFORE = "EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n";

/** A mail with dots and LFs where they matter, and its size in bytes. */
const ODD_MAIL = "..\r\n.. \r\n...\r\n\n.\n.\r\n";

Deno.test("mail() ends a mail at CRLF, a dot and CRLF, and nowhere else", async () => {
  await using client = connect(mail(certificate));
  await client.write(bytes`${BEFORE}${ODD_MAIL}.\r\nQUIT\r\n`);
  await hear(client, [...BEGINNING, GO_AHEAD]);
  // Every line but one begins with a dot; each loses one.
  const size = ODD_MAIL.length - 3;
  assertEquals(await client.readLine(), `250 Thrown away: ${size} bytes of <a@b> to 1`);
  assertEquals(await client.readLine(), "221 Bye");
});

Deno.test("mail() behaves the same however the bytes are split", async () => {
  await everySplit(bytes`NOOP\r\nEHLO x\r\nNOOP\nNOOP\r\nQUIT\r\n`, async (pieces) => {
    await using client = connect(mail(certificate));
    for (const piece of pieces) await client.write(piece);
    const replies = ["250 OK", "250-usher.example", "250 STARTTLS", "500 Unknown command"];
    await hear(client, [GREETING, ...replies, "221 Bye"]);
  });
});

Deno.test("mail() ends a client that sends too long a line", async () => {
  await using client = connect(mail(certificate));
  await client.write(bytes`${"x".repeat(5000)}`);
  await hear(client, [GREETING, "500 The line is too long"]);
  assertEquals((await client.ended).reason, "protocol_error");
});

for (const line of ["POST / HTTP/1.1", "GET / HTTP/1.1", "connect mail:25 HTTP/1.1", "Host: a"]) {
  Deno.test(`mail() drops a client that speaks HTTP: ${line}`, async () => {
    await using client = connect(mail(certificate));
    await client.write(bytes`${line}\r\n\r\nEHLO x\r\n`);
    await hear(client, [GREETING, "221 HTTP is not spoken here"]);
    assertEquals(await client.readLine(), null);
  });
}

Deno.test("mail() accepts at most a hundred recipients", async () => {
  await using client = connect(mail(certificate));
  await hear(client, [GREETING]);
  await expect(client, "EHLO x", "250-usher.example", "250 STARTTLS");
  await expect(client, "MAIL FROM:<a@b>", "250 OK");
  for (let i = 0; i < 100; i++) await expect(client, `RCPT TO:<c${i}@d>`, "250 OK");
  await expect(client, "RCPT TO:<e@f>", "452 There are too many already");
});

Deno.test("mail() counts no mail that was not ended", async () => {
  await using client = connect(mail(certificate));
  await client.write(bytes`${BEFORE}hello\r\n`);
  await client.closeWrite();
  await hear(client, [...BEGINNING, GO_AHEAD]);
  assertEquals(await client.readLine(), null);
});

/** A server, with the end reasons of its connections. */
class Serving implements AsyncDisposable {
  readonly ended: EndRecord[] = [];
  readonly server = serve(
    { ...LOOPBACK, onEnd: (record) => void this.ended.push(record) },
    mail(certificate),
  );

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.shutdown();
  }
}

netTest("mail() drops the state from before TLS", async () => {
  await using serving = new Serving();
  const socket = await dial(serving.server.addr);
  await hear(socket, [GREETING]);
  await expect(socket, "EHLO x", "250-usher.example", "250 STARTTLS");
  await expect(socket, "MAIL FROM:<a@b>", "250 OK");
  await expect(socket, "RCPT TO:<c@d>", "250 OK");
  await expect(socket, "STARTTLS", "220 Go ahead");
  const options = { hostname: "localhost", caCerts: [ca.cert] };
  await using client = connection(await Deno.startTls(socket, options));
  await expect(client, "RCPT TO:<c@d>", "503 Say MAIL first");
  await expect(client, "MAIL FROM:<a@b>", "503 Say EHLO first");
  await expect(client, "EHLO x", "250 usher.example");
  await expect(client, "STARTTLS", "503 This is TLS already");
  await expect(client, "MAIL FROM:<a@b>", "250 OK");
  await expect(client, "RCPT TO:<c@d>", "250 OK");
  await expect(client, "DATA", GO_AHEAD);
  await expect(client, "hello\r\n.", "250 Thrown away: 7 bytes of <a@b> to 1");
  await expect(client, "QUIT", "221 Bye");
  assertEquals(await client.readLine(), null);
});

netTest("mail() ignores commands inside TLS that arrived in clear", async () => {
  await using serving = new Serving();
  await using client = connection(await dial(serving.server.addr));
  await client.write(bytes`EHLO x\r\nSTARTTLS\r\nEHLO y\r\nMAIL FROM:<a@b>\r\n`);
  await hear(client, [GREETING, "250-usher.example", "250 STARTTLS", "220 Go ahead"]);
  await until(() => serving.ended.length === 1);
  assertEquals(serving.ended[0]!.reason, "handshake_failed");
});
