import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { describeNeed, type Need, workerCommandFor } from "../../schema/wire/need.ts";
import type { Plan } from "../../schema/wire/plan.ts";
import { slotsOf } from "../../schema/wire/worker.ts";
import { describePlan, type ResolvedPlan } from "../parameterization/describe-plan.ts";
import type { SearchPlan } from "../phases/plan-search.ts";
import { type Simulation, simulateSearches } from "../phases/simulate-search.ts";
import { resolvedPlanText } from "../report/resolved-plan-text.ts";
import { estimateSpeeds } from "../submission/estimate-speed.ts";
import { type GpuTime, H100_TFLOPS, USUAL_UTILIZATION } from "../submission/gpu-time.ts";
import { type LoadedSweep, loadSweep } from "../submission/load-sweep.ts";
import {
  knownCells,
  type PlanSummary,
  repeatsSentence,
  summarizePlan,
  type WidthRow,
} from "../submission/plan-summary.ts";
import { BUSY_FROM, knownSpeeds, measureSpeeds } from "../submission/speed.ts";
import { needsOfPhase } from "../sweep/needs-of-phase.ts";
import { titleOf } from "../sweep/title.ts";
import { amount, duration, plural, quantity } from "../terminal/format.ts";
import { textTable } from "../terminal/table.ts";
import {
  type CommonOptions,
  common,
  parseCount,
  parsePositive,
  print,
  say,
  sayGone,
  sayWarnings,
  withDatabase,
} from "./common.ts";
import { givenSweepFile } from "./given-file.ts";
import { type WorkerOptions, workerOptions } from "./worker-options.ts";
import { needsMetBy, type Offer, resolveTrainers, trainerIn } from "./worker-trainer.ts";

interface Options extends CommonOptions, WorkerOptions {
  resolved?: boolean;
  match?: string;
  /** Undefined: an estimate will do. */
  measure?: boolean;
  gpuTflops: number;
  simulate?: boolean;
  draws: number;
}

