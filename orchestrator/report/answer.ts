/**
 * A sweep's answer as data: the optimum of every curve, its drift from the base of every axis with a verdict, exponents,
 * levels. All of it is stored and kept current (database/optima.ts): the answer is what the views say, row by row.
 */
import { eq } from "drizzle-orm";
import type { TakenName } from "../../schema/axes.ts";
import type { Parameterization } from "../../schema/hyperparameters.ts";
import { exponents, level, transfer } from "../../schema/tables.ts";
import { AXES, type Axis, type CurveCoordinates, coordinatesOf, groupsAlong } from "../analysis/groups.ts";
import { TUNED } from "../analysis/tuned.ts";
import type { CellVerdict, Drift, Optimum, OptimumFlag, Regret } from "../analysis/types.ts";
import { readCurves, readOptima } from "../database/curves.ts";
import type { Database } from "../database/open.ts";
import { readPhases, type StoredPhase } from "../database/phases.ts";
import { progressOf, type SweepProgress } from "../database/progress.ts";
import { RULES } from "../parameterization/rules.ts";
import { isSearch } from "../sweep/taken-axes.ts";
import { answerCheck, type CoordinateAnswer } from "./coordinate-answer.ts";
import {
  answerSearch,
  type Confirmation,
  confirmations,
  otherCoordinates,
  type Search,
} from "./phase-answers.ts";

/** A row of the view of the same name. */
export type TransferRow = typeof transfer.$inferSelect;
export type ExponentsRow = typeof exponents.$inferSelect;
export type LevelRow = typeof level.$inferSelect;

export interface AnswerRow {
  phase: string;
  /** What the optimum is of: the learning rate, unless the phase tunes something else. */
  tuned: TakenName;
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
  verdict: {
    verdict: CellVerdict;
    margin: number;
    within: number | null;
    more_seeds: number | null;
    sentence: string;
  };
}

export interface Answer {
  progress: SweepProgress;
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

/** @throws MusweepError when there is no such sweep */
export function readAnswer(db: Database, sweep: string): Answer {
  // One transaction: a result that arrives in between would make a verdict contradict its own optima.
  return db.sqlite.transaction(() => read(db, sweep))();
}

function read(db: Database, sweep: string): Answer {
  const { sqlite } = db;
  const progress = progressOf(db, sweep);
  const failures = sqlite
    .prepare<[string], { error: string; runs: number }>(
      `SELECT coalesce(error, 'no reason given') AS error, count(DISTINCT run) AS runs FROM missing
       WHERE sweep = ? AND state = 'failed' GROUP BY 1 ORDER BY runs DESC, error`,
    )
    .all(sweep);
  const { id } = sqlite.prepare<[string], { id: number }>("SELECT id FROM sweeps WHERE name = ?").get(sweep)!;
  const phases = readPhases(sqlite, id);
  const checks = phases.map((phase) => answerCheck(sqlite, phase));
  const curved = phases.filter((_, i) => checks[i] === null);
  const [searching, gridded] = [curved.filter(isSearching), curved.filter((phase) => !isSearching(phase))];
  const moved = db.orm.select().from(transfer).where(eq(transfer.sweep, sweep)).all();
  const rows = gridded.flatMap((phase) => rowsOf(sqlite, phase, moved));
  const place = new Map(rows.map(({ phase, curve }, i) => [`${phase} ${curve}`, i]));
  const at = (phase: string, curve: string): number => place.get(`${phase} ${curve}`) ?? -1;
  const byPhase = <Row extends { phase: string }>(unsorted: Row[], then: (row: Row) => number[]): Row[] =>
    sortBy(unsorted, (row) => [phases.findIndex(({ name }) => name === row.phase), ...then(row)]);
  const sorted = byPhase(moved, (t) => [
    AXES.indexOf(t.axis),
    at(t.phase, t.base_curve),
    at(t.phase, t.curve),
  ]);
  return {
    progress,
    failures,
    rows,
    verdicts: verdictsOf(sorted),
    transfer: sorted,
    exponents: byPhase(db.orm.select().from(exponents).where(eq(exponents.sweep, sweep)).all(), (e) => [
      rows.findIndex((row) => row.phase === e.phase && row.parameterization === e.parameterization),
    ]),
    level: byPhase(db.orm.select().from(level).where(eq(level.sweep, sweep)).all(), (l) => [
      at(l.phase, l.curve),
    ]),
    checks: checks.filter((check) => check !== null),
    searches: searching.flatMap((phase) => answerSearch(sqlite, phase)),
    confirmations: gridded.flatMap((phase) =>
      confirmations(
        phase,
        rows.filter((row) => row.phase === phase.name),
        readCurves(sqlite, phase.id),
      ),
    ),
  };
}

const isSearching = ({ definition }: StoredPhase): boolean =>
  definition !== null && isSearch(definition.phase.axes);

function sortBy<Row>(rows: readonly Row[], key: (row: Row) => number[]): Row[] {
  return rows
    .map((row) => ({ row, key: key(row) }))
    .sort((a, b) => a.key.map((v, i) => v - b.key[i]!).find((d) => d !== 0) ?? 0)
    .map(({ row }) => row);
}

/** Curves that differ in sparsity alone stand together, the base of the others first. */
function rowsOf(sqlite: Database["sqlite"], phase: StoredPhase, moved: readonly TransferRow[]): AnswerRow[] {
  const drifts = new Map(
    moved.filter((t) => t.phase === phase.name && t.axis === "density").map((t) => [t.curve, t]),
  );
  const curves = [...readOptima(sqlite, phase.id)].map(([curve, optimum]) => ({
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
        parameterization,
        title: RULES[parameterization].title,
        width,
        layers,
        sparsity,
        curve,
        other: otherCoordinates(coordinates),
        optimum,
        drift: t === undefined ? null : driftOf(t),
        regret: t === undefined ? null : regretOf(t),
      };
    });
}

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
  per_cent: { estimate: t.regret_per_cent, low: t.regret_per_cent_low, high: t.regret_per_cent_high },
});

function verdictsOf(moved: readonly TransferRow[]): AnswerVerdict[] {
  const verdicts = new Map<string, AnswerVerdict>();
  for (const t of moved) {
    const { phase, axis, margin, within, more_seeds, sentence } = t;
    const parameterization = t.parameterization as Parameterization;
    verdicts.set(`${phase} ${axis} ${t.base_curve}`, {
      phase,
      axis,
      parameterization,
      title: RULES[parameterization].title,
      at: JSON.parse(t.place) as Record<string, unknown>,
      verdict: { verdict: t.axis_verdict, margin, within, more_seeds, sentence },
    });
  }
  return [...verdicts.values()];
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
  return AXES.flatMap((axis) => {
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

/** Why an optimum is no estimate, in words; empty when it is one. */
export function explainFlag(optimum: Optimum, tuned: TakenName = "learning_rate"): string {
  const values = tuned === "learning_rate" ? "LRs" : TUNED[tuned].plural;
  const notes: Record<OptimumFlag, string> = {
    bracketed: "",
    "at low edge": `may lie below the grid: add lower ${values}`,
    "at high edge": `may lie above the grid: add higher ${values}`,
    "edge is divergence": `next to divergence: add ${values} between`,
    "too few points": `too few ${values} to fit`,
    "too noisy": "noise hides the minimum: add seeds",
    incomplete: "runs missing beside the best",
  };
  return notes[optimum.flag];
}
