import type { Command } from "commander";
import { removeSweep } from "../database/keep-and-remove.ts";
import { progressOf } from "../database/progress.ts";
import { amount, plural } from "../terminal/format.ts";
import { removeFilesOf } from "../upkeep/leftovers.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";
import { confirm } from "./confirm.ts";

export function addRm(program: Command): void {
  common(
    program
      .command("rm <sweep>")
      .description(
        "remove a sweep, with all that belongs to it alone: results, curves, logs, checkpoints, weights; asks before",
      )
      .option("--yes", "do not ask"),
    ["musweep rm old-sweep", "musweep backup before.db && musweep rm old-sweep --yes"],
  ).action(async (sweep: string, options: CommonOptions & { yes?: boolean }) => {
    await withDatabase(options, { readonly: false, mustExist: true }, async (db, state) => {
      const { runs, points, by_state } = progressOf(db, sweep);
      const results = by_state.finished + by_state.diverged;
      await confirm(
        `${sweep}: ${plural(points, "grid point")} and ${plural(runs, "run")}, ${results} of them with a result, would be removed for good.`,
        options.yes,
      );
      const removed = removeSweep(db, sweep);
      const bytes = removeFilesOf(state, removed.runs);
      const value = { sweep, runs: removed.runs.length, kept: removed.kept, held: removed.held, bytes };
      print(options, value, () =>
        [
          `${sweep}: removed, with ${plural(value.runs, "run")} and ${amount(bytes, "B")} of files`,
          ...(value.kept > 0 ? [`${plural(value.kept, "run")} that another sweep wants stay`] : []),
          ...(options.shared === undefined
            ? []
            : [`checkpoints and weights below ${options.shared} stay: other state directories may use them`]),
          ...(value.held > 0
            ? [
                `${plural(value.held, "run")} that a worker may still hold: \`musweep prune\` removes them later`,
              ]
            : []),
        ].join("; "),
      );
    });
  });
}