export function addPlan(program: Command): void {
  workerOptions(
    common(
      program
        .command("plan <file>")
        .description(
          "what a sweep would train: runs, already done, parameters, FLOPs, expected time; trains nothing",
        )
        .option("--resolved", "the effective init, learning rate and decay of every tensor group, per run")
        .option("--match <text>", "with --resolved: only runs whose title contains this")
        .option(
          "--simulate",
          "of a search: what it would have said and cost beside the whole grid, by simulation",
        )
        .option("--draws <n>", "with --simulate: how many times", parseCount("--draws"), 5)
        .option(
          "--measure",
          "measure how fast this machine trains these very shapes: 2 s or a step each, remembered",
        )
        .option("--no-measure", "measure nothing, and leave the time out")
        .option(
          "--gpu-tflops <n>",
          "what a GPU keeps up, TFLOP/s, where no such run was measured on one (default: 40% of an H100's dense bfloat16 peak of 989)",
          parsePositive("--gpu-tflops"),
          USUAL_UTILIZATION * H100_TFLOPS,
        ),
      [
        "musweep plan sweep.yaml",
        "musweep plan sweep.yaml --simulate",
        'musweep plan sweep.yaml --resolved --match "SμPar d128 L2 s0.9375 lr 2^-8"',
      ],
    ),
    ["checkpointSeconds", "silenceSeconds", "lockSeconds"],
  ).action(async (file: string, options: Options) => {
    if (options.match !== undefined && !options.resolved)
      throw new MusweepError("bad-option", "--match chooses among runs, which only --resolved shows", {
        kind: "usage",
        remedy: "Add --resolved.",
      });
    const read = givenSweepFile(file, options);
    sayWarnings(read);
    await withDatabase(options, { readonly: false }, async (db, state) => {
      const loaded = await loadSweep(read, state, { onGone: sayGone });
      if (options.resolved) {
        const runs: ({ title: string; run: string } & ResolvedPlan)[] = [];
        for (const cell of knownCells(loaded)) {
          const title = titleOf(cell.coordinates);
          if (options.match !== undefined && !title.includes(options.match)) continue;
          runs.push({ title, run: cell.run, ...describePlan(cell.plan, cell.coordinates.learning_rate) });
        }
        print(options, runs, () =>
          runs.length === 0
            ? `No run's title contains "${options.match}".`
            : runs.map((r) => `${r.title}  (run ${r.run})\n${resolvedPlanText(r)}`).join("\n\n"),
        );
        return;
      }
      if (options.simulate) {
        const simulations = simulateSearches(db, loaded.phases, options.draws);
        if (simulations.length === 0)
          throw new MusweepError("bad-option", "--simulate is for a search, and the file has none", {
            kind: "usage",
            remedy: "Add search: {until: decided} to the file.",
          });
        print(options, { sweep: loaded.sweep.name, simulations }, () => simulationText(simulations));
        return;
      }
      const offer = await resolveTrainers(options);
      const slots = slotsOf(offer).length;
      const measured = measuredTrainer(offer);
      let estimated = false;
      const speedsOf = (plans: Map<string, Plan>) => {
        const fleet = {
          slots,
          threads: options.threads,
          trainer: measured === "embedded" ? null : measured!,
        };
        const measuring = {
          ...fleet,
          dataDirectory: state.data,
          onMeasure: (n: number, total: number) => {
            if (options.measure) say(`measured the speed of ${n} of ${plural(total, "model shape")}`);
          },
          onUnfit: (why: string) => say(`The speed of a model shape cannot be measured here: ${why}`),
        };
        if (options.measure) return measureSpeeds(db, plans, measuring);
        estimated = knownSpeeds(db, plans.keys(), fleet).size < plans.size;
        return estimateSpeeds(db, plans, measuring);
      };
      const summary = await summarizePlan(
        db,
        loaded,
        slots,
        options.gpuTflops,
        options.measure !== false && measured !== undefined ? speedsOf : null,
      );
      const speed = summary.seconds === null ? null : estimated ? "estimated" : "measured";
      const needs = phaseNeeds(loaded, offer);
      const isTrained =
        summary.to_train === 0 && summary.waiting.length === 0 && summary.searches.length === 0;
      print(options, { ...summary, speed, needs, warnings: read.warnings }, () =>
        [summaryText(summary, estimated, options.gpuTflops), ...(isTrained ? [] : needsTexts(needs))].join(
          "\n",
        ),
      );
    });
  });
}

const percent = (share: number): string => `${(100 * share).toFixed(share < 0.095 ? 1 : 0)}%`;

/** Grid and search side by side. */
function simulationText(simulations: Simulation[]): string {
  const both = <N>({ grid, search }: { grid: N; search: N }, show: (n: N) => string) =>
    `${show(grid)}, ${show(search)}`;
  const shareText = (share: number | null): string => (share === null ? "–" : percent(share));
  return [
    "A search beside the whole grid; of two numbers the grid's is the first.",
    "",
    textTable<Simulation>(
      [
        { title: "phase", value: (s) => s.phase },
        { title: "curves", value: (s) => s.curves },
        { title: "draws", align: "right", value: (s) => String(s.draws) },
        { title: "decided", align: "right", value: (s) => both(s.decided, shareText) },
        { title: "wrong", align: "right", value: (s) => both(s.wrong, shareText) },
        { title: "same", align: "right", value: (s) => shareText(s.same) },
        { title: "runs", align: "right", value: (s) => both(s.runs, (n) => n.toFixed(0)) },
        { title: "FLOPs", align: "right", value: (s) => percent(s.share) },
      ],
      simulations,
    ),
    "",
    "decided: shares of all verdicts. same: of those that the grid decides, how many the search says too. FLOPs: the search's share of the grid's.",
  ].join("\n");
}

