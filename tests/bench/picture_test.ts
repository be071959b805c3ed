/** Pictures show their data, readably. @module */

import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Bar, type Colours, DARK, draw, LIGHT, type Picture } from "./picture.ts";

const bar = (label: string, value: number, kind: Bar["kind"] = "other"): Bar => ({
  label,
  value,
  range: [value, value],
  kind,
});

const picture = (...bars: Bar[]): Picture => ({ title: "A title", subtitle: "req/s", bars });

/** The elements of a drawing with a class, each as its attributes. */
function elements(drawing: string, name: string, className: string): Map<string, string>[] {
  return [...drawing.matchAll(new RegExp(`<${name}((?: [^>]*)?)/?>`, "g"))]
    .map(([, attributes = ""]) =>
      new Map(
        [...attributes.matchAll(/([\w-]+)="([^"]*)"/g)].map(([, key = "", it = ""]) => [key, it]),
      )
    )
    .filter((attributes) => attributes.get("class") === className);
}

const number = (attributes: Map<string, string> | undefined, key: string) =>
  Number(attributes?.get(key));

/** The words of a drawing, in their order; throws where a tag is not closed or a sign not escaped. */
function words(drawing: string): string[] {
  const open: string[] = [];
  const found: string[] = [];
  const rest = drawing.replaceAll(
    /<(\/?)(\w+)((?: [\w-]+="[^"<&]*"|xmlns="[^"]*")*) ?(\/?)>([^<]*)/g,
    (_, close, name, _attributes, empty, words: string) => {
      if (close !== "") assertEquals(open.pop(), name);
      else if (empty === "") open.push(name);
      assertEquals(words.replaceAll(/&(amp|lt|gt);/g, "").includes("&"), false);
      if (open.at(-1) === "text") found.push(words);
      return "";
    },
  );
  assertEquals([rest, open], ["", []]);
  return found.map((it) =>
    it.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&")
  );
}

Deno.test("draw() writes title, subtitle, and each label with its value, in order", () => {
  const drawing = draw(picture(bar("plain", 1234), bar("usher_read", 0.5)));
  assertEquals(words(drawing), ["A title", "req/s", "plain", "1 234", "usher_read", "0.50"]);
});

Deno.test("draw() makes bars as long as their values, from 0", () => {
  const drawing = draw(picture(bar("a", 100, "baseline"), bar("b", 25, "usher"), bar("c", 0)));
  const [longest] = elements(drawing, "rect", "baseline");
  const [quarter] = elements(drawing, "rect", "usher");
  const [none] = elements(drawing, "rect", "other");
  assertAlmostEquals(number(quarter, "width") * 4, number(longest, "width"), 0.5);
  assertEquals(number(none, "width"), 0);
  assertEquals(longest?.get("x"), quarter?.get("x"));
});

Deno.test("draw() draws the range of a bar to the same scale, and a wide one within the card", () => {
  const drawing = draw(picture({ ...bar("a", 50, "usher"), range: [25, 100] }));
  const [rect] = elements(drawing, "rect", "usher");
  const [range] = elements(drawing, "path", "range");
  const [, from, to] = /^M([\d.]+) [\d.]+H([\d.]+)$/.exec(range?.get("d") ?? "") ?? [];
  const x = number(rect, "x"), width = number(rect, "width");
  assertAlmostEquals(Number(from), x + width / 2, 0.1);
  assertAlmostEquals(Number(to), x + width * 2, 0.1);
});

Deno.test("draw() draws only the head for no bars, and no bar for 0", () => {
  assertEquals(words(draw(picture())), ["A title", "req/s"]);
  assertEquals(words(draw(picture(bar("a", 0)))).slice(2), ["a", "0"]);
});

Deno.test("draw() is well-formed and stays on its card whatever its input", () => {
  const value = fc.double({ min: 0, max: 1e12, noNaN: true });
  const bars = fc.array(
    fc.record({
      label: fc.string({ maxLength: 20 }),
      value,
      range: fc.tuple(value, value).map(([a, b]): [number, number] => a < b ? [a, b] : [b, a]),
      kind: fc.constantFrom("usher", "baseline", "other"),
    }),
    { maxLength: 12 },
  );
  fc.assert(fc.property(fc.string(), bars, (title, bars) => {
    const drawing = draw({ title, subtitle: title, bars });
    assertEquals(words(drawing).slice(0, 2), [title, title]);
    assertEquals(words(drawing).filter((_, i) => i > 1 && i % 2 === 0), bars.map((it) => it.label));
    const width = Number(/ width="(\d+)"/.exec(drawing)?.[1]);
    const height = Number(/ height="(\d+)"/.exec(drawing)?.[1]);
    for (const kind of ["usher", "baseline", "other"]) {
      for (const rect of elements(drawing, "rect", kind)) {
        assert(number(rect, "x") + number(rect, "width") < width);
        assert(number(rect, "y") + number(rect, "height") < height);
      }
    }
  }));
});

/** The relative luminance of a colour, as WCAG 2 has it. */
function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5]
    .map((at) => parseInt(colour.slice(at, at + 2), 16) / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: string, other: string): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].toSorted((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

for (const [name, colours] of Object.entries({ LIGHT, DARK } satisfies Record<string, Colours>)) {
  Deno.test(`${name} has the contrast that WCAG requires of text and of graphics`, () => {
    for (const text of ["text", "faint"] as const) {
      assert(contrast(colours[text], colours.card) >= 4.5, text);
    }
    for (const kind of ["usher", "baseline", "other"] as const) {
      assert(contrast(colours[kind], colours.card) >= 3, kind);
    }
  });
}

Deno.test("draw() has the colours of both schemes, the dark ones only on request", () => {
  const [light = "", dark = ""] = draw(picture(bar("a", 1))).split(
    "@media (prefers-color-scheme: dark)",
  );
  for (const colour of Object.values(LIGHT)) assert(light.includes(colour), colour);
  for (const colour of Object.values(DARK)) assert(dark.includes(colour), colour);
});
