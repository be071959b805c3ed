/** A list matches the addresses it names; messages about wrong lists are in messages_test.ts. @module */

import { assert, assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { compileAddressList, completeAddressRules } from "../../lib/listener/address_rules.ts";
import { addressSet } from "../../mod.ts";

const tcp = (hostname: string): Deno.NetAddr => ({ transport: "tcp", hostname, port: 4711 });
const unix: Deno.UnixAddr = { transport: "unix", path: "" };

/** Every address that matters here. */
const PEERS: Deno.Addr[] = [
  ...["127.0.0.1", "::ffff:127.0.0.1", "192.0.2.7", "0.0.0.0", "::", "::1", "2001:db8::1"].map(tcp),
  unix,
];

function whoIsIn(test: (addr: Deno.Addr) => boolean): string[] {
  return PEERS.filter(test).map((addr) => "hostname" in addr ? addr.hostname : "unix");
}

Deno.test("compileAddressList() matches addresses, ranges and Unix peers, and nothing else", () => {
  const rows: [string[], string[]][] = [
    [["127.0.0.1"], ["127.0.0.1", "::ffff:127.0.0.1"]],
    [["192.0.2.0/24", "::1"], ["192.0.2.7", "::1"]],
    [["2001:db8::/32"], ["2001:db8::1"]],
    [["0.0.0.0/0"], ["127.0.0.1", "::ffff:127.0.0.1", "192.0.2.7", "0.0.0.0"]],
    [["::/0"], ["::", "::1", "2001:db8::1"]],
    // No entry for Unix peers can match a TCP peer.
    [["unix"], ["unix"]],
    [["unix", "192.0.2.7", "unix"], ["192.0.2.7", "unix"]],
  ];
  for (const [list, expected] of rows) {
    assertEquals(whoIsIn(compileAddressList("serve", "allow", list)), expected, list.join());
  }
});

Deno.test("compileAddressList() names the entry that is wrong, as it was given", () => {
  for (const list of [["unix", "unix", "localhost"], ["::1", "unix", "localhost"]]) {
    const { message } = assertThrows(() => compileAddressList("serve", "deny", list), RangeError);
    assert(message.startsWith(`Cannot serve with 'deny[2]' of "localhost": use `), message);
  }
});

Deno.test("compileAddressList() keeps no hold of the list", () => {
  const list = ["192.0.2.7"];
  const isIn = compileAddressList("serve", "allow", list);
  list[0] = "unix";
  assertEquals(whoIsIn(isIn), ["192.0.2.7"]);
});

Deno.test("completeAddressRules() returns no rule without allow and deny", () => {
  for (const rules of [{}, { deny: [] }, { allow: undefined, deny: undefined }]) {
    assertEquals(completeAddressRules("serve", rules), undefined);
  }
});

Deno.test("completeAddressRules() lets deny win, and without allow admits everything else", () => {
  const rows: [Record<string, string[]>, string[]][] = [
    [{ deny: ["0.0.0.0/0", "::/0"] }, ["unix"]],
    [{ deny: ["unix", "::/0", "127.0.0.0/8"] }, ["192.0.2.7", "0.0.0.0"]],
    [{ allow: ["192.0.2.0/24", "unix"], deny: ["192.0.2.7"] }, ["unix"]],
    [{ allow: ["192.0.2.7"], deny: ["192.0.2.0/24"] }, []],
    [{ allow: ["192.0.2.7"], deny: [] }, ["192.0.2.7"]],
  ];
  for (const [rules, expected] of rows) {
    const isAllowed = completeAddressRules("serve", rules)!;
    assertEquals(whoIsIn(isAllowed), expected, JSON.stringify(rules));
  }
});

Deno.test("completeAddressRules() agrees with its two lists, for any of them", () => {
  const entry = fc.constantFrom("127.0.0.0/8", "192.0.2.7", "::/0", "::1", "unix", "0.0.0.0/1");
  const list = fc.array(entry, { minLength: 1, maxLength: 4 });
  const isIn = (list: string[], addr: Deno.Addr) =>
    "hostname" in addr
      ? addressSet(list.filter((text) => text !== "unix")).has(addr.hostname)
      : list.includes("unix");
  fc.assert(fc.property(list, list, (allow, deny) => {
    const isAllowed = completeAddressRules("serve", { allow, deny })!;
    for (const addr of PEERS) {
      assertEquals(isAllowed(addr), isIn(allow, addr) && !isIn(deny, addr));
    }
  }));
});

Deno.test("compileAddressList() follows a set, as it is at the time", () => {
  const set = addressSet(["192.0.2.0/24"]);
  const isIn = compileAddressList("serve", "allow", set);
  assertEquals(whoIsIn(isIn), ["192.0.2.7"]);
  set.add("unix");
  set.add("::1");
  set.delete("192.0.2.0/24");
  assertEquals(whoIsIn(isIn), ["::1", "unix"]);
});

Deno.test("compileAddressList() takes no Set, in which no address would be in a range", () => {
  const list = new Set(["192.0.2.0/24"]);
  assertThrows(() => compileAddressList("serve", "deny", list), TypeError, "or an addressSet()");
});
