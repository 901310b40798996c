/**
 * A sweep's answer as data: the optimum of every curve, its drift from the base of every axis with a verdict, exponents,
 * levels. All of it is stored and kept current (database/optima.ts): the answer is what the views say, row by row.
 */
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import {
  type Axis,
  type CurveCoordinates,
  coordinatesOf,
  groupsAlong,
  rankAxes,
} from "../analysis/groups.ts";
import type { CellVerdict, Drift, Optimum, Regret, Verdict } from "../analysis/types.ts";
import {
  type CurveChoice,
  firstCurves,
  type PhaseCurves,
  readCurves,
  readOptima,
  readSomeCurves,
} from "../database/curves.ts";
import type { Database } from "../database/open.ts";
import { readPhases, type StoredPhase } from "../database/phases.ts";
import { progressOf, type SweepProgress } from "../database/progress.ts";
import {
  type ExponentsRow,
  exponentsRows,
  failuresOf,
  type LevelRow,
  levelRows,
  type TransferRow,
  transferRows,
} from "../database/results.ts";
import { countMixedCurves, type EngineCount, enginesOf } from "../database/sweeps.ts";
import { isRandomSearch } from "../sweep/taken-axes.ts";
import { answerCheck, type CoordinateAnswer } from "./coordinate-answer.ts";
import {
  answerSearch,
  type Confirmation,
  confirmations,
  otherCoordinates,
  type Search,
} from "./phase-answers.ts";

export interface AnswerRow {
  phase: string;
  /** What the optimum is of: the learning rate, unless the phase tunes something else. */
  tuned: TakenName;
  /** A search chooses its runs. */
  searched: boolean;
  parameterization: Parameterization;
  /** As people write it: SP, μP, SμPar. */
  title: string;
  width: number;
  layers: number;
  sparsity: number;
  curve: string;
  /** Its coordinates beside parameterization, width, layers and sparsity. */
  other: Record<string, unknown>;
  optimum: Optimum;
  /** Runs of its curve that are still to be trained. */
  open: number;
  /** Along the density axis, from the least sparse curve that is alike in everything else; null for that curve itself. */
  drift: Drift | null;
  regret: Regret | null;
}

export interface AnswerVerdict {
  phase: string;
  axis: Axis;
  parameterization: Parameterization;
  title: string;
  /** The coordinates that its curves share, beside the parameterization. */
  at: Record<string, unknown>;
  verdict: Omit<Verdict, "cells" | "open">;
}

export interface Answer {
  progress: SweepProgress;
  /** Who trained the runs that have a result, most first. */
  engines: EngineCount[];
  /** Curves whose results come from several engines or versions. */
  mixed_curves: number;
  /** What failed runs said, most frequent first. */
  failures: { error: string; runs: number }[];
  rows: AnswerRow[];
  /** Axis by axis, in the order of the rows. */
  verdicts: AnswerVerdict[];
  transfer: TransferRow[];
  exponents: ExponentsRow[];
  level: LevelRow[];
  /** Per parameterization of a phase that searches at random; such a phase has no rows. */
  searches: Search[];
  /** Per phase that is a coordinate check; such a phase has no rows. */
  checks: CoordinateAnswer[];
  /** Per curve of a phase that takes its learning rate from another: how that rate did. */
  confirmations: Confirmation[];
}

/** Not all of a large sweep: of each phase the first curves, and what is known of those. */
export interface Narrowed {
  curves: number;
  /** Of one phase, by its number: only curves like this. */
  chosen?: { phase: number } & CurveChoice;
}

/** @throws MusweepError when there is no such sweep */
export function readAnswer(db: Database, sweep: string, narrowed: Narrowed | null = null): Answer {
  // One transaction: a result that arrives in between would make a verdict contradict its own optima.
  return db.snapshot(() => read(db, sweep, narrowed));
}

/** By the phase's number; null: all of them. */
function curvesToRead(
  db: Database,
  phases: readonly StoredPhase[],
  narrowed: Narrowed | null,
): Map<number, string[]> | null {
  if (narrowed === null) return null;
  const choice = (id: number): CurveChoice => (narrowed.chosen?.phase === id ? narrowed.chosen : {});
  return new Map(phases.map(({ id }) => [id, firstCurves(db, id, choice(id), narrowed.curves)]));
}

