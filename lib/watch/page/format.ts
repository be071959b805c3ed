/** Writes counts, bytes and times for people, in the browser. @module */

/** A module of the page. */
export const FORMAT: string = String.raw`
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

export function count(value) {
  return whole.format(value);
}

/** Small figures with a fraction: "0.4", "12", "1,250". */
export function figure(value) {
  return value < 100 ? short.format(value) : whole.format(value);
}

export function bytes(value) {
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit++;
  }
  return (unit === 0 ? whole : short).format(value) + " " + UNITS[unit];
}

/** Ms in two units at most. */
export function time(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 1) return ms < 100 ? "0 s" : "0." + Math.floor(ms / 100) + " s";
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " min " + (s % 60) + " s";
  if (s < 86400) return Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  return Math.floor(s / 86400) + " d " + Math.floor(s % 86400 / 3600) + " h";
}
`;
