/** Servers that record what they learn of clients behind other programs. @module */

import { assertEquals } from "@std/assert";
import {
  type Connection,
  type EndReason,
  type EndRecord,
  type Handler,
  serve,
  type Server,
  type ServeTcpOptions,
} from "../../mod.ts";
import { LOOPBACK, readAll, writeAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";

/** What a handler has seen of its connection. */
export type Seen = Pick<Connection, "remoteAddr" | "peerAddr" | "proxy" | "tls">;

async function echoes(conn: Connection): Promise<void> {
  for await (const chunk of conn) await conn.write(chunk);
}

/** A server, and what it has seen. */
export class Serving implements AsyncDisposable {
  readonly seen: Seen[] = [];
  readonly ended: EndRecord[] = [];
  readonly errors: unknown[] = [];
  readonly server: Server<Deno.NetAddr>;

  /**
   * @param options Of the server, besides where it listens.
   * @param handler Who answers, after what is seen has been written down.
   */
  constructor(options: Partial<ServeTcpOptions> = {}, handler: Handler = echoes) {
    const hooks = {
      onEnd: (record: EndRecord) => void this.ended.push(record),
      onError: (error: unknown) => void this.errors.push(error),
    };
    this.server = serve({ ...LOOPBACK, ...options, ...hooks } as ServeTcpOptions, async (conn) => {
      const { remoteAddr, peerAddr, proxy, tls } = conn;
      this.seen.push({ remoteAddr, peerAddr, proxy, tls });
      await handler(conn);
    });
  }

  get port(): number {
    return this.server.addr.port;
  }

  /** The end reasons, once there are so many. */
  async reasons(count: number): Promise<EndReason[]> {
    await until(() => this.ended.length >= count);
    return this.ended.map(({ reason }) => reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.shutdown({ timeout: 0 });
  }
}

/** The proxies in front of the server here. */
export const BEHIND_PROXY: { proxyProtocol: { trust: string[] } } = {
  proxyProtocol: { trust: ["127.0.0.1", "::1", "unix"] },
};

/** More than the kernel buffers, so that bytes pass in pieces and both ways at once. */
export const LARGE: Uint8Array<ArrayBuffer> = Uint8Array.from(
  { length: 1_000_003 },
  (_, i) => i ^ (i >> 8),
);

/** Sends a lot, half-closes and reads all of it back; returns the address of the client. */
export async function echo(port: number, hostname = "127.0.0.1"): Promise<Deno.NetAddr> {
  const socket = await Deno.connect({ hostname, port });
  const { localAddr } = socket;
  const heard = readAll(socket);
  await writeAll(socket, LARGE);
  await socket.closeWrite();
  assertEquals(await heard, LARGE);
  return localAddr;
}
