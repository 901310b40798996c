import type { Command } from "commander";
import { progressOf, type SweepProgress, sweepProgress } from "../database/progress.ts";
import { type Fleet, fleetOf, readWorkers } from "../queue/read-workers.ts";
import { inTime } from "../redis/in-time.ts";
import { findRedis } from "../redis/open-redis.ts";
import { connected } from "../redis/probe.ts";
import { lockHolder, type StateDirectory } from "../state.ts";
import { plural } from "../terminal/format.ts";
import { phaseLines } from "../terminal/phases.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, print, withDatabase, withRedis } from "./common.ts";

interface Options extends CommonOptions {
  redis?: string;
}

export function addStatus(program: Command): void {
  withRedis(
    common(
      program
        .command("status [sweep]")
        .description(
          "how far sweeps have come: runs by state, and the share of the work that is done; and who trains them",
        ),
      ["musweep status", "musweep status quickstart --json"],
    ),
  ).action(async (sweep: string | undefined, options: Options) => {
    await withDatabase(options, { readonly: true }, async (db, state) => {
      const workers = await readFleet(state, options.redis);
      const sweeps = sweep === undefined ? sweepProgress(db) : [progressOf(db, sweep)];
      const values = sweeps.map((s) => (workers === null ? s : { ...s, workers }));
      print(options, sweep === undefined ? values : values[0], () => {
        if (sweeps.length === 0) return "No sweeps yet: `musweep init` writes one to start from.";
        const holder = lockHolder(state);
        const serving =
          holder === undefined
            ? "No orchestrator is running on this directory: `musweep run FILE` or `musweep serve` trains what is pending."
            : `Orchestrator running (process ${holder}).`;
        const phases = sweeps.flatMap((s) => phaseLines(s));
        return [
          table(sweeps),
          ...(phases.length > 0 ? [phases.join("\n")] : []),
          [serving, ...(workers === null ? [] : [fleetText(workers)])].join("\n"),
        ].join("\n\n");
      });
    });
  });
}

/** As the dashboard counts them; null when there is no Redis, or it does not answer. */
async function readFleet({ redis }: StateDirectory, named: string | undefined): Promise<Fleet | null> {
  const url = named ?? (await findRedis(redis))?.url;
  return url === undefined ? null : inTime(connected(url, readWorkers).then(fleetOf));
}

const fleetText = ({ alive, lost, slots, busy }: Fleet): string =>
  alive + lost === 0
    ? "No workers: `musweep worker` starts one."
    : `${plural(alive, "worker")} alive, ${busy} of ${plural(slots, "slot")} busy${lost > 0 ? `; ${lost} lost` : ""}.`;

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
