/**
 * Receives mail, in clear or inside TLS: a client may send STARTTLS (RFC 3207). Mails are counted and
 * discarded. The certificate is found as in `tls_echo.ts`.
 *
 * deno run --allow-net --allow-read --allow-write examples/starttls.ts
 *
 * @module
 */

import {
  type Connection,
  formatAddress,
  FrameTooLargeError,
  type Handler,
  serve,
  type StartTlsOptions,
} from "jsr:@usher/server@^0.2.0";
import { CERTIFICATE_OPTIONS, findCertificate } from "./certificate.ts";
import { start } from "./start.ts";

const NAME = "usher.example";

/** Bytes of a line, more than the 1000 that RFC 5321 requires. */
const LONGEST_LINE = 2048;

/** Recipients of one mail. */
const MOST_RECIPIENTS = 100;

/** As in Postfix: a web page can make a browser send mail commands in the body of a request. */
const HTTP = /^(?:CONNECT|GET|POST|HOST:)$/i;

const DOT = ".".charCodeAt(0);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Makes the handler. All connections share `tls`, so its certificate is read only once. */
export function mail(tls: StartTlsOptions): Handler {
  return (conn) => new Dialogue(conn, tls).speak();
}

/** The state of one client. */
class Said {
  /** The name in its HELO or EHLO. */
  name: string | undefined;
  sender: string | undefined;
  recipients: string[] = [];

  /** Resets the mail, not the client. */
  forgetMail(): void {
    this.sender = undefined;
    this.recipients = [];
  }
}

class Dialogue {
  readonly #conn: Connection;
  readonly #tls: StartTlsOptions;
  #said = new Said();

  constructor(conn: Connection, tls: StartTlsOptions) {
    this.#conn = conn;
    this.#tls = tls;
  }

  async speak(): Promise<void> {
    try {
      await this.#reply(`220 ${NAME} ESMTP`);
      for (let line; (line = await this.#line()) !== null;) {
        const [, verb = "", rest = ""] = /^([^ ]*) *(.*)$/s.exec(decoder.decode(line)) ?? [];
        await this.#obey(verb.toUpperCase(), rest.trimEnd());
        if (verb.toUpperCase() === "QUIT" || HTTP.test(verb)) return;
      }
    } catch (error) {
      if (error instanceof FrameTooLargeError) await this.#reply("500 The line is too long");
      throw error;
    }
  }

  /**
   * A line, which only CRLF ends. If LF did as well, what the server before us took for one mail could
   * be two here, the second one forged by the sender of the first (SMTP smuggling).
   */
  #line(): Promise<Uint8Array | null> {
    return this.#conn.readUntil("\r\n", { limit: LONGEST_LINE });
  }

  async #reply(text: string): Promise<void> {
    await this.#conn.write(encoder.encode(`${text}\r\n`));
  }

  async #obey(verb: string, rest: string): Promise<void> {
    switch (verb) {
      case "STARTTLS":
        return await this.#startTls(rest);
      case "DATA":
        return await this.#takeMail();
      case "EHLO":
        return await this.#reply(this.#greet(rest));
      case "MAIL":
        return await this.#reply(this.#takeSender(rest));
      case "RCPT":
        return await this.#reply(this.#takeRecipient(rest));
      case "RSET":
        this.#said.forgetMail();
        return await this.#reply("250 OK");
      case "NOOP":
        return await this.#reply("250 OK");
      case "QUIT":
        return await this.#reply("221 Bye");
      default:
        await this.#reply(HTTP.test(verb) ? "221 HTTP is not spoken here" : "500 Unknown command");
    }
  }

  async #startTls(rest: string): Promise<void> {
    if (rest !== "") return await this.#reply("501 STARTTLS takes nothing");
    if (this.#conn.tls !== undefined) return await this.#reply("503 This is TLS already");
    await this.#reply("220 Go ahead");
    await this.#conn.startTls(this.#tls);
    // What came in clear may come from a man in the middle (RFC 3207, section 4.2).
    this.#said = new Said();
  }

  #greet(name: string): string {
    if (name === "") return "501 Say who you are: EHLO your.name";
    this.#said = new Said();
    this.#said.name = name;
    // Inside TLS it must not be offered again (RFC 3207, section 4.2).
    return this.#conn.tls === undefined ? `250-${NAME}\r\n250 STARTTLS` : `250 ${NAME}`;
  }

  #takeSender(rest: string): string {
    const said = this.#said;
    if (said.name === undefined) return "503 Say EHLO first";
    if (said.sender !== undefined) return "503 There is a sender already";
    const [, sender] = /^FROM: *<([^<>\s]*)>/i.exec(rest) ?? [];
    if (sender === undefined) return "501 Say MAIL FROM:<address>";
    said.sender = sender;
    return "250 OK";
  }

  #takeRecipient(rest: string): string {
    const { sender, recipients } = this.#said;
    if (sender === undefined) return "503 Say MAIL first";
    const [, recipient] = /^TO: *<([^<>\s]+)>/i.exec(rest) ?? [];
    if (recipient === undefined) return "501 Say RCPT TO:<address>";
    if (recipients.length === MOST_RECIPIENTS) return "452 There are too many already";
    recipients.push(recipient);
    return "250 OK";
  }

  async #takeMail(): Promise<void> {
    const { sender, recipients } = this.#said;
    if (recipients.length === 0) return await this.#reply("503 Say RCPT first");
    await this.#reply("354 Go ahead, and end with a line that is a dot");
    let size = 0;
    for (;;) {
      const line = await this.#line();
      if (line === null) return; // the client has ended: no mail
      const dotted = line[0] === DOT;
      if (dotted && line.length === 1) break;
      // Dot-stuffing: clients put another dot before a line that begins with one.
      size += line.length + 2 - (dotted ? 1 : 0);
    }
    this.#said.forgetMail();
    await this.#reply(`250 Thrown away: ${size} bytes of <${sender}> to ${recipients.length}`);
  }
}

if (import.meta.main) {
  const command = "deno run --allow-net --allow-read --allow-write examples/starttls.ts";
  const options = CERTIFICATE_OPTIONS;
  await start({ command, port: 2525, options }, async (place, files) => {
    const { cert, key, certFile } = await findCertificate(files);
    const listening = serve(place, mail({ cert, key }));
    const where = formatAddress(listening.addr).replace("tcp://", "");
    const hint = `openssl s_client -starttls smtp -crlf -connect ${where} -CAfile ${certFile}`;
    return { listening, hint };
  });
}
