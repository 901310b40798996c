/**
 * `musweep coord-check FILE`: trains the short runs of a file's coordinate checks on this machine, as a sweep of their own,
 * and prints what they found. What has been measured before is not measured again.
 */
import { type Command, InvalidArgumentError } from "commander";
import { readPower } from "../../schema/sweep/hyperparameters.ts";
import { parameterizationNamed } from "../../schema/sweep/other-names.ts";
import type { Phase } from "../../schema/sweep/sweep.ts";
import { EXIT_CODES, MusweepError } from "../../schema/wire/errors.ts";
import { answerText } from "../report/answer-text.ts";
import { readFigureData } from "../report/figures/data.ts";
import type { ReportTargets } from "../report/figures/write-report.ts";
import type { SweepText } from "../submission/load-sweep.ts";
import { ONLY_CHECK } from "../sweep/coordinate-phase.ts";
import { common, parseCount, print, say, sayWarnings, withRedis } from "./common.ts";
import { givenSweepFile } from "./given-file.ts";
import { type TrainOptions, trainHere } from "./train-here.ts";
import { workerOptions } from "./worker-options.ts";

interface Options extends TrainOptions, ReportTargets {
  parameterizations?: string[];
  widths?: number[];
  densities?: number[];
  layers?: number[];
  heads?: number;
  seeds?: number;
  steps?: number;
  learningRate?: number;
  tolerance?: number;
}

export function addCoordCheck(program: Command): void {
  workerOptions(
    withRedis(
      common(
        program
          .command("coord-check <file>")
          .description(
            "do activations keep their size as width, density or depth changes? Short runs, slopes with intervals, verdicts",
          )
          .option(
            "--parameterizations <list>",
            "such as mup,supar; default: the file's",
            listOf(parameterization),
          )
          .option("--widths <list>", "such as 64,128,256,512", listOf(number))
          .option("--densities <list>", "such as 1,0.5,0.25", listOf(number))
          .option("--layers <list>", "such as 2,4,8", listOf(number))
          .option(
            "--heads <n>",
            "along width: as many heads in all, so that d_head grows",
            parseCount("--heads"),
          )
          .option("--seeds <n>", "seeds per network (default: 5, or the file's)", parseCount("--seeds"))
          .option("--steps <n>", "updates (default: 10, or the file's)", parseCount("--steps"))
          .option("--learning-rate <rate>", "base learning rate (default: 2^-9, or the file's)", number)
          .option("--tolerance <slope>", "slopes up to this are flat (default: 0.25, or the file's)", number)
          .option("--html <file>", "also as one HTML file")
          .option("--svg <directory>", "also the figure as SVG")
          .option("--png <directory>", "also the figure as PNG"),
        [
          "musweep coord-check sweep.yaml --png figures",
          "musweep coord-check sweep.yaml --widths 64,128,256,512 --densities 1,0.25,0.0625",
        ],
      ).addHelpText(
        "after",
        "\nExit codes: 0 flat wherever the parameterization's rules say so · 1 not flat there, or inconclusive · others as everywhere",
      ),
    ),
  ).action(coordCheck);
}

/** A title as tables print it will do; what is no name at all is told as if it stood in the file. */
const parameterization = (text: string): string => parameterizationNamed(text) ?? text;

/** Commander tells a bad value together with its option. */
function number(text: string): number {
  const value = Number(readPower(text));
  if (text.trim() !== "" && Number.isFinite(value)) return value;
  throw new InvalidArgumentError("Expected a number.");
}

const listOf =
  <T>(read: (text: string) => T) =>
  (text: string): T[] =>
    text.split(",").map((part) => read(part.trim()));

/** The file's section under what the options say. */
function settingsOf(o: Options): Record<string, unknown> {
  const settings = {
    parameterization: o.parameterizations,
    width: o.widths,
    density: o.densities,
    layers: o.layers,
    heads: o.heads,
    seeds: o.seeds,
    steps: o.steps,
    learning_rate: o.learningRate,
    tolerance: o.tolerance,
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

async function coordCheck(file: string, options: Options): Promise<void> {
  const whole = givenSweepFile(file, options, settingsOf(options));
  sayWarnings(whole);
  const read = checksAlone(whole);
  const { name } = read.sweep;
  let data: ReturnType<typeof readFigureData> | undefined;
  await trainHere(read, options, (service, seconds) => {
    data = readFigureData(service.db, name);
    const { answer } = data;
    const { checks } = answer;
    print(options, { sweep: name, checks, seconds }, () => answerText(answer, { seconds }));
    process.exitCode = checks.every((check) => check.passed) ? EXIT_CODES.ok : EXIT_CODES.incomplete;
  });
  const { html, svg, png } = options;
  if (data === undefined || [html, svg, png].every((target) => target === undefined)) return;
  await writeFiles(data, { html, svg, png });
}

async function writeFiles(data: ReturnType<typeof readFigureData>, targets: ReportTargets): Promise<void> {
  // Loaded here: every command's start would pay for the charting and rendering libraries.
  const { writeReport } = await import("../report/figures/write-report.ts");
  const { files, notes } = await writeReport(data, targets);
  for (const note of notes) say(note);
  for (const file of files) say(`wrote ${file}`);
}

/** The file's checks as a sweep; several phases often have the same one. */
function checksAlone(read: SweepText): SweepText {
  const { sweep } = read;
  const isAlone = sweep.phases.every((phase) => phase.coordinates !== undefined);
  const distinct = new Map(sweep.checks.map((check) => [JSON.stringify({ ...check, name: "" }), check]));
  const [first, ...rest] = distinct.values();
  if (first === undefined)
    throw new MusweepError("nothing-to-check", "the file has nothing to check", { kind: "usage" });
  const phases: [Phase, ...Phase[]] = [first, ...rest];
  return { ...read, sweep: { ...sweep, name: isAlone ? sweep.name : `${sweep.name}.${ONLY_CHECK}`, phases } };
}
