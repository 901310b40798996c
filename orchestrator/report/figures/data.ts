/**
 * What the figures show, as plain data: the answer, and under each of its rows the curve that it summarizes. Nothing after
 * this file reads the database.
 */
import type { CurveInput, CurvePoint } from "../../analysis/types.ts";
import type { Database } from "../../database/open.ts";
import { readCurves } from "../../database/optima.ts";
import { type Answer, type AnswerRow, readAnswer } from "../answer.ts";

export interface FigurePoint {
  log2_lr: number;
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
  /** By rising learning rate. */
  points: FigurePoint[];
  input: CurveInput;
}

export interface FigurePhase {
  name: string;
  curves: FigureCurve[];
}

export interface FigureData {
  answer: Answer;
  phases: FigurePhase[];
}

/** @throws MusweepError when there is no such sweep */
export function readFigureData(db: Database, sweep: string): FigureData {
  // One transaction: a result that arrives in between would make a figure contradict its own table.
  return db.sqlite.transaction(() => {
    const answer = readAnswer(db, sweep);
    const phases = db.sqlite
      .prepare<[string], { id: number; name: string }>(
        "SELECT p.id, p.name FROM phases p JOIN sweeps s ON s.id = p.sweep_id WHERE s.name = ? ORDER BY p.position",
      )
      .all(sweep)
      .map(({ id, name }) => {
        const curves = readCurves(db.sqlite, id);
        const rows = answer.rows.filter((row) => row.phase === name);
        return { name, curves: rows.map((row) => withCurve(row, curves.get(row.curve)!.input)) };
      });
    return { answer, phases };
  })();
}

const withCurve = (row: AnswerRow, input: CurveInput): FigureCurve => ({
  ...row,
  input,
  points: input.points.map(summarize).sort((a, b) => a.log2_lr - b.log2_lr),
});

function summarize({ log2_lr, seeds, missing }: CurvePoint): FigurePoint {
  const losses = seeds.flatMap(({ loss }) => (loss === null ? [] : [loss]));
  const n = losses.length;
  const mean = n > 0 ? losses.reduce((sum, loss) => sum + loss, 0) / n : null;
  return {
    log2_lr,
    mean,
    low: n > 0 ? Math.min(...losses) : null,
    high: n > 0 ? Math.max(...losses) : null,
    sd:
      n > 1 && mean !== null
        ? Math.sqrt(losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / (n - 1))
        : null,
    finished: n,
    diverged: seeds.length - n,
    missing,
  };
}
