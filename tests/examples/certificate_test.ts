/** The certificate of an example is kept, and no other file is overwritten. @module */

import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { findCertificate } from "../../examples/certificate.ts";
import { server } from "../support/certificates.ts";
import { Directory } from "../support/directory.ts";
import { netTest } from "../support/needs.ts";

const DAY = 86_400_000;

netTest("findCertificate() makes a certificate once, readable only by its owner", async () => {
  using place = new Directory();
  const made = await findCertificate({ dir: place.path });
  assertEquals(place.names(), ["localhost-key.pem", "localhost.pem"]);
  assertEquals(made.certFile, place.at("localhost.pem"));
  assertEquals(await Deno.readTextFile(made.certFile), made.cert);
  assertEquals(await Deno.readTextFile(place.at("localhost-key.pem")), made.key);
  for (const name of place.names()) {
    const { mode } = await Deno.stat(place.at(name));
    if (Deno.build.os !== "windows") assertEquals(mode! & 0o777, 0o600, name);
  }
  assertEquals(await findCertificate({ dir: place.path }), made);
  assertEquals(await findCertificate({ dir: `${place.path}/` }), made);
});

netTest("findCertificate() reads the files that were given, and makes none", async () => {
  using place = new Directory();
  const [cert, key] = [place.at("a.pem"), place.at("b.pem")];
  await Deno.writeTextFile(cert, server.cert);
  await Deno.writeTextFile(key, server.key);
  assertEquals(await findCertificate({ cert, key }), { ...server, certFile: cert });
  await assertRejects(
    () => findCertificate({ cert, key: place.at("c.pem") }),
    Deno.errors.NotFound,
    "c.pem",
  );
  assertEquals(place.names(), ["a.pem", "b.pem"]);
});

for (const flags of [{ cert: "a" }, { key: "a" }, { cert: "a", key: "b", dir: "c" }]) {
  netTest(
    `findCertificate() refuses ${Object.keys(flags).join(" and ")} without the other`,
    async () => {
      await assertRejects(
        () => findCertificate(flags),
        TypeError,
        "Cannot use --cert, --key and --dir so: give the first two, or the third",
      );
    },
  );
}

for (const gone of ["localhost.pem", "localhost-key.pem"]) {
  netTest(`findCertificate() overwrites nothing where ${gone} is missing`, async () => {
    using place = new Directory();
    await findCertificate({ dir: place.path });
    await Deno.remove(place.at(gone));
    const [left = ""] = place.names();
    const before = await Deno.readTextFile(place.at(left));
    await assertRejects(
      () => findCertificate({ dir: place.path }),
      RangeError,
      `Cannot use ${place.at(left)} without ${place.at(gone)}: remove it, and start again`,
    );
    assertEquals(place.names(), [left]);
    assertEquals(await Deno.readTextFile(place.at(left)), before);
  });
}

netTest("findCertificate() refuses a certificate that is not valid for another day", async () => {
  using place = new Directory();
  using time = new FakeTime(Date.UTC(2030, 0, 1));
  await findCertificate({ dir: place.path });
  time.now = Date.UTC(2030, 0, 1) + 363 * DAY;
  await findCertificate({ dir: place.path });
  time.now += DAY;
  await assertRejects(
    () => findCertificate({ dir: place.path }),
    RangeError,
    "Jan  1 00:00:00 2031 GMT: remove it and its key, and start again",
  );
});
