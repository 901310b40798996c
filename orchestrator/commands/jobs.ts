import { join } from "node:path";
import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { packageRoot } from "../../schema/wire/package.ts";
import { shellWord } from "../../schema/wire/shell-line.ts";
import { awayRuns, takeAway, takeBack } from "../database/away-runs.ts";
import { progressOf } from "../database/progress.ts";
import { refuseExisting, writeNewFile } from "../machine/new-path.ts";
import { plural } from "../terminal/format.ts";
import {
  type CommonOptions,
  commandLine,
  common,
  parseCount,
  print,
  whereOf,
  withDatabase,
} from "./common.ts";

interface Options extends CommonOptions {
  out?: string;
  limit?: number;
  takeBack?: boolean;
}

const ANOTHER_FILE = "Name a file that does not: what is in this one may be on its way.";

export function addJobs(program: Command): void {
  common(
    program
      .command("jobs <sweep>")
      .description(
        "write the plans of runs that wait to a file, to be trained where no queue can be reached; `musweep collect` brings them back",
      )
      .option("--out <file>", "JSON lines; must not exist yet")
      .option(
        "--limit <n>",
        "at most so many runs, those first that are trained first",
        parseCount("--limit"),
      )
      .option("--take-back", "train here what is away: what still comes of it counts only until then"),
    [
      "musweep jobs quickstart --out jobs.jsonl",
      "python3 -m musweep_torch --jobs jobs.jsonl --data DIR --events events.jsonl   # elsewhere",
      "musweep collect events.jsonl",
      "musweep jobs quickstart --take-back",
    ],
  ).action(async (sweep: string, options: Options) => {
    const { out, limit } = options;
    if ((out === undefined) === !options.takeBack || (options.takeBack && limit !== undefined))
      throw new MusweepError("bad-option", "say --out FILE, or --take-back alone", { kind: "usage" });
    await withDatabase(options, { readonly: false, mustExist: true }, (db, state) => {
      progressOf(db, sweep);
      if (out === undefined) {
        const back = takeBack(db, sweep);
        print(options, { sweep, taken_back: back }, () =>
          back === 0
            ? `${sweep}: nothing is away.`
            : `${sweep}: ${plural(back, "run")} will be trained by the running orchestrator, or by the next \`musweep run\`.`,
        );
        return;
      }
      refuseExisting(out, ANOTHER_FILE);
      const jobs = db.transaction(() => {
        const jobs = takeAway(db, sweep, limit ?? Number.MAX_SAFE_INTEGER);
        if (jobs.length > 0)
          writeNewFile(out, jobs.map((job) => `${JSON.stringify(job)}\n`).join(""), ANOTHER_FILE);
        return jobs;
      });
      const data = [...new Set(jobs.map(({ plan }) => plan.data.hash))];
      const value = {
        sweep,
        file: jobs.length > 0 ? out : null,
        runs: jobs.length,
        data,
        away: awayRuns(db, sweep).length,
      };
      print(options, value, () =>
        jobs.length === 0
          ? `${sweep}: no run waits that PyTorch could train.`
          : [
              `${sweep}: ${plural(jobs.length, "run")} in ${out}. To train them, take along the file, the directory ${join(packageRoot(), "workers", "trainers", "torch")}, and ${data.map((hash) => `${state.data}/${hash}`).join(", ")}:`,
              `  PYTHONPATH=torch python3 -m musweep_torch --jobs ${shellWord(out)} --data data --events events.jsonl --checkpoints checkpoints`,
              `Then here: ${commandLine(["collect", "events.jsonl", ...whereOf(options)])}`,
            ].join("\n"),
      );
    });
  });
}