/** Whose speed is measured: the first that is there. The trainer in PyTorch compiles for a minute before it shows its own. */
function measuredTrainer({ trainers }: Offer): "embedded" | string[] | undefined {
  for (const { start } of trainers) {
    if (start === "embedded") return start;
    if ("command" in start) return start.command;
  }
  return undefined;
}

/** What a phase needs, and whether a worker with these options would train it. */
interface PhaseNeed {
  phase: string;
  need: Need;
  met: boolean;
  /** What starts a worker that would. */
  command: string;
}

function phaseNeeds({ sweep: { phases }, text }: LoadedSweep, offer: Offer): PhaseNeed[] {
  const met = needsMetBy(offer);
  const known = trainerIn(text);
  return phases.flatMap((phase) =>
    needsOfPhase(phase).map((need) => ({
      phase: phase.name,
      need,
      met: met.has(need),
      command: workerCommandFor(need, known),
    })),
  );
}

const needsTexts = (needs: readonly PhaseNeed[]): string[] =>
  needs
    .filter(({ met }) => !met)
    .map(
      ({ phase, need, command }) =>
        `Phase ${phase} waits for ${describeNeed(need)}: \`${command}\` starts one.`,
    );

function costText(s: PlanSummary, estimated: boolean): string {
  if (s.to_train === 0) return "Nothing is left to train.";
  return s.seconds === null ? `${flopsText(s)} in all.` : `${flopsText(s)} in all; ${timeText(s, estimated)}`;
}

/** As for dense models; and what is left of them where weights do not exist. */
const flopsText = ({ flops, sparse_flops }: PlanSummary): string =>
  `${amount(flops, "FLOPs")}${sparse_flops < flops ? ` (${quantity(sparse_flops)} without the weights that do not exist)` : ""}`;

/** Where the expected time comes from, and what it is worth. */
function timeText({ seconds, slots, busy }: PlanSummary, estimated: boolean): string {
  const how = estimated
    ? "estimated from FLOPs and this machine's rate (--measure trains each shape for 2 s)"
    : "at the speed measured on this machine";
  const load =
    busy !== null && busy >= BUSY_FROM
      ? `\nOther programs used ${Math.round(100 * busy)}% of this machine while its speed was measured: with the machine to itself it takes less.`
      : "";
  return `about ${duration(seconds!)} here with ${plural(slots, "slot")}, ${how}.${load}`;
}

/** "2.7 GPU hours at 396 TFLOP/s, 40% of an H100's dense bfloat16 peak: stated, not measured" */
function gpuText({ runs, seconds, measured }: GpuTime, tflops: number): string {
  const hours = `${Number((seconds / 3600).toPrecision(3)).toLocaleString("en-US")} GPU hours`;
  if (measured === runs) return `${hours} at the speed that such runs had on GPUs`;
  const stated = `${Math.round(tflops)} TFLOP/s, ${Math.round((100 * tflops) / H100_TFLOPS)}% of an H100's dense bfloat16 peak: stated (--gpu-tflops), not measured`;
  return measured === 0
    ? `${hours} at ${stated}`
    : `${hours}: ${measured} of ${plural(runs, "run")} at the speed that such runs had on GPUs, the others at ${stated}`;
}

const COUNTING =
  "FLOPs: 6 per weight of every matrix product and token (the unembedding is one) and 12 · context · width per layer for attention.";

const exact = (value: number): string => value.toLocaleString("en-US");
const exactRange = ([least, most]: readonly [number, number]): string =>
  [...new Set([least, most])].map(exact).join(" to ");

/** Of a phase whose table is still to come. */
const modelsText = (models: PlanSummary["waiting"][number]["models"]): string =>
  models
    .map(
      ({ width, layers, parameters, tokens }) =>
        `\n  width ${width}, ${plural(layers, "layer")}: ${exact(parameters)} parameters, ${exact(tokens)} tokens a run`,
    )
    .join("");

