/** Adds up how often the workers of a fleet have dismissed connections, by the text that they gave. @module */

/** Counts by text. */
type Dismissed = Readonly<Record<string, number>>;

/** Texts of all workers that are counted one by one, as those of one server are. */
const MOST_TEXTS = 32;

/** What stands for the others. */
const OTHER = "other";

/** The sum of several. */
export function addDismissals(all: readonly Dismissed[]): Dismissed {
  const sum = new Map<string, number>();
  for (const [text, count] of all.flatMap((dismissed) => Object.entries(dismissed))) {
    const isNew = !sum.has(text);
    const counted = isNew && sum.size >= MOST_TEXTS ? OTHER : text;
    sum.set(counted, (sum.get(counted) ?? 0) + count);
  }
  return Object.fromEntries(sum);
}
