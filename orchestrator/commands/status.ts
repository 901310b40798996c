import type { Command } from "commander";
import { progressOf, type SweepProgress, sweepProgress } from "../database/progress.ts";
import { lockHolder } from "../state.ts";
import { phaseLines } from "../terminal/phases.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

export function addStatus(program: Command): void {
  common(
    program
      .command("status [sweep]")
      .description("how far sweeps have come: runs by state, and the share of the work that is done"),
    ["musweep status", "musweep status quickstart --json"],
  ).action(async (sweep: string | undefined, options: CommonOptions) => {
    await withDatabase(options, { readonly: true }, (db, state) => {
      const sweeps = sweep === undefined ? sweepProgress(db) : [progressOf(db, sweep)];
      print(options, sweep === undefined ? sweeps : sweeps[0], () => {
        if (sweeps.length === 0) return "No sweeps yet: `musweep init` writes one to start from.";
        const holder = lockHolder(state);
        const serving =
          holder === undefined
            ? "No orchestrator is running on this directory: `musweep run FILE` or `musweep serve` trains what is pending."
            : `Orchestrator running (process ${holder}).`;
        const phases = sweeps.flatMap((s) => phaseLines(s));
        return [table(sweeps), ...(phases.length > 0 ? [phases.join("\n")] : []), serving].join("\n\n");
      });
    });
  });
}

const table = (sweeps: SweepProgress[]): string =>
  textTable<SweepProgress>(
    [
      { title: "sweep", value: (s) => s.sweep },
      { title: "state", value: (s) => s.state },
      { title: "done", align: "right", value: (s) => `${Math.floor(s.fraction * 100)}%` },
      { title: "points", align: "right", value: (s) => String(s.points) },
      { title: "runs", align: "right", value: (s) => String(s.runs) },
      { title: "pending", align: "right", value: (s) => String(s.by_state.pending + s.by_state.queued) },
      { title: "running", align: "right", value: (s) => String(s.by_state.running) },
      { title: "finished", align: "right", value: (s) => String(s.by_state.finished) },
      { title: "diverged", align: "right", value: (s) => String(s.by_state.diverged) },
      { title: "failed", align: "right", value: (s) => String(s.by_state.failed) },
      { title: "cancelled", align: "right", value: (s) => String(s.by_state.cancelled) },
    ],
    sweeps,
  );
