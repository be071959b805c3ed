/** Frames of many senders are held once, and as long as one of them needs them. @module */

import {
  assert,
  assertEquals,
  assertFalse,
  assertNotStrictEquals,
  assertStrictEquals,
} from "@std/assert";
import { Rooms } from "../../lib/connection/rooms.ts";
import { SharedFrames, SharedRange } from "../../lib/connection/shared_frames.ts";
import { bytes, text } from "../support/bytes.ts";

Deno.test("SharedFrames.slice() gives all who send the same range the same view of one memory", () => {
  const frames = new SharedFrames(5);
  frames.append(bytes`hello`);
  const view = frames.slice(0, 5);
  assertStrictEquals(frames.slice(0, 5), view);
  assertNotStrictEquals(frames.slice(1, 5), view);
  assertStrictEquals(frames.slice(1, 5).buffer, view.buffer);
  assertEquals([text(frames.slice(0, 5)), text(frames.slice(4, 5))], ["hello", "o"]);
});

Deno.test("SharedFrames.append() grows, and what was given out before stays as it is", () => {
  const frames = new SharedFrames(1);
  frames.append(bytes`first`);
  const first = frames.slice(0, 5);
  const large = bytes`${"x".repeat(1000)}`;
  frames.append(large);
  frames.append(bytes`last`);
  assertEquals(text(first), "first");
  assertEquals(text(frames.slice(0, 5)), "first");
  assertEquals(frames.slice(5, 1005), large);
  assertEquals(text(frames.slice(1005, frames.length)), "last");
});

Deno.test("SharedRange.extend() takes in what follows directly, and nothing else", () => {
  const frames = new SharedFrames(10);
  const others = new SharedFrames(10);
  for (const p of ["ab", "cd", "ef"]) for (const all of [frames, others]) all.append(bytes`${p}`);
  const range = new SharedRange(frames, 0, 2, new Rooms());
  assert(range.extend(frames, 2, 4));
  assertFalse(range.extend(others, 4, 6));
  assertFalse(range.extend(frames, 5, 6));
  assertEquals([text(range.bytes), range.length], ["abcd", 4]);
});

Deno.test("SharedFrames.isOpen is true while a range has not left, up to 64 KiB", () => {
  const frames = new SharedFrames(10);
  frames.append(bytes`ab`);
  assertFalse(frames.isOpen);
  const ranges = [
    new SharedRange(frames, 0, 2, new Rooms()),
    new SharedRange(frames, 0, 1, new Rooms()),
  ];
  ranges[0]!.release();
  assert(frames.isOpen);
  ranges[1]!.release();
  assertFalse(frames.isOpen);
  const range = new SharedRange(frames, 0, 2, new Rooms());
  frames.append(new Uint8Array(65_533));
  assert(frames.isOpen);
  frames.append(new Uint8Array(1));
  assertFalse(frames.isOpen);
  range.release();
});