function summaryText(s: PlanSummary, estimated: boolean, tflops: number): string {
  const searches = s.searches.map(searchText);
  if (s.points === 0 && s.waiting.length === 0 && searches.length > 0)
    return [`${s.sweep}: nothing but a search`, "", ...searches, ...repeatsText(s)].join("\n");
  const lines = [
    `${s.sweep}: ${plural(s.points, "grid point")}${s.duplicates > 0 ? ` (${plural(s.duplicates, "duplicate")} removed)` : ""}, ${plural(s.runs, "unique run")}, ${s.done} already done, ${s.to_train} to train${s.failed > 0 ? `, ${s.failed} failed` : ""}`,
    // A script's model has neither sizes nor FLOPs that are known here.
    ...(s.widths.length > 0
      ? costLines(s, estimated)
      : s.to_train > 0
        ? ["What a script's runs take is not known before some are trained; run and status show it then."]
        : []),
    ...(s.gpu === null ? [] : [`On GPUs: ${gpuText(s.gpu, tflops)}.`]),
    ...(s.widths.length === 0 || s.to_train === 0 ? [] : [COUNTING]),
    ...(s.failed > 0
      ? [
          `What failed is trained again only when asked for, once the sweep is submitted: musweep requeue ${s.sweep} --failed`,
        ]
      : []),
    ...repeatsText(s),
    ...s.waiting.map(
      (p) =>
        `Then phase ${p.phase}, once decided (${p.takes.join("; ")}): ${plural(p.points, "grid point")}, at most ${plural(p.runs, "run")}, ${amount(p.flops, "FLOPs")}${p.gpu === null ? "" : `, ${gpuText(p.gpu, tflops)}`}; not counted above.${modelsText(p.models)}`,
    ),
    ...searches,
  ];
  return lines.join("\n");
}

const repeatsText = ({ repeats }: PlanSummary): string[] =>
  repeats === null ? [] : [repeatsSentence(repeats)];

const costLines = (s: PlanSummary, estimated: boolean): string[] => [
  "",
  textTable<WidthRow>(
    [
      { title: "width", align: "right", value: (r) => String(r.width) },
      { title: "layers", align: "right", value: (r) => String(r.layers) },
      { title: "parameters", align: "right", value: (r) => exact(r.parameters) },
      { title: "non-zero", align: "right", value: (r) => exactRange(r.nonzero) },
      { title: "tokens a run", align: "right", value: (r) => exactRange(r.tokens) },
      { title: "runs to train", align: "right", value: (r) => String(r.runs) },
      { title: "FLOPs", align: "right", value: (r) => quantity(r.flops) },
      { title: "sparse FLOPs", align: "right", value: (r) => quantity(r.sparse_flops) },
      { title: "time", align: "right", value: (r) => (r.seconds ? duration(r.seconds) : "–") },
    ],
    s.widths,
  ),
  "",
  costText(s, estimated),
];

function searchText({ phase, curves, grid, begins, expected, most }: SearchPlan): string {
  const limit =
    most.runs === null
      ? `${amount(most.flops!, "FLOPs")} (${percent(most.flops! / grid.flops)})`
      : plural(most.runs, "run");
  const what = `Phase ${phase} is a search: ${plural(curves, "curve")}, in place of a grid of ${plural(grid.runs, "run")} and ${amount(grid.flops, "FLOPs")}.`;
  if (begins.runs === 0)
    return `${what}\n  Its budget, ${limit}, is less than its first run costs: it trains nothing.`;
  return [
    what,
    `  It begins with ${plural(begins.runs, "run")}, ${amount(begins.flops, "FLOPs")} (${percent(begins.flops / grid.flops)} of the grid's).`,
    `  To expect: about ${plural(expected.moves, "run")} where the optimum moves far, about ${expected.stays} where it stays.`,
    `  At most: ${limit}.`,
  ].join("\n");
}
