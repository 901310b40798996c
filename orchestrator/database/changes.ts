/** Whether anything was written at all. */
import { type Database, prepared } from "./connection.ts";

// A function and a pragma of SQLite, neither of which the builder knows.
const own = prepared(({ sqlite }) => sqlite.prepare<[], number>("SELECT total_changes()").pluck());
const ofOthers = prepared(({ sqlite }) => sqlite.prepare<[], number>("PRAGMA data_version").pluck());

/** A word that changes with every write to the database, by this process or by another. */
export const changeMark = (db: Database): string => `${own(db).get()}.${ofOthers(db).get()}`;
