/** Silent clients write nothing into a server's log, however many they are. @module */

import { assertEquals } from "@std/assert";
import { netTest } from "../support/needs.ts";
import { silentClients } from "./silent_clients.ts";

netTest(
  "a read's own timeout that leaves the handler is read_timeout, and no line on stderr",
  async () => {
    assertEquals(await silentClients(200), { ended: { read_timeout: 200 }, logged: [] });
  },
);
