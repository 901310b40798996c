/** Words that people put on sweeps, to find them again. */
import { and, eq } from "drizzle-orm";
import { sweepTags } from "../../schema/database/tables.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { inOneLine } from "../../schema/wire/printable.ts";
import { amongGiven, type Database, given, prepared } from "./connection.ts";

const MAX_TAGS = 20;
const MAX_CHARACTERS = 40;

/**
 * @param text words, with spaces or commas between them
 * @throws MusweepError (usage) for too many, or one that is too long or no plain text
 */
export function readTags(text: string): string[] {
  const tags = [...new Set(text.split(/[\s,]+/).filter((word) => word !== ""))].sort();
  if (tags.length > MAX_TAGS || tags.some((tag) => [...tag].length > MAX_CHARACTERS))
    throw new MusweepError(
      "bad-tags",
      `a sweep has at most ${MAX_TAGS} tags, of at most ${MAX_CHARACTERS} characters each`,
      { kind: "usage" },
    );
  if (tags.some((tag) => inOneLine(tag) !== tag))
    throw new MusweepError(
      "bad-tags",
      "a tag has control characters, or such as turn the direction of writing",
      {
        kind: "usage",
      },
    );
  return tags;
}

const tagsOfSweep = prepared(({ orm }) =>
  orm
    .select({ tag: sweepTags.tag })
    .from(sweepTags)
    .where(eq(sweepTags.sweep_id, given("sweep")))
    .orderBy(sweepTags.tag)
    .prepare(),
);

export const tagsOf = (db: Database, sweep: number): string[] =>
  tagsOfSweep(db)
    .all({ sweep })
    .map(({ tag }) => tag);

const known = prepared(({ orm }) =>
  orm.selectDistinct({ tag: sweepTags.tag }).from(sweepTags).orderBy(sweepTags.tag).prepare(),
);

/** Of all sweeps. */
export const knownTags = (db: Database): string[] =>
  known(db)
    .all()
    .map(({ tag }) => tag);

const add = prepared(({ orm }) =>
  orm
    .insert(sweepTags)
    .values({ sweep_id: given("sweep"), tag: given("tag") })
    .prepare(),
);

const remove = prepared(({ orm }) =>
  orm
    .delete(sweepTags)
    .where(and(eq(sweepTags.sweep_id, given("sweep")), amongGiven(sweepTags.tag, "tags")))
    .prepare(),
);

/** In place of those that it has. */
export function setTags(db: Database, sweep: number, tags: readonly string[]): void {
  db.transaction(() => {
    const before = tagsOf(db, sweep);
    remove(db).run({ sweep, tags: JSON.stringify(before.filter((tag) => !tags.includes(tag))) });
    for (const tag of tags) if (!before.includes(tag)) add(db).run({ sweep, tag });
  });
}
