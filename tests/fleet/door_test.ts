import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Door } from "../../lib/fleet/door.ts";
import { sharedAddresses } from "../../lib/fleet/shared_addresses.ts";
import { completeServeOptions } from "../../lib/server/options.ts";
import { netTest } from "../support/needs.ts";

function addressesOf(count: number) {
  const address = { port: 0, hostname: "127.0.0.1" };
  return sharedAddresses(
    completeServeOptions({ listeners: new Array(count).fill(address) }).listeners,
    undefined,
  );
}

netTest("a Door holds clients in the queue, and refuses them once it is closed", async () => {
  const [address] = addressesOf(1);
  const door = new Door([address!]);
  const client = await Deno.connect({ port: address!.port, hostname: "127.0.0.1" });
  client.close();
  door[Symbol.dispose]();
  await assertRejects(
    () => Deno.connect({ port: address!.port, hostname: "127.0.0.1" }),
    Deno.errors.ConnectionRefused,
  );
});

netTest(
  "a Door refuses an address of another one in this process, and opens none of its own",
  () => {
    const [taken, free] = addressesOf(2);
    using _first = new Door([taken!]);
    assertThrows(
      () => new Door([free!, taken!]),
      Deno.errors.AddrInUse,
      "another fleet of this process has it; use another port",
    );
    using listener = Deno.listen({ port: free!.port, hostname: "127.0.0.1" });
    assertEquals(listener.addr.port, free!.port);
  },
);

netTest("isOf() tells the addresses of a Door from others", () => {
  const [one, two] = addressesOf(2);
  using door = new Door([one!]);
  assert(door.isOf([one!]));
  assert(!door.isOf([two!]));
  assert(!door.isOf([one!, two!]));
});
