/** Messages of which a handler keeps a small part, and which part. @module */

export interface KeptItem {
  readonly title: string;
  /** Sent one after the other, each once the one before has been answered by one byte. */
  readonly parts: readonly Uint8Array<ArrayBuffer>[];
  /** The offset in the first of them of the bytes that are kept. */
  readonly from: number;
  readonly size: number;
}

/** The kept part: a chunk, or a frame of a codec. */
export type Kept =
  | "chunk"
  | "chunk16k"
  | "exactly"
  | "line"
  | "delimited"
  | "prefixed"
  | "message16k";

/** Bytes of a frame that is dropped: the largest that every codec takes by default. */
const LARGE = 65_536;

const LINE = "KEEP123456789";
const LINES = `${LINE}\n${"xxxxxxx\n".repeat(1022)}`;

export const KEPT_ITEMS: Record<Kept, KeptItem> = {
  chunk: item("a chunk of 1 byte", [new Uint8Array(1)], 0, 1),
  chunk16k: item(
    "a chunk of 1 byte, where the next 16 KiB are dropped,",
    [new Uint8Array(1), new Uint8Array(16_383)],
    0,
    1,
  ),
  exactly: item("a record of 1 byte behind one of 4", [new Uint8Array(5)], 4, 1),
  line: item("a line of 13 bytes out of 8 KiB", [bytes(LINES)], 0, LINE.length),
  delimited: item("a frame of 13 bytes out of 8 KiB", [bytes(LINES)], 0, LINE.length),
  prefixed: item("a frame of 1 byte behind one of 64 KiB", [prefixed(LARGE, 1)], LARGE + 8, 1),
  message16k: item("a message of 16 KiB", [new Uint8Array(16_384)], 0, 16_384),
};

function item(title: string, parts: KeptItem["parts"], from: number, size: number): KeptItem {
  return { title, parts, from, size };
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Frames of zeros after their lengths of four bytes. */
function prefixed(...sizes: number[]): Uint8Array<ArrayBuffer> {
  const frames = new Uint8Array(sizes.reduce((sum, size) => sum + 4 + size, 0));
  let at = 0;
  for (const size of sizes) {
    new DataView(frames.buffer).setUint32(at, size);
    at += 4 + size;
  }
  return frames;
}
