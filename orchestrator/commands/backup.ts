import { renameSync, rmSync, statSync } from "node:fs";
import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { checkDatabase, copyDatabase } from "../database/check.ts";
import { diskError } from "../database/disk-error.ts";
import { openDatabase } from "../database/open.ts";
import { keepFilesPrivate } from "../machine/open-state.ts";
import { amount } from "../terminal/format.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addBackup(program: Command): void {
  common(
    program
      .command("backup <file>")
      .description(
        "copy the database into a new file, whole and of one moment, also while sweeps are trained; the copy is checked",
      ),
    ["musweep backup musweep-backup.db", 'musweep backup "/backups/$(date +%F).db"'],
  ).action(async (file: string, options: CommonOptions) => {
    if (statSync(file, { throwIfNoEntry: false }) !== undefined)
      throw new MusweepError("backup-file", `${file} exists already`, {
        kind: "usage",
        remedy: "Name a new file.",
      });
    const unfinished = `${file}.${process.pid}.tmp`;
    // As private as what it is a copy of.
    const endPrivacy = keepFilesPrivate();
    try {
      await withDatabase(options, { readonly: true }, (db) => copyDatabase(db, unfinished));
      checkCopy(unfinished);
      renameSync(unfinished, file);
    } catch (error) {
      throw diskError(error, file) ?? error;
    } finally {
      endPrivacy();
      for (const end of ["", "-wal", "-shm", "-journal"]) rmSync(`${unfinished}${end}`, { force: true });
    }
    const { size: bytes } = statSync(file);
    print(
      options,
      { file, bytes },
      () =>
        `Wrote ${file} (${amount(bytes, "B")}). To go back to it: stop musweep, put it in the place of ${options.dir}/musweep.db, and remove musweep.db-wal and -shm.`,
    );
  });
}

/** @throws MusweepError for one that is not what was copied */
function checkCopy(path: string): void {
  const copy = openDatabase(path);
  try {
    const [damage] = checkDatabase(copy).filter(({ check }) => check === "integrity");
    if (damage !== undefined)
      throw new MusweepError("backup-damaged", `the copy is damaged as the database is: ${damage.message}`, {
        kind: "unavailable",
        remedy: "`musweep verify` says more of it.",
      });
  } finally {
    copy.close();
  }
}
