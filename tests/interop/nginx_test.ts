/** nginx's headers are understood, and it understands usher's. @module */

import { assertEquals } from "@std/assert";
import { forward } from "../../examples/forward.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { connection, peerKey, type ProxyHeader, serve } from "../../mod.ts";
import { ca, server as certificate } from "../support/certificates.ts";
import type { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";
import { bytes, text } from "../support/bytes.ts";
import { LOOPBACK, readAll } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { certificateFiles } from "./certificate_files.ts";
import { ask, Daemon, onFreePort } from "./processes.ts";
import { BEHIND_PROXY, echo, LARGE, Serving } from "./serving.ts";

/** nginx's build options. */
const BUILT = ask("nginx", "-V");
const MODULES = /--modules-path=(\S+)/.exec(BUILT)?.[1];
const IS_DYNAMIC = BUILT.includes("--with-stream=dynamic");

function hasStream(): boolean {
  if (!IS_DYNAMIC) return /--with-stream\b/.test(BUILT);
  try {
    return Deno.statSync(`${MODULES}/ngx_stream_module.so`).isFile;
  } catch {
    return false;
  }
}

const needs = {
  programs: [hasStream() ? "nginx" : "nginx with its stream module"],
  os: ["linux" as const],
};

/** An nginx that forwards. */
class Nginx implements AsyncDisposable {
  readonly port: number;
  readonly #directory: Directory;
  readonly #daemon: Daemon;

  private constructor(port: number, directory: Directory, daemon: Daemon) {
    this.port = port;
    this.#directory = directory;
    this.#daemon = daemon;
  }

  /**
   * Starts one; it listens when this resolves.
   *
   * @param servers What is in `stream`: `PORT` stands for its port, `FILES` for its
   * folder, which has the certificates.
   */
  static async start(servers: string): Promise<Nginx> {
    const directory = certificateFiles();
    return await onFreePort(async (port) => {
      const configuration = directory.at("nginx.conf");
      const own = servers.replaceAll("PORT", `${port}`).replaceAll("FILES", directory.path);
      await Deno.writeTextFile(
        configuration,
        `${IS_DYNAMIC ? `load_module ${MODULES}/ngx_stream_module.so;` : ""}
daemon off;
master_process off;
pid ${directory.at("pid")};
error_log stderr notice;
events {}
stream { ${own} }
`,
      );
      const daemon = new Daemon("nginx", [
        "-e",
        "stderr",
        "-p",
        directory.path,
        "-c",
        configuration,
      ]);
      const nginx = new Nginx(port, directory, daemon);
      // By then it has bound everything.
      if (await daemon.says(/using the "\w+" event method/)) return nginx;
      await nginx[Symbol.asyncDispose]();
      if (daemon.log.includes("Address already in use")) return null;
      throw new Error(`nginx has ended: ${daemon.log}`);
    });
  }

  /** The path of one of its files. */
  file(name: string): string {
    return this.#directory.at(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#daemon[Symbol.asyncDispose]();
    this.#directory[Symbol.dispose]();
  }
}

for (const hostname of ["127.0.0.1", "::1"]) {
  netTest(`nginx, proxy_protocol on: a client of ${hostname} is known`, async () => {
    await using serving = new Serving(BEHIND_PROXY);
    await using nginx = await Nginx.start(`server {
      listen ${hostname.includes(":") ? `[${hostname}]` : hostname}:PORT;
      proxy_pass 127.0.0.1:${serving.port};
      proxy_protocol on;
      proxy_half_close on;
    }`);
    const source = await echo(nginx.port, hostname);
    const destination = { ...source, port: nginx.port };
    const sent = { version: 1, command: "PROXY", source, destination };
    assertEquals(serving.seen[0]?.proxy, sent as ProxyHeader);
    assertEquals(serving.seen[0]?.remoteAddr, source);
    assertEquals(await serving.reasons(1), ["completed"]);
    assertEquals(serving.errors, []);
  }, needs);
}

netTest("nginx on IPv6: an IPv4 client is known", async () => {
  await using serving = new Serving(BEHIND_PROXY);
  await using nginx = await Nginx.start(`server {
    listen [::]:PORT ipv6only=off;
    proxy_pass 127.0.0.1:${serving.port};
    proxy_protocol on;
    proxy_half_close on;
  }`);
  const { port } = await echo(nginx.port, "127.0.0.1");
  const { hostname } = serving.seen[0]?.remoteAddr as Deno.NetAddr;
  assertEquals(serving.seen[0]?.remoteAddr, { transport: "tcp", hostname, port });
  assertEquals(peerKey(hostname), "127.0.0.1");
  assertEquals(await serving.reasons(1), ["completed"]);
}, needs);

/** A listener of nginx, and a client of the other family that comes through a proxy before it. */
const TWO_FAMILIES = [["127.0.0.1", "127.0.0.1", "2001:db8::7"], ["[::1]", "::1", "192.0.2.7"]];

for (const [listen = "", hostname = "", client = ""] of TWO_FAMILIES) {
  netTest(`nginx on ${hostname} behind a proxy: a client of ${client} is known`, async () => {
    await using serving = new Serving(BEHIND_PROXY);
    await using nginx = await Nginx.start(`server {
      listen ${listen}:PORT proxy_protocol;
      set_real_ip_from ${hostname};
      proxy_pass 127.0.0.1:${serving.port};
      proxy_protocol on;
      proxy_half_close on;
    }`);
    const socket = await Deno.connect({ hostname, port: nginx.port });
    const source = { transport: "tcp", hostname: client, port: 4711 } as const;
    const header = { version: 1, command: "PROXY", source, destination: source } as const;
    await socket.write(encodeProxyHeader(header));
    await socket.write(bytes`hello`);
    await socket.closeWrite();
    assertEquals(text(await readAll(socket)), "hello");
    const destination = { transport: "tcp", hostname, port: nginx.port } as const;
    assertEquals(serving.seen[0]?.proxy, { version: 1, command: "PROXY", source, destination });
    assertEquals(serving.errors, []);
  }, needs);
}

netTest("nginx on a Unix socket: the client is unknown", async () => {
  await using serving = new Serving(BEHIND_PROXY);
  await using nginx = await Nginx.start(`server {
    listen unix:FILES/s;
    proxy_pass 127.0.0.1:${serving.port};
    proxy_protocol on;
    proxy_half_close on;
  }`);
  const socket = await Deno.connect({ transport: "unix", path: nginx.file("s") });
  await socket.write(bytes`hello`);
  await socket.closeWrite();
  assertEquals(text(await readAll(socket)), "hello");
  const [seen] = serving.seen;
  assertEquals(seen?.proxy, { version: 1, command: "PROXY" });
  assertEquals(seen?.remoteAddr, seen?.peerAddr);
}, needs);

netTest("nginx with TLS to the server: header first, then the handshake", async () => {
  await using serving = new Serving({
    ...BEHIND_PROXY,
    ...certificate,
    tls: { clientCa: ca.cert },
  });
  await using nginx = await Nginx.start(`server {
    listen 127.0.0.1:PORT;
    proxy_pass 127.0.0.1:${serving.port};
    proxy_protocol on;
    proxy_ssl on;
    proxy_ssl_protocols TLSv1.2 TLSv1.3;
    proxy_ssl_verify on;
    proxy_ssl_trusted_certificate FILES/ca.pem;
    proxy_ssl_name localhost;
    proxy_ssl_server_name on;
    proxy_ssl_certificate FILES/client.pem;
    proxy_ssl_certificate_key FILES/client.pem;
  }`);
  // Without half-closes, which nginx does not do over TLS.
  await using socket = connection(await Deno.connect({ port: nginx.port }));
  await Promise.all([
    socket.write(LARGE),
    socket.readExactly(LARGE.length, { limit: LARGE.length }).then((heard) =>
      assertEquals(heard, LARGE)
    ),
  ]);
  const [seen] = serving.seen;
  assertEquals(seen?.remoteAddr, socket.localAddr as Deno.NetAddr);
  const { serverName, authorized, peerCertificate } = seen!.tls!;
  assertEquals([serverName, authorized], ["localhost", true]);
  assertEquals(peerCertificate?.subject.CN, "client1");
  await socket.end();
  assertEquals(await serving.reasons(1), ["completed"]);
  assertEquals(serving.errors, []);
}, needs);

netTest("nginx without proxy_protocol ends at once as proxy_header_invalid", async () => {
  await using serving = new Serving(BEHIND_PROXY);
  await using nginx = await Nginx.start(`server {
    listen 127.0.0.1:PORT;
    proxy_pass 127.0.0.1:${serving.port};
  }`);
  const socket = await Deno.connect({ port: nginx.port });
  await socket.write(bytes`GET / HTTP/1.0\r\n\r\n`);
  assertEquals(text(await readAll(socket).catch(() => new Uint8Array(0))), "");
  assertEquals(await serving.reasons(1), ["proxy_header_invalid"]);
  assertEquals(serving.errors, []);
}, needs);

for (const version of [1, 2] as const) {
  netTest(`nginx understands the header of forward() in version ${version}`, async () => {
    await using nginx = await Nginx.start(`server {
      listen 127.0.0.1:PORT proxy_protocol;
      return "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port";
    }`);
    const to = { hostname: "127.0.0.1", port: nginx.port };
    await using front = serve(LOOPBACK, forward(to, version));
    const socket = await Deno.connect({ port: front.addr.port });
    const { hostname, port } = socket.localAddr;
    assertEquals(text(await readAll(socket)), `${hostname} ${port} ${front.addr.port}`);
    await until(() => front.connections.size === 0);
  }, needs);
}
