import { assert, assertEquals } from "@std/assert";
import { sharedAddresses } from "../../lib/fleet/shared_addresses.ts";
import { completeServeOptions } from "../../lib/server/options.ts";
import { netTest } from "../support/needs.ts";

const hostname = "127.0.0.1";

function listenersOf(...ports: number[]) {
  return completeServeOptions({ listeners: ports.map((port) => ({ port, hostname })) }).listeners;
}

netTest("sharedAddresses() gives each port 0 a port of its own", () => {
  const [one, two] = sharedAddresses(listenersOf(0, 0), undefined);
  assert(one!.port > 0 && two!.port > 0 && one!.port !== two!.port);
});

netTest("sharedAddresses() gives a port 0 what an earlier worker has found for it", () => {
  const known = sharedAddresses(listenersOf(0, 7000), undefined);
  assertEquals(sharedAddresses(listenersOf(0, 7000), known), known);
});

netTest(
  "sharedAddresses() takes nothing from an earlier worker for an address that has changed",
  () => {
    const known = sharedAddresses(listenersOf(7000), undefined);
    const [{ asked, port } = { asked: 0, port: 0 }] = sharedAddresses(listenersOf(7001), known);
    assertEquals([asked, port], [7001, 7001]);
  },
);
