import type { Command } from "commander";
import { awayRuns } from "../database/away-runs.ts";
import type { Database } from "../database/open.ts";
import { doneText, isSettled, progressOf, type SweepProgress, sweepProgress } from "../database/progress.ts";
import { inBrackets, lockHolder } from "../database/state-lock.ts";
import { newestSweep } from "../database/sweeps.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import { fleetOf, needsMet, readWorkers, type Workers } from "../queue/read-workers.ts";
import { inTime } from "../redis/in-time.ts";
import { findRedis } from "../redis/open-redis.ts";
import { connected } from "../redis/probe.ts";
import { phaseLines } from "../report/phase-states.ts";
import { type UnmetNeed, unableText, unmetNeeds, unmetText } from "../report/unmet-needs.ts";
import { plural } from "../terminal/format.ts";
import { textTable } from "../terminal/table.ts";
import { type CommonOptions, common, print, withDatabase, withRedis } from "./common.ts";

interface Options extends CommonOptions {
  redis?: string;
  all?: boolean;
  tag?: string;
}

export function addStatus(program: Command): void {
  withRedis(
    common(
      program
        .command("status [sweep]")
        .description(
          "how far sweeps have come: runs by state, and the share of the work that is done; and who trains them",
        ),
      [
        "musweep status",
        "musweep status quickstart --json",
        "musweep status --all        # with those that are put away",
      ],
    )
      .option("--all", "also sweeps that are put away (musweep archive)")
      .option("--tag <word>", "only sweeps with this tag (musweep tag)"),
  ).action(async (sweep: string | undefined, options: Options) => {
    await withDatabase(options, { readonly: true }, async (db, state) => {
      const workers = await readFleet(state, options.redis);
      const unmet = workers === null ? [] : unmetNeeds(db, needsMet(workers), sweep);
      const sweeps = sweep === undefined ? listedSweeps(db, options) : [progressOf(db, sweep)];
      const values = sweeps.map((s) =>
        workers === null
          ? s
          : { ...s, workers: fleetOf(workers), waits: unmet.filter(({ sweep }) => sweep === s.sweep) },
      );
      print(options, sweep === undefined ? values : values[0], () => {
        if (sweeps.length === 0 && options.tag !== undefined) return `No sweep has the tag ${options.tag}.`;
        if (sweeps.length === 0 && newestSweep(db) !== undefined)
          return "All sweeps are put away: `musweep status --all` lists them.";
        if (sweeps.length === 0) return "No sweeps yet: `musweep init` writes one to start from.";
        const holder = lockHolder(state);
        const waits = !sweeps.every(isSettled);
        const serving =
          holder !== undefined
            ? `Orchestrator running${inBrackets(holder)}.`
            : waits
              ? "No orchestrator is running on this directory: `musweep run FILE` or `musweep serve` trains what is pending."
              : "Nothing is left to train.";
        const notes = sweeps.flatMap((s) => [
          ...(s.tags.length === 0 ? [] : [`${s.sweep} is tagged ${s.tags.join(", ")}`]),
          ...(s.note === null ? [] : [`${s.sweep}: ${s.note}`]),
        ]);
        const phases = sweeps.flatMap((s) => phaseLines(s));
        return [
          table(sweeps),
          ...(phases.length > 0 ? [phases.join("\n")] : []),
          ...(notes.length > 0 ? [notes.join("\n")] : []),
          [
            serving,
            ...sweeps.flatMap(({ sweep }) => awayLines(db, sweep)),
            ...(workers === null ? [] : [fleetText(workers, unmet)]),
          ].join("\n"),
        ].join("\n\n");
      });
    });
  });
}

const listedSweeps = (db: Database, { all, tag }: Options): SweepProgress[] =>
  sweepProgress(db).filter(
    (s) => (all || s.archived_at === null) && (tag === undefined || s.tags.includes(tag)),
  );

function awayLines(db: Database, sweep: string): string[] {
  const away = awayRuns(db, sweep).length;
  return away === 0
    ? []
    : [
        `${plural(away, "run")} of ${sweep} ${away === 1 ? "is" : "are"} away: \`musweep collect FILE\` brings results back, \`musweep jobs ${sweep} --take-back\` trains them here.`,
      ];
}

/** As the dashboard counts them; null when there is no Redis, or it does not answer. */
async function readFleet({ redis }: StateDirectory, named: string | undefined): Promise<Workers | null> {
  const url = named ?? (await findRedis(redis))?.url;
  return url === undefined ? null : inTime(connected(url, readWorkers));
}

function fleetText(workers: Workers, unmet: readonly UnmetNeed[]): string {
  const { alive, lost, slots, busy, unreadable, unable } = fleetOf(workers);
  const waits = unmet.map((need) => `${unmetText(need)}: \`${need.command}\` starts one.`);
  const strangers = unreadable > 0 ? ` ${plural(unreadable, "heartbeat")} cannot be read.` : "";
  if (alive + lost === 0)
    return [
      `No workers${waits.length === 0 ? ": `musweep worker` starts one" : ""}.${strangers}`,
      ...waits,
    ].join("\n");
  const all = `${plural(alive, "worker")} alive, ${busy} of ${plural(slots, "slot")} busy${lost > 0 ? `; ${lost} lost` : ""}.${strangers}`;
  return [all, ...unable.map(unableText), ...waits].join("\n");
}

const table = (sweeps: SweepProgress[]): string =>
  textTable<SweepProgress>(
    [
      { title: "sweep", value: (s) => s.sweep },
      { title: "state", value: (s) => s.state },
      { title: "done", align: "right", value: doneText },
      { title: "points", align: "right", value: (s) => String(s.points) },
      { title: "runs", align: "right", value: (s) => String(s.runs) },
      {
        title: "pending",
        align: "right",
        ifAny: true,
        value: (s) => String(s.by_state.pending + s.by_state.queued),
      },
      { title: "running", align: "right", ifAny: true, value: (s) => String(s.by_state.running) },
      { title: "finished", align: "right", ifAny: true, value: (s) => String(s.by_state.finished) },
      { title: "diverged", align: "right", ifAny: true, value: (s) => String(s.by_state.diverged) },
      { title: "failed", align: "right", ifAny: true, value: (s) => String(s.by_state.failed) },
      { title: "cancelled", align: "right", ifAny: true, value: (s) => String(s.by_state.cancelled) },
    ],
    sweeps,
  );
