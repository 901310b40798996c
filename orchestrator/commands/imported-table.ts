/** A table of results as a sweep of a database that is gone afterwards. */
import { type Database, openDatabase } from "../database/open.ts";
import type { Imported } from "../import/read-results.ts";
import { advancePhases } from "../phases/advance.ts";
import type { Place } from "./given-file.ts";
import { type ImportOptions, readImport, storeTold } from "./import-options.ts";

const NAME = "results";

export async function withTable<T>(
  path: string,
  options: ImportOptions & Place,
  use: (db: Database, sweep: string, read: Imported) => T,
): Promise<T> {
  const { sweep, read } = await readImport(path, NAME, options);
  const db = openDatabase(":memory:");
  try {
    storeTold(db, sweep);
    advancePhases(db);
    return use(db, NAME, read);
  } finally {
    db.close();
  }
}
