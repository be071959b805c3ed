/** HAProxy's headers are understood, and it understands usher's. @module */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { forward } from "../../examples/forward.ts";
import { connection, type Handler, type ProxyHeader, type ProxyTlvs, serve } from "../../mod.ts";
import { encodeProxyHeader } from "../../lib/wire/mod.ts";
import { ca, client, server as certificate, stranger } from "../support/certificates.ts";
import { netTest, root } from "../support/needs.ts";
import { Program } from "../support/program.ts";
import { bytes, text } from "../support/bytes.ts";
import { dial, LOOPBACK, readAll, readExactly } from "../support/peers.ts";
import { until } from "../support/wait.ts";
import { Haproxy } from "./haproxy.ts";
import { run } from "./processes.ts";
import { BEHIND_PROXY, echo, LARGE, Serving } from "./serving.ts";

const needs = { programs: ["haproxy"], os: ["linux" as const] };

/** HAProxy's options for the server, and the header that they make it send. */
const HEADERS: { server: string; version: 1 | 2; tlvs?: ProxyTlvs }[] = [
  { server: "send-proxy", version: 1 },
  { server: "send-proxy-v2", version: 2 },
  { server: "send-proxy-v2 proxy-v2-options crc32c", version: 2 },
  {
    server: "send-proxy-v2-ssl",
    version: 2,
    tlvs: {
      ssl: {
        ssl: false,
        certConnection: false,
        certSession: false,
        verified: false,
        verifyResult: 0,
      },
    },
  },
];

for (const { server, version, tlvs } of HEADERS) {
  netTest(`HAProxy, ${server}: the client is known, and every byte passes`, async () => {
    await using serving = new Serving(BEHIND_PROXY);
    await using haproxy = await Haproxy.start({ to: serving.port, server });
    const source = await echo(haproxy.port);
    const [seen] = serving.seen;
    const destination = { ...source, port: haproxy.port };
    assertEquals(seen?.remoteAddr, source);
    const sent = { source, destination, ...(tlvs && { tlvs }) } as Partial<ProxyHeader>;
    assertEquals(seen?.proxy, { version, command: "PROXY", ...sent });
    assertEquals(await serving.reasons(1), ["completed"]);
    assertEquals(serving.ended[0]!.bytesRead, LARGE.length);
    assertEquals(serving.errors, []);
  }, needs);

  netTest(`HAProxy, ${server}: an IPv6 client is known`, async () => {
    await using serving = new Serving(BEHIND_PROXY);
    await using haproxy = await Haproxy.start({ bind: "::1:PORT", to: serving.port, server });
    const source = await echo(haproxy.port, "::1");
    assertEquals(serving.seen[0]?.remoteAddr, source);
    assertEquals(source.hostname, "::1");
  }, needs);
}

netTest("HAProxy, unique-id: its generated id arrives, under a checksum", async () => {
  await using serving = new Serving(BEHIND_PROXY);
  await using haproxy = await Haproxy.start({
    lines: ["unique-id-format %ci:%cp"],
    to: serving.port,
    server: "send-proxy-v2 proxy-v2-options crc32c,unique-id",
  });
  const { hostname, port } = await echo(haproxy.port);
  assertEquals(serving.seen[0]?.proxy?.tlvs, { uniqueId: bytes`${hostname}:${port}` });
}, needs);

for (const server of ["send-proxy", "send-proxy-v2"]) {
  netTest(`HAProxy, ${server}: a client of its Unix socket is unknown`, async () => {
    await using serving = new Serving(BEHIND_PROXY);
    const bind = "127.0.0.1:PORT\nbind FILES/s";
    await using haproxy = await Haproxy.start({ bind, to: serving.port, server });
    const socket = await Deno.connect({ transport: "unix", path: haproxy.file("s") });
    await socket.write(bytes`hello`);
    await socket.closeWrite();
    assertEquals(text(await readAll(socket)), "hello");
    const [seen] = serving.seen;
    // In version 2 such a client looks like the proxy itself.
    assertEquals(
      seen?.proxy,
      server === "send-proxy" ? { version: 1, command: "PROXY" } : { version: 2, command: "LOCAL" },
    );
    assertEquals(seen?.remoteAddr, seen?.peerAddr);
  }, needs);
}

/** Every TLV about TLS that HAProxy can send. */
const SSL_SERVER = "send-proxy-v2-ssl-cn " +
  "proxy-v2-options crc32c,authority,ssl,cert-cn,ssl-cipher,cert-sig,cert-key,unique-id";

