/** Which of a sweep's curves has the optimum that is carried over to a model about to be trained. */
import { PARAMETERIZATIONS, type Parameterization, RULES, type Rules } from "../../schema/sweep/rules.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { explainFlag, hasTooFew } from "../analysis/flags.ts";
import type { StoredPhase } from "../database/phases.ts";
import type { Values } from "../sweep/grids.ts";
import { settingsReader } from "../sweep/settings-of.ts";
import { type Answer, type AnswerRow, placeOf, sortBy } from "./answer.ts";

export interface Source {
  row: AnswerRow;
  phase: StoredPhase;
  /** Of its runs; null: nobody says. */
  steps: number | null;
  batch_size: number | null;
}

export interface Wanted {
  width: number;
  sparsity: number;
  layers?: number | undefined;
  steps?: number | undefined;
  batch_size?: number | undefined;
  parameterization?: Parameterization | undefined;
}

/** What no parameterization carries a rate across. */
export const LENGTHS = ["steps", "batch_size"] as const;

/** The axes that change on the way to the target, and along which the parameterization promises nothing. */
export function brokenAxes(row: AnswerRow, wanted: Wanted): TransferAxis[] {
  const { keeps } = RULES[row.parameterization];
  const { width, sparsity, layers = row.layers } = wanted;
  const changes: Record<TransferAxis, boolean> = {
    width: width !== row.width,
    density: sparsity !== row.sparsity,
    layers: layers !== row.layers,
  };
  return (["width", "density", "layers"] as const).filter((axis) => changes[axis] && !keeps.includes(axis));
}
export type TransferAxis = Rules["keeps"][number];

/** Those whose optimum is of the learning rate. @throws MusweepError no-optimum where there are none */
export function rateRows(answer: Answer): AnswerRow[] {
  const rows = answer.rows.filter((row) => row.tuned === "learning_rate");
  if (rows.length === 0) throw noCurves(answer);
  return rows;
}

/** Octaves of width, density and depth between a curve and the target. */
function distance({ width, sparsity, layers }: AnswerRow, wanted: Wanted): number {
  const octaves = (a: number, b: number): number => (a > 0 && b > 0 ? Math.abs(Math.log2(a / b)) : 0);
  return (
    octaves(width, wanted.width) +
    octaves(1 - sparsity, 1 - wanted.sparsity) +
    octaves(layers, wanted.layers ?? layers)
  );
}

/**
 * The curve with an estimate from which the rules promise most, and of those the one that is most like the target in steps,
 * batch and layers; then the nearest to it; then the one of lowest loss.
 * @throws MusweepError no-optimum
 */
export function chooseSource(answer: Answer, phases: readonly StoredPhase[], wanted: Wanted): Source {
  const ofRates = rateRows(answer);
  const { parameterization: asked } = wanted;
  const available = new Set(ofRates.map((r) => r.parameterization));
  if (asked !== undefined && !available.has(asked)) {
    throw new MusweepError("no-optimum", `${answer.progress.sweep} has no curve under ${asked}`, {
      kind: "usage",
      remedy: `It has: ${PARAMETERIZATIONS.filter((p) => available.has(p)).join(", ")}.`,
    });
  }
  const lengths = new Map(phases.map((phase) => [phase.name, lengthsReader(phase)]));
  const unlike = ({ row, ...source }: Source): number =>
    LENGTHS.filter((name) => (wanted[name] ?? source[name]) !== source[name]).length +
    ((wanted.layers ?? row.layers) === row.layers ? 0 : 1);
  const sources = ofRates
    .filter((row) => (asked ?? row.parameterization) === row.parameterization)
    .map((row): Source => {
      const phase = phases.find(({ name }) => name === row.phase)!;
      return { row, phase, ...lengths.get(row.phase)!(row) };
    });
  const sorted = sortBy(sources, (source) => {
    const { parameterization, optimum } = source.row;
    return [
      brokenAxes(source.row, wanted).length,
      unlike(source),
      distance(source.row, wanted),
      optimum.loss ?? Number.MAX_VALUE,
      -RULES[parameterization].keeps.length,
    ];
  });
  const estimate = sorted.find(({ row }) => row.optimum.flag === "bracketed");
  if (estimate) return estimate;
  const nearest = sorted[0]!;
  throw noOptimum(answer, explainFlag(nearest.row.optimum, nearest.row), remedyFor(answer, nearest));
}

const noOptimum = ({ progress }: Answer, why: string, remedy: string): MusweepError =>
  new MusweepError("no-optimum", `${progress.sweep} has no estimated optimum to carry over: ${why}`, {
    kind: "usage",
    remedy,
  });

/** What would give a curve an estimate. */
function remedyFor({ progress: { sweep } }: Answer, { row, phase }: Source): string {
  if (row.open > 0) return `Wait until it has trained: musweep status ${sweep} says how far it is.`;
  if (row.optimum.flag === "incomplete" && phase.definition.imported === undefined)
    return `Train what is missing: musweep requeue ${sweep} --missing, then run the same file again.`;
  if (hasTooFew(row.optimum) && !row.searched)
    return "Only a bracketed optimum is carried over, and it takes at least three learning rates: add some.";
  const more = row.searched
    ? "give the search a larger budget, then submit it again"
    : `musweep suggest ${sweep} says which runs would give one`;
  return `Only a bracketed optimum is carried over: ${more}.`;
}

/** Of a sweep without a curve of the learning rate. */
function noCurves(answer: Answer): MusweepError {
  const { rows, searches, checks, progress } = answer;
  const others = [...new Set(rows.map(({ tuned }) => tuned))];
  if (searches.length > 0)
    return noOptimum(
      answer,
      "its settings are drawn at random, so no curve has several learning rates",
      `musweep report ${progress.sweep} has its best settings. A sweep that keeps them and varies the learning rate has an optimum.`,
    );
  if (others.length > 0)
    return noOptimum(
      answer,
      `it tunes ${others.join(", ")}`,
      "A sweep that varies the learning rate has such an optimum.",
    );
  return noOptimum(
    answer,
    checks.length > 0 ? "it is a coordinate check" : "it has no curves yet",
    checks.length > 0
      ? "A sweep that varies the learning rate has such an optimum."
      : `musweep status ${progress.sweep} says what it waits for.`,
  );
}

type Lengths = Pick<Source, (typeof LENGTHS)[number]>;

/** How long the runs of a curve were, and how large their batches: its own coordinates, else what its phase says. */
function lengthsReader({ definition: { phase, imported } }: StoredPhase): (row: AnswerRow) => Lengths {
  const settings = settingsReader(phase);
  const said = (value: unknown): number | null => (typeof value === "number" ? value : null);
  return (row) => {
    const known = Object.entries(placeOf(row)).filter(([, value]) => value !== null);
    const own = Object.fromEntries(known) as Values;
    const { steps, batch_size } =
      imported === undefined ? settings.some(LENGTHS, own) : { ...imported.fixed, ...own };
    return { steps: said(steps), batch_size: said(batch_size) };
  };
}