function read(db: Database, sweep: string, narrowed: Narrowed | null): Answer {
  const progress = progressOf(db, sweep);
  const phases = readPhases(db, progress.id);
  const chosen = curvesToRead(db, phases, narrowed);
  const curves = chosen === null ? null : [...chosen.values()].flat();
  const checks = phases.map((phase) => answerCheck(db, phase));
  const curved = phases.filter((_, i) => checks[i] === null);
  const [searching, gridded] = [curved.filter(isSearching), curved.filter((phase) => !isSearching(phase))];
  const moved = transferRows(db, sweep, curves);
  const stored = new Map(
    gridded.map(({ id }) => [
      id,
      chosen === null ? readCurves(db, id) : readSomeCurves(db, id, chosen.get(id)!),
    ]),
  );
  const rows = gridded.flatMap((phase) =>
    rowsOf(db, phase, stored.get(phase.id)!, moved, chosen?.get(phase.id) ?? null),
  );
  const place = new Map(rows.map(({ phase, curve }, i) => [`${phase} ${curve}`, i]));
  const at = (phase: string, curve: string): number => place.get(`${phase} ${curve}`) ?? -1;
  const byPhase = <Row extends { phase: string }>(unsorted: Row[], then: (row: Row) => number[]): Row[] =>
    sortBy(unsorted, (row) => [phases.findIndex(({ name }) => name === row.phase), ...then(row)]);
  const axes = rankAxes(moved.map((t) => t.axis));
  const sorted = byPhase(moved, (t) => [
    axes.indexOf(t.axis),
    at(t.phase, t.base_curve),
    at(t.phase, t.curve),
  ]);
  return {
    progress,
    engines: enginesOf(db, progress.id),
    mixed_curves: countMixedCurves(db, progress.id),
    failures: failuresOf(db, progress.id),
    rows,
    verdicts: verdictsOf(sorted),
    transfer: sorted,
    exponents: byPhase(exponentsRows(db, sweep, narrowed?.curves), (e) => [
      rows.findIndex((row) => row.phase === e.phase && row.parameterization === e.parameterization),
    ]),
    level: byPhase(levelRows(db, sweep, curves), (l) => [at(l.phase, l.curve)]),
    checks: checks.filter((check) => check !== null),
    searches: searching.flatMap((phase) => answerSearch(db, phase)),
    confirmations: gridded.flatMap((phase) =>
      confirmations(
        phase,
        rows.filter((row) => row.phase === phase.name),
        stored.get(phase.id)!,
      ),
    ),
  };
}

const isSearching = ({ definition }: StoredPhase): boolean => isRandomSearch(definition.phase.axes);

/** By the first numbers of their keys in which they differ. */
export function sortBy<Row>(rows: readonly Row[], key: (row: Row) => number[]): Row[] {
  return rows
    .map((row) => ({ row, key: key(row) }))
    .sort((a, b) => a.key.map((v, i) => v - b.key[i]!).find((d) => d !== 0) ?? 0)
    .map(({ row }) => row);
}

/** Curves that differ in sparsity alone stand together, the base of the others first. */
function rowsOf(
  db: Database,
  phase: StoredPhase,
  stored: PhaseCurves,
  moved: readonly TransferRow[],
  chosen: readonly string[] | null,
): AnswerRow[] {
  const drifts = new Map(
    moved.filter((t) => t.phase === phase.name && t.axis === "density").map((t) => [t.curve, t]),
  );
  const curves = [...readOptima(db, phase.id, chosen)].map(([curve, optimum]) => ({
    curve,
    optimum,
    coordinates: coordinatesOf(curve),
  }));
  return groupsAlong("density", curves)
    .flatMap(({ members }) => members)
    .map(({ curve, optimum, coordinates }) => {
      const { width, layers, sparsity } = coordinates;
      const parameterization = coordinates.parameterization as Parameterization;
      const t = drifts.get(curve);
      return {
        phase: phase.name,
        tuned: phase.tuned,
        searched: phase.definition.phase.search !== undefined,
        parameterization,
        title: RULES[parameterization].title,
        width,
        layers,
        sparsity,
        curve,
        other: otherCoordinates(coordinates),
        optimum,
        open: stored.get(curve)!.open,
        drift: t === undefined ? null : driftOf(t),
        regret: t === undefined ? null : regretOf(t),
      };
    });
}

