/** `musweep run FILE`: everything in one command, on one machine, ending with the answer. */
import type { Command } from "commander";
import { EXIT_CODES } from "../../schema/wire/errors.ts";
import type { Service } from "../queue/service.ts";
import { type Answer, readAnswer } from "../report/answer.ts";
import { answerText, tellingNames } from "../report/answer-text.ts";
import { suggest } from "../report/suggest.ts";
import { curvesQuery, drawnRunsQuery, slopesQuery } from "../sql/examples.ts";
import { commandLine, common, parsePort, printAnswer, sayWarnings, whereOf, withRedis } from "./common.ts";
import { givenSweepFile } from "./given-file.ts";
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
          .option("--all", "also train what other sweeps of this directory still want, each its share")
          .option("--open", "open the dashboard in a browser, if there is a screen")
          .option(
            "--port <n>",
            "show the dashboard on this port of 127.0.0.1 (default: a free one, where a person watches at a terminal)",
            parsePort,
          ),
        [
          "musweep run sweep.yaml",
          "musweep run sweep.yaml --open",
          "musweep run sweep.yaml --slots 8 --dir /data/musweep",
          "musweep run sweep.yaml --all                # and what other sweeps have left, fairly shared",
        ],
      ),
    ),
  ).action(run);
}

async function run(file: string, options: TrainOptions): Promise<void> {
  const read = givenSweepFile(file, options);
  sayWarnings(read);
  await trainHere(read, options, (service, seconds) => finish(service, read.sweep.name, options, seconds));
}

function finish(service: Service, sweep: string, options: TrainOptions, seconds: number): void {
  const answer = readAnswer(service.db, sweep);
  const { failed, cancelled } = answer.progress.by_state;
  printAnswer(options, { ...answer, seconds }, () => {
    const dir = whereOf(options);
    const line = (words: string[], why = ""): string => `  ${commandLine([...words, ...dir])}${why}`;
    const isOpen = answer.verdicts.some(({ verdict }) => verdict.verdict === "inconclusive");
    const target = largerModel(answer);
    const next = [
      "Next:",
      line(["serve"], "   # shows it in a browser: the link that it prints"),
      ...(isOpen && suggest(service.db, sweep).suggestions.length > 0
        ? [line(["suggest", sweep], "   # runs that would decide more")]
        : []),
      ...(target === null
        ? []
        : [line(["recommend", sweep, ...target], "   # for a model that you will train")]),
      line(["report", sweep]),
      line(["sql", resultsQuery(answer)]),
      ...(failed + cancelled > 0
        ? [line(["requeue", sweep, "--missing"], "   # then run the same file again")]
        : []),
    ];
    return `${answerText(answer, { seconds })}\n\n${next.join("\n")}`;
  });
  const stopped = answer.progress.phases.some((phase) => phase.state === "stopped");
  process.exitCode = failed + cancelled > 0 || stopped ? EXIT_CODES.incomplete : EXIT_CODES.ok;
}

function resultsQuery({ rows, searches, checks, progress: { sweep } }: Answer): string {
  if (rows.length > 0 || searches.length + checks.length === 0)
    return curvesQuery(sweep, [...new Set(rows.map((row) => row.tuned))], tellingNames(rows));
  if (searches.length === 0) return slopesQuery(sweep);
  const best = searches.flatMap((search) =>
    search.best.map(({ coordinates }) => Object.entries(coordinates)),
  );
  const names = new Set(best.flatMap((one) => one.map(([name]) => name)));
  const varying = [...names].filter(
    (name) =>
      name !== "parameterization" &&
      new Set(best.map((one) => String(new Map<string, unknown>(one).get(name)))).size > 1,
  );
  return drawnRunsQuery(sweep, varying.length > 0 ? varying : ["learning_rate"]);
}

/** Where a verdict is decided: the options of `recommend` for a model four times as wide as the widest, as sparse as the sparsest. */
function largerModel({ rows, verdicts }: Answer): string[] | null {
  const known = rows.filter((row) => row.tuned === "learning_rate" && row.optimum.flag === "bracketed");
  if (known.length === 0 || verdicts.every(({ verdict }) => verdict.verdict === "inconclusive")) return null;
  const sparsities = new Set(rows.map(({ sparsity }) => sparsity));
  return [
    ...["--width", String(4 * Math.max(...rows.map(({ width }) => width)))],
    ...(sparsities.size > 1 ? ["--sparsity", String(Math.max(...sparsities))] : []),
  ];
}