/** A listener with TLS; a client with a bad certificate is let in, and reported. */
const SSL_BIND = "127.0.0.1:PORT ssl crt FILES/server.pem alpn x,y " +
  "verify optional ca-file FILES/ca.pem crt-ignore-err all ca-ignore-err all";

/** Its TLVs about TLS itself, with the certificate of tests/support. */
const SSL = {
  ssl: true,
  certConnection: false,
  certSession: false,
  verified: false,
  verifyResult: 0,
  version: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
  keyAlgorithm: "EC256",
  signatureAlgorithm: "ecdsa-with-SHA256",
};

type TlsClient = { alpnProtocols?: string[]; cert?: string; key?: string };

/** A TLS client, and the TLVs that HAProxy sends for it. */
const TLS_CLIENTS: Record<string, { options: TlsClient; sent: ProxyTlvs }> = {
  "a client": { options: {}, sent: { ssl: SSL } },
  "a client with a protocol": {
    options: { alpnProtocols: ["y"] },
    sent: { alpn: "y", ssl: SSL },
  },
  "a client with a certificate": {
    options: { ...client },
    sent: {
      ssl: {
        ...SSL,
        certConnection: true,
        certSession: true,
        verified: true,
        commonName: "client1",
      },
    },
  },
  "a client with a stranger's certificate": {
    options: { ...stranger },
    sent: {
      ssl: {
        ...SSL,
        certConnection: true,
        certSession: true,
        verifyResult: 21, // X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
        commonName: "stranger",
      },
    },
  },
};

for (const [who, { options, sent }] of Object.entries(TLS_CLIENTS)) {
  netTest(`HAProxy in front with TLS sends the TLVs of ${who}`, async () => {
    await using serving = new Serving(BEHIND_PROXY);
    await using haproxy = await Haproxy.start({
      bind: SSL_BIND,
      lines: ["unique-id-format %cp"],
      to: serving.port,
      server: SSL_SERVER,
    });
    const { port } = haproxy;
    const to = { hostname: "localhost", port, caCerts: [ca.cert] };
    const socket = await Deno.connectTls({ ...to, ...options });
    await socket.write(bytes`hello`);
    assertEquals(text(await readExactly(socket, 5)), "hello");
    const { localAddr } = socket;
    socket.close();
    assertEquals(serving.seen[0]?.remoteAddr, localAddr as Deno.Addr);
    const uniqueId = bytes`${(localAddr as Deno.NetAddr).port}`;
    assertEquals(serving.seen[0]?.proxy?.tlvs, { authority: "localhost", uniqueId, ...sent });
  }, needs);
}

netTest("HAProxy with TLS to the server: header first, then the handshake", async () => {
  await using serving = new Serving({
    ...BEHIND_PROXY,
    ...certificate,
    alpnProtocols: ["x", "y"],
    tls: { clientCa: ca.cert },
  });
  for (const header of ["send-proxy", "send-proxy-v2"]) {
    serving.seen.length = 0;
    await using haproxy = await Haproxy.start({
      to: serving.port,
      server: `${header} ssl verify required ca-file FILES/ca.pem crt FILES/client.pem ` +
        "verifyhost localhost sni str(localhost) alpn y",
    });
    const source = await echo(haproxy.port);
    const [seen] = serving.seen;
    assertEquals(seen?.remoteAddr, source);
    const { peerCertificate, ...tls } = seen!.tls!;
    assertEquals(tls, {
      serverName: "localhost",
      alpnProtocol: "y",
      version: "TLSv1.3",
      cipher: "TLS_AES_256_GCM_SHA384",
      authorized: true,
    });
    assertEquals(peerCertificate?.subject.CN, "client1");
  }
  assertEquals(await serving.reasons(2), ["completed", "completed"]);
}, needs);

netTest("HAProxy with TLS to the server, `verify none`, and no certificate", async () => {
  await using serving = new Serving({ ...BEHIND_PROXY, ...certificate });
  await using haproxy = await Haproxy.start({
    to: serving.port,
    server: "send-proxy-v2 ssl verify none",
  });
  await echo(haproxy.port);
  assertEquals(await serving.reasons(1), ["completed"]);
}, needs);

netTest(
  "HAProxy without a header ends at once as proxy_header_invalid, with nothing said",
  async () => {
    await using serving = new Serving(BEHIND_PROXY);
    await using haproxy = await Haproxy.start({ to: serving.port, server: "" });
    const socket = await dial({ transport: "tcp", hostname: "127.0.0.1", port: haproxy.port });
    await socket.write(bytes`hello`);
    assertEquals(text(await readAll(socket).catch(() => new Uint8Array(0))), "");
    assertEquals(await serving.reasons(1), ["proxy_header_invalid"]);
    assertEquals(serving.errors, []);
  },
  needs,
);

