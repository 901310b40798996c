/**
 * Keeps a small database of the present schema version with the tests, `npm run schema:keep`: run before a release whose schema is
 * new. A version that was released is never kept anew, nor are its migrations edited: every later one has to open its files.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openDatabase } from "../orchestrator/database/open.ts";
import { packageRoot } from "../schema/wire/package.ts";
import { sqliteOf } from "../test/support/database.ts";
import { keep, storeTrainedSweep } from "../test/support/trained-sweep.ts";

const directory = mkdtempSync(join(tmpdir(), "musweep-keep-"));
try {
  const db = openDatabase(join(directory, "musweep.db"));
  storeTrainedSweep(db);
  const version = String(sqliteOf(db).pragma("user_version", { simple: true })).padStart(4, "0");
  const file = join("test", "orchestrator", "database", "files", "released", `${version}.db.gz`);
  keep(db, join(packageRoot(), file));
  db.close();
  console.log(file);
} finally {
  rmSync(directory, { recursive: true, force: true });
}
