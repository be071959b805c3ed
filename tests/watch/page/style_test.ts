/** Tests that every text of the page has enough contrast. @module */

import { assert, assertEquals } from "@std/assert";
import { STYLE } from "../../../lib/watch/page/style.ts";

/** The colours of both schemes: light first. */
const SCHEMES = STYLE.split("prefers-color-scheme: dark").map((part) =>
  Object.fromEntries(
    [...part.split("* {")[0]!.matchAll(/--([\w-]+): (#[\da-f]{6})([\da-f]{2})?;/g)].map((
      [, name, colour, opacity],
    ) => [name, { colour: colour!, opacity: opacity ? parseInt(opacity, 16) / 255 : 1 }]),
  )
);

function channels(colour: string): number[] {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

/** How light a colour is, and the contrast of two, as WCAG 2.2 defines them. */
function luminance(rgb: number[]): number {
  const [red = 0, green = 0, blue = 0] = rgb.map((channel) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(one: number[], other: number[]): number {
  const [light = 0, dark = 0] = [luminance(one), luminance(other)].toSorted((a, b) => b - a);
  return (light + 0.05) / (dark + 0.05);
}

for (const [i, scheme] of SCHEMES.entries()) {
  const name = ["light", "dark"][i];
  const rgb = (colour: string, below?: string): number[] => {
    const { colour: own, opacity } = scheme[colour]!;
    const under = below === undefined ? channels(own) : channels(scheme[below]!.colour);
    return channels(own).map((value, at) => value * opacity + under[at]! * (1 - opacity));
  };

  for (const ground of ["ground", "card"]) {
    for (const text of ["ink", "quiet", "one", "bad"]) {
      Deno.test(`${text} on ${ground} can be read in ${name}`, () => {
        const found = contrast(rgb(text), rgb(ground));
        assert(found >= 4.5, `${found}`);
      });
    }
  }
  for (const kind of ["good", "warn", "bad"]) {
    Deno.test(`the state in ${kind} can be read in ${name}`, () => {
      const found = contrast(rgb(kind), rgb(`${kind}-soft`, "ground"));
      assert(found >= 4.5, `${found}`);
    });
  }
  for (const drawn of ["one", "two", "good", "peer", "limit", "ours", "refusal", "handshake"]) {
    Deno.test(`what is drawn in ${drawn} can be seen in ${name}`, () => {
      const found = contrast(rgb(drawn), rgb("card"));
      assert(found >= 3, `${found}`);
    });
  }
}

Deno.test("each colour of one scheme is in the other", () => {
  const [light, dark] = SCHEMES.map((scheme) => Object.keys(scheme).toSorted());
  assertEquals(dark, light);
});
