/**
 * A program that may not listen. Prints the error of `listen()` for the given options.
 *
 * @module
 */

import { listen } from "../../../mod.ts";
import { catchFrom } from "../../support/caught.ts";

const caught = await catchFrom(() => listen(JSON.parse(Deno.args[0]!)).close());
Deno.stdout.writeSync(new TextEncoder().encode(`${JSON.stringify(caught)}\n`));
