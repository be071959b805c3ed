/** curl works with a PROXY header of its own, and with STARTTLS. @module */

import { assertEquals } from "@std/assert";
import { mail } from "../../examples/starttls.ts";
import type { Connection, ProxyHeader } from "../../mod.ts";
import { server as certificate } from "../support/certificates.ts";
import { netTest } from "../support/needs.ts";
import { bytes } from "../support/bytes.ts";
import { certificateFiles } from "./certificate_files.ts";
import { run } from "./processes.ts";
import { BEHIND_PROXY, Serving } from "./serving.ts";

const needs = { programs: ["curl"], os: ["linux" as const, "darwin" as const] };

/** A minimal HTTP response that contains the client's address. */
async function http(conn: Connection): Promise<void> {
  while (await conn.readLine() !== "");
  const { hostname, port } = conn.remoteAddr as Deno.NetAddr;
  await conn.write(bytes`HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n${hostname} ${port}`);
}

/** Besides the answer curl prints the port that it connected from. */
const HOW = ["--silent", "--show-error", "--haproxy-protocol", "--write-out", " %{local_port}"];

netTest("curl --haproxy-protocol: its header is understood", async () => {
  await using serving = new Serving(BEHIND_PROXY, http);
  const url = `http://127.0.0.1:${serving.port}/`;
  const { said, complaints, code } = await run("curl", [...HOW, url]);
  assertEquals([complaints, code], ["", 0]);
  const [hostname, port, localPort] = said.split(" ");
  assertEquals([hostname, port], ["127.0.0.1", localPort]);
  const source = { transport: "tcp", hostname: "127.0.0.1", port: Number(port) } as const;
  const destination = { ...source, port: serving.port };
  assertEquals(
    serving.seen[0]?.proxy,
    { version: 1, command: "PROXY", source, destination } as ProxyHeader,
  );
  assertEquals(await serving.reasons(1), ["completed"]);
}, needs);

netTest("curl --haproxy-protocol: TLS follows its header", async () => {
  await using serving = new Serving({ ...BEHIND_PROXY, ...certificate }, http);
  using files = certificateFiles();
  const url = `https://127.0.0.1:${serving.port}/`;
  const { said, complaints, code } = await run("curl", [
    ...HOW,
    ...["--cacert", files.at("ca.pem"), url],
  ]);
  assertEquals([complaints, code], ["", 0]);
  const [hostname, port, localPort] = said.split(" ");
  assertEquals([hostname, port], ["127.0.0.1", localPort]);
  assertEquals(serving.seen[0]?.tls?.version, "TLSv1.3");
  assertEquals(await serving.reasons(1), ["completed"]);
}, needs);

netTest("curl without a header ends at once", async () => {
  await using serving = new Serving(BEHIND_PROXY, http);
  const { code } = await run("curl", ["--silent", `http://127.0.0.1:${serving.port}/`]);
  assertEquals(code === 52 || code === 56, true, "an empty answer, or a reset");
  assertEquals(await serving.reasons(1), ["proxy_header_invalid"]);
  assertEquals(serving.errors, []);
}, needs);

netTest("curl sends a mail to examples/starttls.ts, inside TLS", async () => {
  await using serving = new Serving({}, mail(certificate));
  using files = certificateFiles();
  const { complaints, code } = await run("curl", [
    ...["--silent", "--show-error", "--ssl-reqd", "--cacert", files.at("ca.pem")],
    ...["--mail-from", "a@example.com", "--mail-rcpt", "b@example.com", "--upload-file", "-"],
    `smtp://127.0.0.1:${serving.port}/me.example`,
  ], { input: "Subject: x\r\n\r\n.a line with a dot\r\n" });
  assertEquals([complaints, code], ["", 0]);
  assertEquals(await serving.reasons(1), ["completed"]);
}, needs);