netTest("HAProxy: rules and limits apply to the client that it announces", async () => {
  await using serving = new Serving({ ...BEHIND_PROXY, deny: ["192.0.2.0/25"] });
  // It expects a header itself: a chain of two.
  await using haproxy = await Haproxy.start({
    bind: "127.0.0.1:PORT accept-proxy",
    to: serving.port,
    server: "send-proxy-v2",
  });
  const destination = { transport: "tcp", hostname: "198.51.100.1", port: 443 } as const;
  for (const [hostname, heard] of [["192.0.2.7", ""], ["192.0.2.200", "hello"]] as const) {
    const source = { transport: "tcp", hostname, port: 4711 } as const;
    const socket = await Deno.connect({ port: haproxy.port });
    const header = { version: 1, command: "PROXY", source, destination } as const;
    await socket.write(encodeProxyHeader(header));
    await socket.write(bytes`hello`);
    await socket.closeWrite();
    assertEquals(text(await readAll(socket).catch(() => new Uint8Array(0))), heard);
    assertEquals(serving.ended.at(-1)!.remoteAddr, source as Deno.Addr);
  }
  assertEquals(await serving.reasons(2), ["refused_address", "completed"]);
}, needs);

for (const version of [1, 2] as const) {
  netTest(`HAProxy understands the header of forward() in version ${version}`, async () => {
    await using serving = new Serving(BEHIND_PROXY);
    await using haproxy = await Haproxy.start({
      bind: "127.0.0.1:PORT accept-proxy",
      to: serving.port,
      server: "send-proxy-v2",
    });
    const to = { hostname: "127.0.0.1", port: haproxy.port };
    await using front = serve(LOOPBACK, forward(to, version));
    const source = await echo(front.addr.port);
    assertEquals(serving.seen[0]?.proxy, {
      version: 2,
      command: "PROXY",
      source,
      destination: front.addr,
    });
  }, needs);
}

/** Ms between checks here; and how many checks are waited for. */
const INTERVAL = 20;
const LOOKS = 3;

/** A check, and what usher should make of it. */
interface Check {
  server: string;
  lines?: string[];
  tls?: boolean;
  /** The handler, if it is not an echo. */
  handler?: Handler;
  /** HAProxy's result. */
  result: string;
}

const CHECKS: Record<string, Check> = {
  "that connects and sends a header": {
    server: "send-proxy-v2 check",
    result: "L4OK",
  },
  "with `check-send-proxy`": {
    server: "send-proxy-v2 check check-send-proxy port SERVER",
    result: "L4OK",
  },
  "with `option tcp-check` that sends nothing": {
    server: "send-proxy-v2 check",
    lines: ["option tcp-check", "tcp-check connect send-proxy"],
    result: "L4OK",
  },
  "that waits for a greeting": {
    server: "send-proxy-v2 check",
    handler: async (conn) => {
      await conn.write(bytes`hello\n`);
      await conn.readLine();
    },
    lines: ["option tcp-check", "tcp-check connect send-proxy", "tcp-check expect string hello"],
    result: "L7OK",
  },
  "that sends a header in front of TLS and leaves": {
    server: "send-proxy-v2 ssl verify none check no-check-ssl",
    tls: true,
    result: "L4OK",
  },
  "that shakes hands with TLS and leaves": {
    server: "send-proxy-v2 ssl verify none check",
    tls: true,
    result: "L6OK",
  },
};

for (const [what, { server, lines = [], tls, handler, result }] of Object.entries(CHECKS)) {
  netTest(`HAProxy's check ${what} is a health_check, and no error`, async () => {
    await using serving = new Serving({ ...BEHIND_PROXY, ...(tls && certificate) }, handler);
    await using haproxy = await Haproxy.start({
      to: serving.port,
      lines,
      server: `${server.replace("SERVER", `${serving.port}`)} inter ${INTERVAL}`,
    });
    // HAProxy resets when the check is done. A connection that is gone before it is accepted counts as lost.
    const aborted = () => serving.server.stats().acceptFailures.aborted;
    await until(() => serving.ended.length + aborted() >= LOOKS);
    assertEquals(await haproxy.opinion(), { status: "UP", check: result });
    const others = serving.ended.filter(({ reason }) => reason !== "health_check");
    assertEquals(others.map(({ reason, error }) => `${reason}: ${error}`), []);
    assertEquals(serving.errors, []);
  }, needs);
}

