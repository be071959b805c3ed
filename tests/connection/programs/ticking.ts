/** A clock does not keep its process alive. Watches one and has nothing else to do. @module */

import { CoarseClock } from "../../../lib/connection/coarse_clock.ts";

new CoarseClock(true).watch({ tick: () => {} });
Deno.stdout.writeSync(new TextEncoder().encode("watched\n"));
