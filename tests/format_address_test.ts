/** An address is formatted as people write it. @module */

import { assertEquals } from "@std/assert";
import { oneLine } from "../lib/format_address.ts";
import { formatAddress } from "../mod.ts";

const tcp = (hostname: string, port: number): Deno.NetAddr => ({
  transport: "tcp",
  hostname,
  port,
});
const unix = (path: string): Deno.UnixAddr => ({ transport: "unix", path });

for (
  const [addr, written] of [
    [tcp("127.0.0.1", 7000), "tcp://127.0.0.1:7000"],
    [tcp("0.0.0.0", 0), "tcp://0.0.0.0:0"],
    [tcp("example.org", 443), "tcp://example.org:443"],
    [tcp("::1", 7000), "tcp://[::1]:7000"],
    [tcp("::ffff:127.0.0.1", 7000), "tcp://[::ffff:127.0.0.1]:7000"],
    [tcp("fe80::1%eth0", 7000), "tcp://[fe80::1%eth0]:7000"],
    [{ transport: "udp", hostname: "::", port: 53 }, "udp://[::]:53"],
    [unix("/run/app.sock"), "unix:/run/app.sock"],
    [unix("app.sock"), "unix:app.sock"],
    [unix("\0app"), "unix:@app"],
    [{ transport: "vsock", cid: 3, port: 7000 }, "vsock:3:7000"],
  ] as [Deno.Addr, string][]
) {
  Deno.test(`formatAddress() writes ${written}`, () => {
    assertEquals(formatAddress(addr), written);
  });
}

Deno.test("formatAddress() puts another scheme before an address with a port", () => {
  assertEquals(formatAddress(tcp("::1", 443), "tls"), "tls://[::1]:443");
  assertEquals(formatAddress(unix("/run/app.sock"), "tls"), "unix:/run/app.sock");
});

Deno.test("formatAddress() writes a Unix peer without a path as nothing after the colon", () => {
  // Deno gives null, though its types do not say so.
  const nameless = { transport: "unix", path: null } as unknown as Deno.UnixAddr;
  assertEquals(formatAddress(nameless), "unix:");
});

Deno.test("formatAddress() writes one line, whatever is in a path", () => {
  const path = "/tmp/a\nb\r\t\x1b[31m\x7f\x85\u2028\u2029\0c";
  assertEquals(
    formatAddress(unix(path)),
    "unix:/tmp/a\\u000ab\\u000d\\u0009\\u001b[31m\\u007f\\u0085\\u2028\\u2029\\u0000c",
  );
});

Deno.test("oneLine() escapes what would end a line or move the cursor", () => {
  assertEquals(
    oneLine("a\nb\r\x1b[2J\x85\u2028c\x7f"),
    "a\\u000ab\\u000d\\u001b[2J\\u0085\\u2028c\\u007f",
  );
});

Deno.test("oneLine() leaves all other text as it is", () => {
  assertEquals(oneLine("naïve 漢字 \u{1F600}"), "naïve 漢字 \u{1F600}");
});
