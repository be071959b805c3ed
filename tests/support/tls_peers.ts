/** Clients that speak TLS in tests, or stop speaking it. @module */

import { connect as connectPlain, type Socket } from "node:net";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { ca } from "./certificates.ts";
import { catchFrom } from "./caught.ts";
import { LOOPBACK, socketPair } from "./peers.ts";

/** A Deno client that trusts our authority and has completed its handshake. */
export async function dialTls(
  { port }: Deno.NetAddr,
  options: Partial<Deno.ConnectTlsOptions> = {},
): Promise<Deno.TlsConn> {
  const client = await Deno.connectTls({
    hostname: "localhost",
    caCerts: [ca.cert],
    ...options,
    port,
  });
  return await shaken(client);
}

/** Upgrades a plain Deno connection to TLS as a client that trusts our authority. */
export async function goOverToTls(
  plain: Deno.TcpConn | Deno.UnixConn,
  hostname = "localhost",
): Promise<Deno.TlsConn> {
  return await shaken(await Deno.startTls(plain as Deno.TcpConn, { hostname, caCerts: [ca.cert] }));
}

async function shaken(client: Deno.TlsConn): Promise<Deno.TlsConn> {
  try {
    await client.handshake();
    return client;
  } catch (error) {
    client.close();
    throw error;
  }
}

/** A client of node:tls with the plain socket below it, which can reset and write what is not TLS. */
export class CrudeClient implements AsyncDisposable {
  readonly plain: Socket;
  readonly tls: TLSSocket;
  /** Resolves when the handshake is complete, or with what went wrong. */
  readonly secured: Promise<Error | null>;
  /** The serial number of the server's certificate, once it has been sent. */
  get shown(): string {
    return this.tls.getPeerCertificate().serialNumber;
  }

  constructor({ port }: Deno.NetAddr, options: ConnectionOptions = {}) {
    this.plain = connectPlain({ port, host: LOOPBACK.hostname });
    this.plain.on("error", () => {});
    const { promise, resolve } = Promise.withResolvers<Error | null>();
    this.secured = promise;
    this.tls = connect(
      { socket: this.plain, ca: ca.cert, servername: "localhost", ...options },
      () => resolve(null),
    );
    this.tls.on("error", resolve);
  }

  /** Sends something inside TLS; resolves when it has left. */
  say(p: Uint8Array): Promise<void> {
    return new Promise((resolve) => this.tls.write(p, () => resolve()));
  }

  /** Reads up to the close_notify; fails if the stream was truncated. */
  async hearAll(): Promise<Uint8Array> {
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.tls.on("data", (chunk: Uint8Array<ArrayBuffer>) => chunks.push(chunk));
    this.tls.once("end", resolve).once("error", reject);
    await promise;
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    if (this.plain.closed) resolve();
    else this.plain.once("close", () => resolve());
    this.tls.destroy();
    this.plain.destroy();
    await promise;
  }
}

/** The ClientHello of a Deno client. */
export async function clientHello(): Promise<Uint8Array<ArrayBuffer>> {
  const [raw, plain] = await socketPair();
  const client = await Deno.startTls(plain, { hostname: "localhost", caCerts: [ca.cert] });
  const shaking = catchFrom(() => client.handshake());
  const p = new Uint8Array(4096);
  const n = await raw.read(p);
  raw.close();
  await shaking;
  client.close();
  return p.slice(0, n!);
}
