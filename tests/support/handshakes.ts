/** Makes TLS handshakes and reports what both ends saw. @module */

import { connect, type ConnectionOptions } from "node:tls";
import type { HandshakeOptions } from "../../lib/tls/tls_contexts.ts";
import type { TlsInfo } from "../../lib/tls/handshake.ts";
import { TlsSocket } from "../../lib/tls/tls_socket.ts";
import { ca, type Pair } from "./certificates.ts";
import { bytes } from "./bytes.ts";

/** What the server sends to an accepted client; it is also a whole HTTP response. */
export const WELCOME = "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";

/** What the server saw. */
export interface ServerSide {
  /** Why there is no connection. */
  readonly error?: Error;
  readonly info?: TlsInfo;
  /** Whether the client resumed a session; known where its certificate is asked for. */
  readonly reused?: boolean;
}

/** What the client saw. */
export interface ClientSide {
  /** Why there is no connection; a refusal may come after a handshake that looked complete. */
  readonly error?: Error;
  /** The server's certificate, by the name that it is for and its serial number. */
  readonly shown?: string;
  readonly alpn?: string | false | null;
  /** What the server sent. */
  readonly heard: string;
}

/** A server's address; the certificates may be different each time. */
export class Handshakes implements Disposable {
  readonly #listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });

  /** Once, with a client that never reconnects. */
  async shake(
    options: HandshakeOptions,
    client: ConnectionOptions = {},
  ): Promise<{ server: ServerSide; client: ClientSide }> {
    const [server, seen] = await Promise.all([
      this.#accept(options),
      attempt(this.#listener.addr.port, client),
    ]);
    return { server, client: seen };
  }

  /** Once, with a client that keeps and resumes sessions; returns whether it was served. */
  async resume(
    options: HandshakeOptions,
    client: Deno.HttpClient,
  ): Promise<{ server: ServerSide; letIn: boolean }> {
    const request = fetch(`https://127.0.0.1:${this.#listener.addr.port}`, { client })
      .then(({ status }) => status === 204, () => false);
    const [server, letIn] = await Promise.all([this.#accept(options, true), request]);
    return { server, letIn };
  }

  /** `hearsFirst`: the server reads a request before it answers. */
  async #accept(options: HandshakeOptions, hearsFirst = false): Promise<ServerSide> {
    let reused: boolean | undefined;
    /** The same, noting whether a session was resumed. */
    const noting = (options: HandshakeOptions): HandshakeOptions => {
      const { checkPeer, afresh } = options;
      if (checkPeer === undefined) return options;
      return {
        ...options,
        checkPeer: (seen) => {
          reused = seen.isSessionReused();
          return checkPeer(seen);
        },
        ...(afresh && {
          afresh: () => {
            const full = afresh();
            return full && noting(full);
          },
        }),
      };
    };
    using socket = new TlsSocket(await this.#listener.accept(), new Uint8Array(0), {
      isServer: true,
      socketOptions: () => noting(options),
    });
    try {
      const info = await socket.handshake();
      const p = new Uint8Array(1024);
      if (hearsFirst) await socket.read(p);
      await socket.write(bytes`${WELCOME}`);
      await socket.closeWrite();
      // The client has all of it when it closes.
      while (await socket.read(p).catch(() => null) !== null);
      return { info, ...(reused !== undefined && { reused }) };
    } catch (error) {
      return { error: error as Error };
    }
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}

/** Makes one handshake, at an address of its own. */
export async function shakeHands(
  options: HandshakeOptions,
  client: ConnectionOptions = {},
): Promise<{ server: ServerSide; client: ClientSide }> {
  using place = new Handshakes();
  return await place.shake(options, client);
}

/** The options of a client that shows a certificate. */
export function showing({ cert, key }: Pair): ConnectionOptions {
  return { cert, key };
}

function attempt(port: number, client: ConnectionOptions): Promise<ClientSide> {
  const { promise, resolve } = Promise.withResolvers<ClientSide>();
  let seen: ClientSide = { heard: "" };
  const socket = connect({
    port,
    host: "127.0.0.1",
    ca: ca.cert,
    // The tests are about which name is in the certificate.
    checkServerIdentity: () => undefined,
    ...client,
  });
  socket.on("secureConnect", () => {
    const { subject, serialNumber } = socket.getPeerCertificate();
    seen = { ...seen, shown: `${subject.CN} ${serialNumber}`, alpn: socket.alpnProtocol };
  });
  socket.on("data", (chunk: Uint8Array) => {
    seen = { ...seen, heard: seen.heard + new TextDecoder().decode(chunk) };
  });
  socket.on("error", (error: Error) => seen = { ...seen, error });
  socket.on("close", () => resolve(seen));
  return promise;
}
