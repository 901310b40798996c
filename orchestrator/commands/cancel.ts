import type { Command } from "commander";
import { refreshRuns } from "../database/optima.ts";
import { progressOf } from "../database/progress.ts";
import { cancelUnwanted } from "../database/submit.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addCancel(program: Command): void {
  common(
    program
      .command("cancel <sweep>")
      .description("train nothing more for a sweep; results stay, and runs that another sweep wants go on"),
    ["musweep cancel quickstart"],
  ).action(async (sweep: string, options: CommonOptions) => {
    await withDatabase(options, { readonly: false }, (db) => {
      progressOf(db, sweep);
      const cancelled = db.sqlite
        .transaction(() => {
          db.sqlite.prepare("UPDATE sweeps SET state = 'cancelled' WHERE name = ?").run(sweep);
          const count = cancelUnwanted(db.sqlite, Date.now());
          const runs = db.sqlite
            .prepare<[string], { run_id: string }>(
              `SELECT DISTINCT c.run_id FROM cells c JOIN phases p ON p.id = c.phase_id JOIN sweeps s ON s.id = p.sweep_id
               WHERE s.name = ?`,
            )
            .all(sweep);
          refreshRuns(
            db.sqlite,
            runs.map((r) => r.run_id),
          );
          return count;
        })
        .immediate();
      print(
        options,
        { sweep, cancelled },
        () =>
          `${sweep}: ${plural(cancelled, "run")} cancelled. Submitting the file again takes them up where they stopped.`,
      );
    });
  });
}
