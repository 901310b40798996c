/** `musweep run FILE`: everything in one command, on one machine, ending with the answer. */
import type { Command } from "commander";
import { EXIT_CODES } from "../../schema/errors.ts";
import { readSweepFile } from "../load-sweep.ts";
import { type Answer, readAnswer } from "../report/answer.ts";
import { answerText } from "../report/answer-text.ts";
import type { Service } from "../service.ts";
import { common, parseCount, print, withRedis } from "./common.ts";
import { type TrainOptions, trainHere } from "./train-here.ts";
import { workerOptions } from "./worker-options.ts";

export function addRun(program: Command): void {
  workerOptions(
    withRedis(
      common(
        program
          .command("run <file>")
          .description(
            "train a sweep on this machine, with progress, and print the answer; run again to resume",
          )
          .option("--open", "show the dashboard while it runs, and open it in a browser if there is a screen")
          .option("--port <n>", "show the dashboard on this port of 127.0.0.1", parseCount("--port")),
        [
          "musweep run sweeps/quickstart.yaml",
          "musweep run sweeps/quickstart.yaml --open",
          "musweep run sweep.yaml --slots 8 --dir /data/musweep",
        ],
      ),
    ),
  ).action(run);
}

async function run(file: string, options: TrainOptions): Promise<void> {
  const read = readSweepFile(file);
  const dir = options.dir === ".musweep" ? "" : ` --dir ${options.dir}`;
  await trainHere(read, options, `musweep run ${file}${dir}`, (service, seconds) =>
    finish(service, read.sweep.name, options, seconds),
  );
}

function finish(service: Service, sweep: string, options: TrainOptions, seconds: number): void {
  const answer = readAnswer(service.db, sweep);
  const { failed, cancelled } = answer.progress.by_state;
  print(options, { ...answer, seconds }, () => {
    const dir = options.dir === ".musweep" ? "" : ` --dir ${options.dir}`;
    const next = [
      "Next:",
      `  musweep report ${sweep}${dir}`,
      `  musweep sql "SELECT ${curveColumns(answer)} FROM curves WHERE sweep = '${sweep}'"${dir}`,
      ...(failed + cancelled > 0
        ? [`  musweep requeue ${sweep} --missing${dir}   # then run the same file again`]
        : []),
    ];
    return `${answerText(answer, { seconds })}\n\n${next.join("\n")}`;
  });
  const stopped = answer.progress.phases.some((phase) => phase.state === "stopped");
  process.exitCode = failed + cancelled > 0 || stopped ? EXIT_CODES.incomplete : EXIT_CODES.ok;
}

/** The columns of the view that tell its rows apart, by what the sweep's curves are over. */
function curveColumns({ rows }: Answer): string {
  const tuned = [...new Set(rows.map((row) => row.tuned))];
  if (tuned.length > 1) return "phase, parameterization, sparsity, tuned, log2_tuned, mean_loss";
  const [only = "learning_rate"] = tuned;
  const rate = only === "learning_rate" ? "log2_lr" : `log2_tuned AS log2_${only}`;
  return `parameterization, sparsity, ${rate}, mean_loss`;
}
