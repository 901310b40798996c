/**
 * What the figures show, as plain data: the answer, and under each of its rows the curve that it summarizes. Nothing after
 * this file reads the database.
 */

import type { TakenName } from "../../../schema/sweep/hyperparameters.ts";
import { leastOf, mostOf } from "../../analysis/extremes.ts";
import type { CurvePoint } from "../../analysis/types.ts";
import { countCurves, readCurves, readSomeCurves } from "../../database/curves.ts";
import type { Database } from "../../database/open.ts";
import { isCoordinateCheck, readPhases } from "../../database/phases.ts";
import { type LevelRow, type OptimaRow, optimaRows } from "../../database/results.ts";
import { isRandomSearch } from "../../sweep/taken-axes.ts";
import { type Answer, type AnswerRow, type Narrowed, readAnswer } from "../answer.ts";
import { readTrained, type Trained } from "../trained.ts";
import { lossUnit } from "./labels.ts";

export interface FigurePoint {
  log2_tuned: number;
  /** Mean validation loss of the seeds that finished, nats per token, and their spread; null when none did. */
  mean: number | null;
  low: number | null;
  high: number | null;
  /** Sample standard deviation over seeds; null below two. */
  sd: number | null;
  /** Seeds by what became of them. */
  finished: number;
  diverged: number;
  missing: number;
}

export interface FigureCurve extends AnswerRow {
  /** By rising learning rate, or whatever is tuned. */
  points: FigurePoint[];
  /** Its best loss beside the other parameterizations'; null before anything has trained. */
  level: LevelRow | null;
}

export interface FigurePhase {
  name: string;
  tuned: TakenName;
  /** Of the losses, such as " (nats per token)"; empty where only somebody's own script knows. */
  unit: string;
  curves: FigureCurve[];
  /** Curves of it that were not read. */
  left_out: number;
}

export interface FigureData {
  answer: Answer;
  /** The view's rows, in the order of the answer's. */
  optima: OptimaRow[];
  phases: FigurePhase[];
  trained: Trained[];
}

/** @throws MusweepError when there is no such sweep */
export function readFigureData(db: Database, sweep: string, narrowed: Narrowed | null = null): FigureData {
  // One transaction: a result that arrives in between would make a figure contradict its own table.
  return db.snapshot(() => {
    const answer = readAnswer(db, sweep, narrowed);
    const phases = readPhases(db, answer.progress.id).map(({ id, name, tuned, definition }) => {
      const rows = answer.rows.filter((row) => row.phase === name);
      const keys = rows.map(({ curve }) => curve);
      const curves = narrowed === null ? readCurves(db, id) : readSomeCurves(db, id, keys);
      const levels = new Map(answer.level.filter((l) => l.phase === name).map((l) => [l.curve, l]));
      const choice = narrowed?.chosen?.phase === id ? narrowed.chosen : {};
      return {
        name,
        tuned,
        unit: lossUnit({
          isKnown: definition.phase.script === undefined && definition.imported === undefined,
        }),
        curves: rows.map((row) => ({
          ...row,
          points: curves
            .get(row.curve)!
            .input.points.map(summarize)
            .sort((a, b) => a.log2_tuned - b.log2_tuned),
          level: levels.get(row.curve) ?? null,
        })),
        // Points that are drawn at random, or measured, are no curves.
        left_out:
          narrowed === null || isRandomSearch(definition.phase.axes) || isCoordinateCheck(db, id)
            ? 0
            : countCurves(db, id, choice) - rows.length,
      };
    });
    const position = new Map(answer.rows.map((row, i) => [`${row.phase} ${row.curve}`, i]));
    const read = narrowed === null ? null : answer.rows.map(({ curve }) => curve);
    const placed = optimaRows(db, sweep, read).flatMap((row) => {
      const i = position.get(`${row.phase} ${row.curve}`);
      return i === undefined ? [] : [{ row, i }];
    });
    const optima = placed.sort((a, b) => a.i - b.i).map(({ row }) => row);
    return { answer, phases, optima, trained: readTrained(db, answer) };
  });
}

function summarize({ log2_tuned, seeds, missing }: CurvePoint): FigurePoint {
  const losses = seeds.flatMap(({ loss }) => (loss === null ? [] : [loss]));
  const n = losses.length;
  const mean = n > 0 ? losses.reduce((sum, loss) => sum + loss, 0) / n : null;
  return {
    log2_tuned,
    mean,
    low: n > 0 ? leastOf(losses) : null,
    high: n > 0 ? mostOf(losses) : null,
    sd:
      n > 1 && mean !== null
        ? Math.sqrt(losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / (n - 1))
        : null,
    finished: n,
    diverged: seeds.length - n,
    missing,
  };
}
