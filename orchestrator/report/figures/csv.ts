/**
 * The report as three CSV files after RFC 4180: curves (a row per learning rate), optima and transfer (a row per curve).
 * Numbers are written so that reading them gives the same double; what is unknown is an empty field.
 */
import { DEFAULT_MARGIN, judgeDrift } from "../../analysis/verdict.ts";
import type { FigureCurve, FigureData } from "./data.ts";

type Value = string | number | null;
type CsvRow = Record<string, Value>;

export interface CsvFile {
  name: "curves.csv" | "optima.csv" | "transfer.csv";
  content: string;
}

export function csvFiles({ answer, phases }: FigureData): CsvFile[] {
  const curves = phases.flatMap((phase) => phase.curves);
  const others = [...new Set(curves.flatMap((curve) => Object.keys(curve.other)))];
  const where = (curve: FigureCurve): CsvRow => ({
    sweep: answer.progress.sweep,
    phase: curve.phase,
    parameterization: curve.parameterization,
    width: curve.width,
    layers: curve.layers,
    sparsity: curve.sparsity,
    density: 1 - curve.sparsity,
    ...Object.fromEntries(others.map((name) => [name, plain(curve.other[name])])),
  });
  return [
    {
      name: "curves.csv",
      content: csv(
        curves.flatMap((curve) =>
          curve.points.map((p) => ({
            ...where(curve),
            log2_lr: p.log2_lr,
            finished: p.finished,
            diverged: p.diverged,
            missing: p.missing,
            mean_loss: p.mean,
            min_loss: p.low,
            max_loss: p.high,
            sd_loss: p.sd,
          })),
        ),
      ),
    },
    { name: "optima.csv", content: csv(curves.map((curve) => ({ ...where(curve), ...curve.optimum }))) },
    { name: "transfer.csv", content: csv(curves.map((curve) => ({ ...where(curve), ...transfer(curve) }))) },
  ];
}

/** The base of a group, from which the others' drift is measured, has state "base" and no numbers. */
function transfer({ drift, regret }: FigureCurve): CsvRow {
  return {
    verdict: drift === null ? "base" : judgeDrift(drift, DEFAULT_MARGIN),
    margin: DEFAULT_MARGIN,
    drift: drift?.estimate ?? null,
    drift_low: drift?.low ?? null,
    drift_high: drift?.high ?? null,
    drift_low_90: drift?.low_90 ?? null,
    drift_high_90: drift?.high_90 ?? null,
    regret_state: regret === null ? "base" : regret.state,
    regret_nats: regret?.nats.estimate ?? null,
    regret_nats_low: regret?.nats.low ?? null,
    regret_nats_high: regret?.nats.high ?? null,
    regret_per_cent: regret?.per_cent.estimate ?? null,
    regret_per_cent_low: regret?.per_cent.low ?? null,
    regret_per_cent_high: regret?.per_cent.high ?? null,
  };
}

const plain = (value: unknown): Value =>
  typeof value === "number" || typeof value === "string"
    ? value
    : value === undefined
      ? null
      : JSON.stringify(value);

/** A heading and the rows, all with the same names in the same order; lines end in CR LF. */
export function csv(rows: CsvRow[]): string {
  const names = Object.keys(rows[0] ?? {});
  return [names, ...rows.map((row) => names.map((name) => row[name] ?? null))]
    .map((fields) => `${fields.map(csvField).join(",")}\r\n`)
    .join("");
}

/** Quoted only where it has to be; null is an empty field. */
export function csvField(value: unknown): string {
  const written = value === null ? "" : String(value);
  return /[",\r\n]/.test(written) ? `"${written.replaceAll('"', '""')}"` : written;
}
