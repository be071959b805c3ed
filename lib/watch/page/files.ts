/** Which files is the page made of? @module */

import { CHARTS } from "./charts.ts";
import { FORMAT } from "./format.ts";
import { ICON, PAGE } from "./html.ts";
import { SCRIPT } from "./script.ts";
import { STYLE } from "./style.ts";
import { TABLE } from "./table.ts";

/** A file of the page. They are text in TypeScript, as a package on JSR can have no other files. */
export interface PageFile {
  readonly type: string;
  readonly text: string;
}

const SCRIPT_TYPE = "text/javascript; charset=utf-8";

/** By path; those that refer to others do so relative to themselves, for who puts a prefix before. */
export const FILES: Readonly<Record<string, PageFile>> = {
  "/": { type: "text/html; charset=utf-8", text: PAGE },
  "/icon.svg": { type: "image/svg+xml", text: ICON },
  "/style.css": { type: "text/css; charset=utf-8", text: STYLE },
  "/script.js": { type: SCRIPT_TYPE, text: SCRIPT },
  "/charts.js": { type: SCRIPT_TYPE, text: CHARTS },
  "/table.js": { type: SCRIPT_TYPE, text: TABLE },
  "/format.js": { type: SCRIPT_TYPE, text: FORMAT },
};