netTest("HAProxy's check that connects and sends nothing is no error", async () => {
  await using serving = new Serving(BEHIND_PROXY);
  await using haproxy = await Haproxy.start({
    to: serving.port,
    server: `send-proxy check port ${serving.port} inter ${INTERVAL}`,
  });
  // It resets before the kernel reports it, so there is nothing to count; only HAProxy knows.
  while ((await haproxy.opinion()).check !== "L4OK");
  await echo(haproxy.port);
  const others = serving.ended.filter(({ reason }) => reason !== "health_check");
  assertEquals(others.map(({ reason }) => reason), ["completed"]);
  assertEquals(serving.errors, []);
}, needs);

netTest("HAProxy's check in version 1, which looks like a client, is no error", async () => {
  await using serving = new Serving(BEHIND_PROXY);
  await using haproxy = await Haproxy.start({
    to: serving.port,
    server: `send-proxy check inter ${INTERVAL}`,
  });
  const aborted = () => serving.server.stats().acceptFailures.aborted;
  await until(() => serving.ended.length + aborted() >= LOOKS);
  assertEquals(await haproxy.opinion(), { status: "UP", check: "L4OK" });
  assertEquals(serving.errors, []);
}, needs);

netTest("HAProxy's check that sends data is served like a client", async () => {
  await using serving = new Serving({ ...BEHIND_PROXY, deny: ["127.0.0.1"] });
  await using haproxy = await Haproxy.start({
    to: serving.port,
    lines: [
      "option tcp-check",
      "tcp-check connect send-proxy",
      "tcp-check send PING",
      "tcp-check expect string PING",
    ],
    server: `send-proxy-v2 check inter ${INTERVAL}`,
  });
  await serving.reasons(LOOKS);
  assertEquals(await haproxy.opinion(), { status: "UP", check: "L7OK" });
  assertEquals(serving.seen[0]?.proxy, { version: 2, command: "LOCAL" });
  assertEquals(serving.errors, []);
}, needs);

netTest("examples/haproxy.cfg: HAProxy accepts it without a warning", async () => {
  const { code, complaints } = await run("haproxy", ["-c", "-f", CONFIGURATION.pathname]);
  assertEquals(complaints, "");
  assertEquals(code, 0);
}, needs);

const CONFIGURATION = new URL("examples/haproxy.cfg", root);
const BEHIND = new URL("examples/behind_proxy.ts", root);

netTest("examples/haproxy.cfg works with behind_proxy.ts", async () => {
  const configuration = await Deno.readTextFile(CONFIGURATION);
  await using program = new Program(BEHIND, {
    how: ["run", "--allow-net"],
    args: ["--port", "0"],
  });
  const [, port = ""] = /^Listening on tcp:\/\/127\.0\.0\.1:(\d+)$/.exec(await program.line()) ??
    [];
  assertStringIncludes(configuration, "bind 127.0.0.1:7000\n");
  assertStringIncludes(configuration, " 127.0.0.1:7001 ");
  const here = configuration.replace("127.0.0.1:7000", "127.0.0.1:PORT")
    .replace("127.0.0.1:7001", `127.0.0.1:${port}`);
  await using haproxy = await Haproxy.startWith(here);

  await using socket = connection(await Deno.connect({ port: haproxy.port }));
  const who = (socket.localAddr as Deno.NetAddr).port;
  assertStringIncludes(
    await socket.readLine() ?? "",
    `You are tcp://127.0.0.1:${who} in clear text, through tcp://127.0.0.1:`,
  );
  await socket.write(bytes`hello`);
  await socket.closeWrite();
  assertEquals(await socket.readExactly(5), bytes`hello`);
  assertEquals(await socket.readExactly(1), null);

  // The limit applies to the client, and HAProxy is not one.
  const many = await Promise.all(
    Array.from({ length: 21 }, async () => connection(await Deno.connect({ port: haproxy.port }))),
  );
  const greeted = await Promise.all(many.map((client) => client.readLine().catch(() => null)));
  assertEquals(greeted.filter((line) => line === null).length, 1);
  for (const client of many) client.close();

  program.kill("SIGTERM");
  await program.status;
  const complaints = await program.complaints();
  assert(
    complaints.every((line) =>
      /refused in .*: 1 per-peer limit; most beyond the limit came from 127\.0\.0\.1/.test(line)
    ),
    `${complaints}`,
  );
}, needs);
