/**
 * The report as CSV files after RFC 4180, a row per learning rate (curves) or as the views of the same names have them.
 * Numbers are written so that reading them gives the same double; what is unknown is an empty field.
 */
import { getViewConfig, type SQLiteView } from "drizzle-orm/sqlite-core";
import { exponents, level, optima, transfer } from "../../../schema/tables.ts";
import type { FigureCurve, FigureData, FigurePoint } from "./data.ts";

type Value = string | number | null;
type CsvRow = Record<string, Value>;

export interface CsvFile {
  name: `${"curves" | "optima" | "transfer" | "exponents" | "level"}.csv`;
  content: string;
}

export function csvFiles({ answer, phases, optima: optimaRows }: FigureData): CsvFile[] {
  const curves = phases.flatMap((phase) => phase.curves);
  const others = [...new Set(curves.flatMap((curve) => Object.keys(curve.other)))];
  const otherOf = new Map(curves.map(({ phase, curve, other }) => [`${phase} ${curve}`, other]));
  /** A row with every axis that has no column of its own. */
  const withOthers = <Row extends CsvRow & { phase: string; curve: string }>(row: Row): CsvRow => {
    const { curve, ...rest } = row;
    const own = otherOf.get(`${row.phase} ${curve}`) ?? {};
    return { ...rest, ...Object.fromEntries(others.map((name) => [name, plain(own[name])])), curve };
  };
  const points = curves.flatMap((curve) => curve.points.map((p) => withOthers(pointRow(answer, curve, p))));
  return [
    { name: "curves.csv", content: csv(points) },
    { name: "optima.csv", content: csv(optimaRows.map(withOthers), columnsOf(optima)) },
    { name: "transfer.csv", content: csv(answer.transfer.map(withOthers), columnsOf(transfer)) },
    { name: "exponents.csv", content: csv(answer.exponents, columnsOf(exponents)) },
    { name: "level.csv", content: csv(answer.level.map(withOthers), columnsOf(level)) },
  ];
}

const columnsOf = (view: SQLiteView): string[] => Object.keys(getViewConfig(view).selectedFields);

const pointRow = ({ progress }: FigureData["answer"], curve: FigureCurve, p: FigurePoint) => ({
  sweep: progress.sweep,
  phase: curve.phase,
  parameterization: curve.parameterization,
  width: curve.width,
  layers: curve.layers,
  sparsity: curve.sparsity,
  density: 1 - curve.sparsity,
  log2_lr: curve.tuned === "learning_rate" ? p.log2_lr : null,
  finished: p.finished,
  diverged: p.diverged,
  missing: p.missing,
  mean_loss: p.mean,
  min_loss: p.low,
  max_loss: p.high,
  sd_loss: p.sd,
  tuned: curve.tuned,
  log2_tuned: p.log2_lr,
  curve: curve.curve,
});

const plain = (value: unknown): Value =>
  typeof value === "number" || typeof value === "string"
    ? value
    : value === undefined
      ? null
      : JSON.stringify(value);

/**
 * A heading and the rows, all with the same names in the same order; lines end in CR LF.
 * @param heading for when there are no rows
 */
export function csv(rows: CsvRow[], heading: string[] = []): string {
  const names = rows[0] === undefined ? heading : Object.keys(rows[0]);
  return [names, ...rows.map((row) => names.map((name) => row[name] ?? null))]
    .map((fields) => `${fields.map(csvField).join(",")}\r\n`)
    .join("");
}

/** Quoted only where it has to be; null is an empty field. */
export function csvField(value: unknown): string {
  const written = value === null ? "" : String(value);
  return /[",\r\n]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
}
