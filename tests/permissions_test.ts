/** What a bare `deno test` says of the tests that it may not run. @module */

import { granted } from "./support/needs.ts";

Deno.test({
  name: "tests with sockets: run them with `deno task test`, which grants what they need",
  ignore: !granted,
  fn: () => {},
});
