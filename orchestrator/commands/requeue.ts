import type { Command } from "commander";
import { MusweepError } from "../../schema/errors.ts";
import { refreshRuns } from "../database/optima.ts";
import { progressOf } from "../database/progress.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

interface RequeueOptions extends CommonOptions {
  failed?: boolean;
  missing?: boolean;
}

export function addRequeue(program: Command): void {
  common(
    program
      .command("requeue <sweep>")
      .description("train again what has no result")
      .option("--failed", "runs that failed")
      .option("--missing", "failed and cancelled runs: everything without a result that is not on its way"),
    ["musweep requeue quickstart --failed", "musweep requeue quickstart --missing"],
  ).action(async (sweep: string, options: RequeueOptions) => {
    if (options.failed === options.missing) {
      throw new MusweepError("bad-option", "say which runs: --failed or --missing", { kind: "usage" });
    }
    const states = options.failed ? ["failed"] : ["failed", "cancelled"];
    await withDatabase(options, { readonly: false }, (db) => {
      progressOf(db, sweep);
      const requeued = db.sqlite
        .transaction(() => {
          db.sqlite.prepare("UPDATE sweeps SET state = 'active' WHERE name = ?").run(sweep);
          const rows = db.sqlite
            .prepare<unknown[], { id: string }>(
              `UPDATE runs SET state = 'pending', error = NULL, updated_at = ?
               WHERE state IN (${states.map(() => "?").join(", ")}) AND id IN (
                 SELECT c.run_id FROM cells c JOIN phases p ON p.id = c.phase_id JOIN sweeps s ON s.id = p.sweep_id
                 WHERE s.name = ?)
               RETURNING id`,
            )
            .all(Date.now(), ...states, sweep);
          refreshRuns(
            db.sqlite,
            rows.map((r) => r.id),
          );
          return rows.length;
        })
        .immediate();
      print(options, { sweep, requeued }, () =>
        requeued === 0
          ? `${sweep}: nothing to train again.`
          : `${sweep}: ${plural(requeued, "run")} will be trained again by the running orchestrator, or by the next \`musweep run\`.`,
      );
    });
  });
}
