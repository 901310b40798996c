/**
 * The report as CSV files after RFC 4180, a row per learning rate (curves) or as the views of the same names have them.
 * Numbers are written so that reading them gives the same double; what is unknown is an empty field.
 */
import { VIEW_COLUMNS } from "../../database/results.ts";
import type { FigureCurve, FigureData, FigurePoint } from "./data.ts";

type Value = string | number | null;
type CsvRow = Record<string, Value>;

export const CSV_NAMES = ["curves.csv", "optima.csv", "transfer.csv", "exponents.csv", "level.csv"] as const;

export interface CsvFile {
  name: (typeof CSV_NAMES)[number];
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
    { name: "curves.csv", content: csv(points, POINT_COLUMNS) },
    { name: "optima.csv", content: csv(optimaRows.map(withOthers), VIEW_COLUMNS.optima) },
    { name: "transfer.csv", content: csv(answer.transfer.map(withOthers), VIEW_COLUMNS.transfer) },
    { name: "exponents.csv", content: csv(answer.exponents, VIEW_COLUMNS.exponents) },
    { name: "level.csv", content: csv(answer.level.map(withOthers), VIEW_COLUMNS.level) },
  ];
}

const POINT_COLUMNS =
  "sweep phase parameterization width layers sparsity density log2_lr finished diverged missing mean_loss min_loss max_loss sd_loss tuned log2_tuned curve".split(
    " ",
  );

const pointRow = ({ progress }: FigureData["answer"], curve: FigureCurve, p: FigurePoint) => ({
  sweep: progress.sweep,
  phase: curve.phase,
  parameterization: curve.parameterization,
  width: curve.width,
  layers: curve.layers,
  sparsity: curve.sparsity,
  density: 1 - curve.sparsity,
  log2_lr: curve.tuned === "learning_rate" ? p.log2_tuned : null,
  finished: p.finished,
  diverged: p.diverged,
  missing: p.missing,
  mean_loss: p.mean,
  min_loss: p.low,
  max_loss: p.high,
  sd_loss: p.sd,
  tuned: curve.tuned,
  log2_tuned: p.log2_tuned,
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

/**
 * Where spreadsheets would begin a formula: at the start of a field, and where their separator is another one in its middle, with
 * quotes before it that count for nothing then.
 */
const FORMULA =
  /^(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])|(?=[=+\-@\uff1d\uff0b\uff0d\uff20])(?<=[;,\t\r\n][ "]*)/g;
/** Inf is how the database's infinity is written. */
const NUMBER = String.raw`[+-]?(?:\d+(?:\.\d*)?|\.\d+|inf)(?:e[+-]?\d+)?`;
/** Also as a text, and several of them. */
const NUMBERS = new RegExp(String.raw`^\[?${NUMBER}(?:[,;] ?${NUMBER})*\]?$`, "i");

/** Quoted only where it has to be; null is an empty field. What a spreadsheet would run gets an apostrophe before it. */
export function csvField(value: unknown): string {
  const text = value === null ? "" : String(value);
  const written = typeof value === "number" || NUMBERS.test(text) ? text : text.replace(FORMULA, "'");
  return /[",;\t\r\n]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
}
