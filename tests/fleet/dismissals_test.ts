import { assertEquals } from "@std/assert";
import { addDismissals } from "../../lib/fleet/dismissals.ts";

Deno.test("addDismissals() adds what several workers have counted, by text", () => {
  assertEquals(addDismissals([{ kicked: 1, banned: 2 }, {}, { kicked: 3 }]), {
    kicked: 4,
    banned: 2,
  });
});

Deno.test("addDismissals() counts texts beyond 32 as `other`, and loses none", () => {
  const many = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`a${i}`, 1]));
  const more = Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`b${i}`, 1]));
  const sum = addDismissals([many, more]);
  assertEquals(Object.values(sum).reduce((one, other) => one + other), 60);
  assertEquals(sum["other"], 28);
});
