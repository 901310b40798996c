import type { Command } from "commander";
import { MusweepError } from "../../schema/errors.ts";
import { progressOf } from "../database/progress.ts";
import { requeueRuns } from "../database/stop-and-requeue.ts";
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
    await withDatabase(options, { readonly: false }, (db) => {
      progressOf(db, sweep);
      const requeued = requeueRuns(db, sweep, options.failed ? "failed" : "missing");
      print(options, { sweep, requeued }, () =>
        requeued === 0
          ? `${sweep}: nothing to train again.`
          : `${sweep}: ${plural(requeued, "run")} will be trained again by the running orchestrator, or by the next \`musweep run\`.`,
      );
    });
  });
}