/** What the optima of some rows are of, for headings: "learning rate", "learning rate, init_std". */
export const tunedNames = (rows: readonly Pick<AnswerRow, "tuned">[]): string =>
  [...new Set(rows.map(({ tuned }) => tuned.replace("_rate", " rate")))].join(", ") || "learning rate";

/** Every coordinate of a row's curve. */
export const placeOf = ({
  parameterization,
  width,
  layers,
  sparsity,
  other,
}: AnswerRow): CurveCoordinates => ({ ...other, parameterization, width, layers, sparsity });

export const driftOf = (t: TransferRow): Drift => ({
  estimate: t.drift,
  low: t.drift_low,
  high: t.drift_high,
  low_90: t.drift_low_90,
  high_90: t.drift_high_90,
});

export const regretOf = (t: TransferRow): Regret => ({
  state: t.regret_state,
  nats: { estimate: t.regret_nats, low: t.regret_nats_low, high: t.regret_nats_high },
  per_cent: {
    estimate: t.regret_per_cent,
    low: t.regret_per_cent_low,
    high: t.regret_per_cent_high,
    low_90: t.regret_per_cent_low_90,
    high_90: t.regret_per_cent_high_90,
  },
});

function verdictsOf(moved: readonly TransferRow[]): AnswerVerdict[] {
  const verdicts = new Map<string, AnswerVerdict>();
  for (const t of moved) {
    const { phase, axis } = t;
    const parameterization = t.parameterization as Parameterization;
    verdicts.set(`${phase} ${axis} ${t.base_curve}`, {
      phase,
      axis,
      parameterization,
      title: RULES[parameterization].title,
      at: JSON.parse(t.place) as Record<string, unknown>,
      verdict: {
        verdict: t.axis_verdict,
        criterion: t.criterion,
        margin: { octaves: t.margin_octaves, cost: t.margin_cost },
        pooling: t.pooling,
        drift_verdict: t.axis_drift_verdict,
        cost_verdict: t.axis_cost_verdict,
        within: t.within,
        costs_at_most: t.costs_at_most,
        costs_at_least: t.costs_at_least,
        more_seeds: t.more_seeds,
        sentence: t.sentence,
      },
    });
  }
  return [...verdicts.values()];
}

/** Density has its place in the table of optima; the other axes of a phase that have verdicts, each with a table of its own. */
export const axesBesideDensity = (transfer: readonly TransferRow[], phase: string): Axis[] =>
  rankAxes(transfer.flatMap((t) => (t.phase === phase && t.axis !== "density" ? [t.axis] : [])));

/** One row of each verdict whose exponent is known: of width and density, the table of exponents has them together. */
export const lawsOf = (rows: readonly TransferRow[]): TransferRow[] => [
  ...new Map(
    rows.filter((t) => t.exponent !== null && t.axis !== "width").map((t) => [t.base_curve, t]),
  ).values(),
];

/** "0, −0.32 or −0.5" */
export function theoryText({ exponent_theory }: TransferRow): string {
  const values = (JSON.parse(exponent_theory) as number[]).map((value) => String(value).replace("-", "−"));
  if (values.length === 0) return "none";
  return [values.slice(0, -1).join(", "), values.at(-1)].filter(Boolean).join(" or ");
}

export interface Saying {
  title: string;
  /** What tells it from the other verdicts of its axis, such as " at width 256"; empty when it is the only one. */
  place: string;
  sentence: string;
  verdict: CellVerdict;
}

/** Verdicts in words, axis by axis. */
export function sayings(verdicts: readonly AnswerVerdict[]): Saying[] {
  return rankAxes(verdicts.map((v) => v.axis)).flatMap((axis) => {
    const along = verdicts.filter((v) => v.axis === axis);
    const places = along.map(({ phase, at }): Record<string, unknown> => ({ phase, ...at }));
    const differing = [...new Set(places.flatMap((place) => Object.keys(place)))].filter(
      (name) => new Set(places.map((place) => JSON.stringify(place[name]))).size > 1,
    );
    return along.map(({ title, verdict: { verdict, sentence } }, i) => {
      const names = differing.map((name) => `${name} ${String(places[i]![name] ?? "–")}`);
      return { title, place: names.length > 0 ? ` at ${names.join(", ")}` : "", sentence, verdict };
    });
  });
}
