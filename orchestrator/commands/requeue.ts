import type { Command } from "commander";
import { LOST_STATES, RESULT_STATES } from "../../schema/database/states.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { progressOf } from "../database/progress.ts";
import type { Again } from "../database/run-states.ts";
import { requeueRuns } from "../database/stop-and-requeue.ts";
import { plural } from "../terminal/format.ts";
import { type CommonOptions, common, print, withDatabase } from "./common.ts";

interface RequeueOptions extends CommonOptions {
  failed?: boolean;
  missing?: boolean;
  all?: boolean;
  engine?: string;
  run?: string;
}

export function addRequeue(program: Command): void {
  common(
    program
      .command("requeue <sweep>")
      .description(
        "train runs again: what has no result, or what has one too; old results stay with their attempts",
      )
      .option("--failed", "runs that failed")
      .option("--missing", "failed and cancelled runs: everything without a result that is not on its way")
      .option("--all", "every run of the sweep that has ended, those with a result included")
      .option(
        "--engine <name>",
        'what this engine has trained, such as musweep-cpu, or "musweep-cpu 1" for one version',
      )
      .option("--run <id>", "one run, as the pages and `musweep sql` name it"),
    [
      "musweep requeue quickstart --failed",
      "musweep requeue quickstart --engine musweep-cpu",
      "musweep requeue quickstart --run r0123456789abcdef0123",
    ],
  ).action(async (sweep: string, options: RequeueOptions) => {
    const which = chosen(options);
    await withDatabase(options, { readonly: false, mustExist: true }, (db) => {
      progressOf(db, sweep);
      const requeued = requeueRuns(db, sweep, which);
      print(options, { sweep, requeued }, () =>
        requeued === 0
          ? `${sweep}: nothing to train again.`
          : `${sweep}: ${plural(requeued, "run")} will be trained again by the running orchestrator, or by the next \`musweep run\`.`,
      );
    });
  });
}

const ENDED = [...RESULT_STATES, ...LOST_STATES];

function chosen({ failed, missing, all, engine, run }: RequeueOptions): Again {
  const choices: Again[] = [
    ...(failed ? [{ states: ["failed"] as const }] : []),
    ...(missing ? [{ states: LOST_STATES }] : []),
    ...(all ? [{ states: ENDED }] : []),
    ...(engine === undefined ? [] : [{ states: RESULT_STATES, engine }]),
    ...(run === undefined ? [] : [{ states: ENDED, run }]),
  ];
  const [only, ...others] = choices;
  if (only !== undefined && others.length === 0) return only;
  throw new MusweepError(
    "bad-option",
    "say which runs, in one way: --failed or --missing, --all, --engine NAME, --run ID",
    { kind: "usage" },
  );
}
