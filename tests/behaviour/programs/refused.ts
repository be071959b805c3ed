/**
 * What is said to a program that may not listen. Prints what `listen()` throws for the options
 * given.
 *
 * @module
 */

import { listen } from "../../../mod.ts";
import { catchFrom } from "../../support/caught.ts";

const caught = await catchFrom(() => listen(JSON.parse(Deno.args[0]!)).close());
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(caught)}\n`));
