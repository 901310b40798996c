/** Files of other versions: those of released ones are brought up to date by what writes, and never misread; all others are refused. */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type Sqlite from "better-sqlite3";
import { describe, expect, it, onTestFinished } from "vitest";
import { migrate, unseenMigrations } from "../../../orchestrator/database/migrate.ts";
import { type Database, openDatabase } from "../../../orchestrator/database/open.ts";
import { lockState } from "../../../orchestrator/database/state-lock.ts";
import { stateDirectory } from "../../../orchestrator/machine/state-directory.ts";
import { readAnswer } from "../../../orchestrator/report/answer.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import { packageRoot } from "../../../schema/wire/package.ts";
import { freshDatabase, gridText, sqliteOf } from "../../support/database.ts";
import { musweep, succeed } from "../../support/musweep.ts";
import { rawDatabase } from "../../support/raw-database.ts";
import { type Scratch, scratch } from "../../support/scratch.ts";
import { OUTCOMES, storeTrainedSweep, unpack } from "../../support/trained-sweep.ts";

const files = fileURLToPath(new URL("files", import.meta.url));
const migrations = join(packageRoot(), "schema", "database", "migrations");
const released = readdirSync(join(files, "released"));

const place = (): { place: Scratch; path: string } => {
  const made = scratch();
  mkdirSync(join(made.directory, ".musweep"));
  return { place: made, path: join(made.directory, ".musweep", "musweep.db") };
};

const opened = (path: string, options?: { readonly: boolean }): Database => {
  const db = openDatabase(path, options);
  onTestFinished(() => db.close());
  return db;
};

const refusalOf = (path: string, readonly: boolean): MusweepError => {
  try {
    openDatabase(path, { readonly }).close();
  } catch (error) {
    if (error instanceof MusweepError) return error;
    throw error;
  }
  throw new Error("it was opened");
};

/** Where a file says its user_version (sqlite.org/fileformat2.html, section 1.3). */
const USER_VERSION_AT = 60;

