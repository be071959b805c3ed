/** A bare `deno test` says why it ignores tests. @module */

import { granted } from "./support/needs.ts";

Deno.test({
  name: "tests with sockets: run them with `deno task test`, which grants what they need",
  ignore: !granted,
  fn: () => {},
});
