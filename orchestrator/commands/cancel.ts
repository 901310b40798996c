import type { Command } from "commander";
import { awayRuns } from "../database/away-runs.ts";
import { isSettled, progressOf } from "../database/progress.ts";
import { cancelSweep } from "../database/stop-and-requeue.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addCancel(program: Command): void {
  common(
    program
      .command("cancel <sweep>")
      .description("train nothing more for a sweep; results stay, and runs that another sweep wants go on"),
    ["musweep cancel quickstart"],
  ).action(async (sweep: string, options: CommonOptions) => {
    await withDatabase(options, { readonly: false, mustExist: true }, (db) => {
      const before = progressOf(db, sweep);
      const away = awayRuns(db, sweep).length;
      const cancelled = cancelSweep(db, sweep);
      print(options, { sweep, cancelled }, () =>
        isSettled(before)
          ? `${sweep}: nothing is left to train, so nothing was cancelled. It is ${before.state}.`
          : `${sweep}: ${plural(cancelled, "run")} cancelled. Submitting the file again takes them up where they stopped.${
              away > 0
                ? `\n${plural(away, "run")} of them ${away === 1 ? "is" : "are"} away: what comes back counts once the file has been submitted again.`
                : ""
            }`,
      );
    });
  });
}
