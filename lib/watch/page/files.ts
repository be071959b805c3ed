/** Lists the files of the page by their path. @module */

import { CHARTS } from "./charts.ts";
import { FORMAT } from "./format.ts";
import { ICON, PAGE } from "./html.ts";
import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";
import { TABLE } from "./table.ts";

/** A file of the page, kept as text in TypeScript: a module cannot import HTML or CSS everywhere. */
export interface PageFile {
  readonly type: string;
  readonly text: string;
}

const SCRIPT_TYPE = "text/javascript; charset=utf-8";

/** By path. They refer to each other relatively, so that a reverse proxy may add a prefix. */
export const FILES: Readonly<Record<string, PageFile>> = {
  "/": { type: "text/html; charset=utf-8", text: PAGE },
  "/icon.svg": { type: "image/svg+xml", text: ICON },
  "/style.css": { type: "text/css; charset=utf-8", text: STYLE },
  "/script.js": { type: SCRIPT_TYPE, text: SCRIPT },
  "/charts.js": { type: SCRIPT_TYPE, text: CHARTS },
  "/table.js": { type: SCRIPT_TYPE, text: TABLE },
  "/format.js": { type: SCRIPT_TYPE, text: FORMAT },
};