/** What tables, indexes, triggers and views say, comments aside. */
const schemaOf = (sqlite: Sqlite.Database): Record<string, string> =>
  Object.fromEntries(
    sqlite
      .prepare<[], { name: string; sql: string }>("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
      .all()
      .map(({ name, sql }) => [name, sql.replace(/--.*$/gm, "").replace(/\s+/g, " ")]),
  );

const versionOf = (sqlite: Sqlite.Database): unknown => sqlite.pragma("user_version", { simple: true });

describe("a database of before 0.2", () => {
  // Made by the five migrations that musweep had before its first release.
  const file = (): ReturnType<typeof place> => {
    const made = place();
    unpack(join(files, "before-0.2.db.gz"), made.path);
    return made;
  };

  it("is refused by name, with the remedy, and left as it is, at whichever of its versions", () => {
    const { path } = file();
    const bytes = readFileSync(path);
    for (const version of [1, 2, 3, 4, 5]) {
      bytes.writeUInt32BE(version, USER_VERSION_AT);
      writeFileSync(path, bytes);
      for (const readonly of [true, false]) {
        const { code, kind, message, remedy } = refusalOf(path, readonly);
        expect({ code, kind }).toEqual({ code: "database-before", kind: "conflict" });
        expect(message).toBe(`${path} was written by a musweep of before version 0.2`);
        expect(remedy).toMatch(/use another --dir, or remove it/);
      }
      expect(readFileSync(path)).toEqual(bytes);
    }
  });

  it("is refused by what reads and by what writes", async () => {
    const { place } = file();
    writeFileSync(join(place.directory, "sweep.yaml"), gridText());
    for (const args of [
      ["report", "grid"],
      ["submit", "sweep.yaml"],
      ["run", "sweep.yaml"],
    ]) {
      const ended = await musweep(place, ...args);
      expect(ended).toMatchObject({ code: 4, stdout: "" });
      expect(ended.stderr).toMatch(/before version 0\.2[\s\S]*another --dir/);
    }
  });
});

it("a database of another program is refused", () => {
  const { path } = place();
  rawDatabase(path).exec("CREATE TABLE runs (distance REAL)");
  expect(refusalOf(path, false)).toMatchObject({ code: "database-foreign", kind: "conflict" });
});

/** Migrations of the test's own: the first ones that there are, and what it adds. */
function migrationsWith(count: number, added: Record<string, string> = {}): string {
  const { directory } = scratch();
  for (const name of readdirSync(migrations).sort().slice(0, count))
    copyFileSync(join(migrations, name), join(directory, name));
  for (const [name, sql] of Object.entries(added)) writeFileSync(join(directory, name), sql);
  return directory;
}

describe("a numbered migration", () => {
  const ADDED = { "9001-more.sql": "ALTER TABLE runs ADD COLUMN more TEXT NOT NULL DEFAULT 'yes'" };

  it("is applied once, to what is there", () => {
    const sqlite = sqliteOf(freshDatabase());
    sqlite.exec("INSERT INTO settings VALUES ('kept', 'yes')");
    const directory = migrationsWith(Number(versionOf(sqlite)), ADDED);
    expect(unseenMigrations(sqlite, "it", directory)).toEqual([join(directory, "9001-more.sql")]);
    migrate(sqlite, "it", directory);
    expect(versionOf(sqlite)).toBe(9001);
    expect(sqlite.prepare("SELECT value FROM settings WHERE key = 'kept'").pluck().get()).toBe("yes");
    expect(sqlite.prepare("SELECT more FROM runs").all()).toEqual([]);
  });
});

describe("databases of released versions", () => {
  it("are kept, of each but the present one at least", () => {
    const numbers = readdirSync(migrations).map((file) => Number.parseInt(file, 10));
    const versions = released.map((file) => Number.parseInt(file, 10));
    expect(numbers).toEqual(numbers.map((_, i) => i + 1));
    expect(versions.length).toBeGreaterThan(0);
    expect(numbers.slice(0, versions.length)).toEqual(versions);
    expect(versions.length).toBeGreaterThanOrEqual(numbers.length - 1);
  });

  describe.each(released)("%s", (file) => {
    const kept = (): string => {
      const { path } = place();
      unpack(join(files, "released", file), path);
      return path;
    };

    it("is what its migrations make: the files of a released version are not edited (npm run schema:keep, before)", () => {
      const sqlite = rawDatabase(kept());
      const fresh = rawDatabase();
      migrate(fresh, "fresh", migrationsWith(Number.parseInt(file, 10)));
      expect(schemaOf(sqlite)).toEqual(schemaOf(fresh));
      expect(versionOf(sqlite)).toBe(versionOf(fresh));
    });

    it("is brought up to date with all that it holds", () => {
      const [db, fresh] = [opened(kept()), freshDatabase()];
      storeTrainedSweep(fresh);
      expect(schemaOf(sqliteOf(db))).toEqual(schemaOf(sqliteOf(fresh)));
      expect(sqliteOf(db).pragma("integrity_check", { simple: true })).toBe("ok");
      expect(sqliteOf(db).pragma("foreign_key_check")).toEqual([]);
      const points = (of: Database) =>
        sqliteOf(of)
          .prepare(
            `SELECT parameterization, sparsity, log2_lr, seed, outcome, val_loss, attempts, error FROM run_results
             ORDER BY 1, 2, 3, 4`,
          )
          .all();
      expect(points(db)).toEqual(points(fresh));
      const counts = sqliteOf(db).prepare("SELECT outcome, count(*) FROM run_results GROUP BY 1").raw().all();
      expect(Object.fromEntries(counts as [string, number][])).toEqual(OUTCOMES);
      const flags = (of: Database) =>
        readAnswer(of, "grid").rows.map(({ curve, optimum }) => [curve, optimum.flag]);
      expect(flags(db)).toEqual(flags(fresh));
    });
  });
});

describe("a database whose fits another method has made", () => {
  const outdated = () => {
    const { place: at, path } = place();
    const db = openDatabase(path);
    storeTrainedSweep(db);
    const optima = () => sqliteOf(db).prepare("SELECT * FROM optima ORDER BY curve").all();
    const expected = optima();
    sqliteOf(db).exec(
      "UPDATE settings SET value = 'another' WHERE key = 'method'; UPDATE curve_optima SET loss = 0",
    );
    db.close();
    return { place: at, path, expected };
  };

  it("is fitted again when it is opened to write, and not read before", () => {
    const { path, expected } = outdated();
    expect(refusalOf(path, true)).toMatchObject({ code: "database-older", kind: "conflict" });
    openDatabase(path).close();
    const db = opened(path, { readonly: true });
    expect(sqliteOf(db).prepare("SELECT * FROM optima ORDER BY curve").all()).toEqual(expected);
  });

  it("is brought up to date by a command that reads, unless somebody is at work on it", async () => {
    const { place } = outdated();
    const release = lockState(stateDirectory({ dir: join(place.directory, ".musweep") }));
    const refused = await musweep(place, "report", "grid");
    expect(refused).toMatchObject({ code: 4, stdout: "" });
    expect(refused.stderr).toMatch(/written by an older musweep/);
    expect(refused.stderr).toContain(`Another musweep (process ${process.pid}) is still at work on it`);
    release();
    expect((await succeed(place, "report", "grid")).stdout).toMatch(/^SμPar: /m);
  });
});
