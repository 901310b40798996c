/** The answer as text: one table, the verdict sentences, and what to type next. */

import { atLeast, atMost } from "../analysis/bounds.ts";
import { explainFlag } from "../analysis/flags.ts";
import { lossBound, lossText } from "../analysis/loss-text.ts";
import { TUNED } from "../analysis/tuned.ts";
import type { Optimum } from "../analysis/types.ts";
import { unfinished } from "../database/progress.ts";
import { importedFrom } from "../database/store-import.ts";
import { duration, plural } from "../terminal/format.ts";
import { type Column, textTable } from "../terminal/table.ts";
import { type Answer, type AnswerRow, axesBesideDensity, sayings } from "./answer.ts";
import { coordinateLines } from "./coordinate-text.ts";
import { phaseLines } from "./phase-states.ts";
import { confirmationLines, searchLines } from "./phase-text.ts";
import { driftCell, exponentLines, levelLines, regretCell, transferLines } from "./transfer-text.ts";

const FAILURES_SHOWN = 5;

export function answerText(answer: Answer, options: { seconds?: number } = {}): string {
  const { progress } = answer;
  const states = progress.by_state;
  const counts = [
    `${plural(states.finished, "run")} finished`,
    `${states.diverged} diverged`,
    ...(states.failed > 0 ? [`${states.failed} FAILED`] : []),
    ...(states.cancelled > 0 ? [`${states.cancelled} cancelled`] : []),
    ...(unfinished(progress) > 0 ? [`${unfinished(progress)} still to train`] : []),
  ];
  const time = options.seconds === undefined ? "" : ` in ${duration(options.seconds)}`;
  const phases = phaseLines(progress);
  const lines = [
    `${progress.sweep}: ${plural(progress.points, "grid point")}, ${counts.join(", ")}${time}`,
    ...engineLines(answer),
    ...(phases.length > 0 ? ["", ...phases] : []),
  ];
  for (const { name } of progress.phases) {
    const text = [
      ...answer.checks.filter((c) => c.phase === name).flatMap(coordinateLines),
      ...searchLines(answer.searches.filter((s) => s.phase === name)),
      ...confirmationLines(answer.confirmations.filter((c) => c.phase === name)),
      ...gridLines(answer, name),
    ];
    if (text.length === 0) continue;
    if (progress.phases.length > 1) lines.push("", `── Phase ${name} ──`);
    lines.push(...text);
  }
  if (answer.failures.length > 0) {
    lines.push("", "Failed runs:");
    for (const { error, runs } of answer.failures.slice(0, FAILURES_SHOWN)) {
      lines.push(`  ${plural(runs, "run")}: ${error}`);
    }
  }
  return lines.join("\n");
}

/** Who trained it: engines agree within tolerances alone, so a curve of several is said. */
function engineLines({ engines, mixed_curves, progress }: Answer): string[] {
  if (engines.length === 0) return [];
  const [only, ...others] = engines;
  if (others.length === 0) {
    const file = importedFrom(only!.engine);
    return [file === null ? `Trained by ${only!.engine}.` : `Trained elsewhere; imported from ${file}.`];
  }
  const list = engines.map(({ engine, runs }) => `${engine} (${plural(runs, "run")})`).join(", ");
  const mixed =
    mixed_curves === 0
      ? ""
      : ` ${plural(mixed_curves, "curve")} mix${mixed_curves === 1 ? "es" : ""} them, which can shift an optimum; to train a part anew: musweep requeue ${progress.sweep} --engine NAME`;
  return [`Trained by ${list}.${mixed}`];
}

/** The tables and verdicts of one phase; one that only confirms a rate, with nothing to compare, has its own table. */
function gridLines(answer: Answer, phase: string): string[] {
  const confirmed = new Set(answer.confirmations.map((c) => `${c.phase} ${c.curve}`));
  const verdicts = answer.verdicts.filter((v) => v.phase === phase);
  const rows = answer.rows.filter(
    (r) => r.phase === phase && (verdicts.length > 0 || !confirmed.has(`${r.phase} ${r.curve}`)),
  );
  if (rows.length === 0) return [];
  const { tuned } = rows[0]!;
  const sentences = sayings(verdicts).map((v) => `${v.title}${v.place}: ${v.sentence}`);
  return [
    "",
    `Optimal ${TUNED[tuned].long}${perText(rows)} (log2, 95% interval)${hasDrift(rows) ? " and its drift from the densest row, in octaves" : ""}`,
    "",
    textTable(columns(rows), rows),
    ...axesBesideDensity(answer.transfer, phase).flatMap((axis) =>
      transferLines(
        axis,
        tuned,
        answer.transfer.filter((t) => t.phase === phase && t.axis === axis),
      ),
    ),
    ...levelLines(
      rows,
      answer.level.filter((l) => l.phase === phase),
    ),
    ...exponentLines(
      tuned,
      answer.exponents.filter((e) => e.phase === phase),
    ),
    ...(sentences.length > 0 ? ["", ...sentences] : []),
  ];
}

/** Along sparsity: of the other axes it has a table of its own. */
const hasDrift = (rows: readonly AnswerRow[]): boolean => rows.some(({ drift }) => drift !== null);

const isVarying = (rows: readonly AnswerRow[], value: (row: AnswerRow) => unknown): boolean =>
  new Set(rows.map((row) => JSON.stringify(value(row)))).size > 1;

const otherNames = (rows: readonly AnswerRow[]): string[] =>
  [...new Set(rows.flatMap((row) => Object.keys(row.other)))].filter((name) =>
    isVarying(rows, (row) => row.other[name]),
  );

/** What tells rows apart beside parameterization and sparsity, the phase among them. */
export const tellingNames = (rows: readonly AnswerRow[]): string[] => [
  ...(["phase", "width", "layers"] as const).filter((name) => isVarying(rows, (row) => row[name])),
  ...otherNames(rows),
];

/** " per sparsity", " per width": what tells the rows of a parameterization apart. */
function perText(rows: readonly AnswerRow[]): string {
  if (hasDrift(rows)) return " per sparsity";
  const sizes = (["sparsity", "width", "layers"] as const).filter((name) =>
    isVarying(rows, (row) => row[name]),
  );
  const names = [...sizes, ...otherNames(rows)];
  return names.length === 0 ? "" : ` per ${names.join(" and ")}`;
}

function columns(rows: AnswerRow[]): Column<AnswerRow>[] {
  const { short } = TUNED[rows[0]!.tuned];
  const others = otherNames(rows);
  return [
    { title: "param.", value: (r) => r.title },
    // Of imported results that do not say it, 0.
    ...(rows.some((r) => r.width > 0)
      ? [{ title: "width", align: "right" as const, value: (r: AnswerRow) => String(r.width) }]
      : []),
    ...(isVarying(rows, (r) => r.layers)
      ? [{ title: "layers", align: "right" as const, value: (r: AnswerRow) => String(r.layers) }]
      : []),
    ...others.map((name) => ({
      title: name,
      align: "right" as const,
      value: (r: AnswerRow) => String(r.other[name] ?? ""),
    })),
    { title: "sparsity", align: "right", value: (r) => String(r.sparsity) },
    { title: `log2 ${short}*`, align: "right", value: (r) => optimumCell(r.optimum) },
    { title: "95% interval", align: "right", value: (r) => interval(r.optimum) },
    { title: "loss there", align: "right", value: (r) => lossCell(r.optimum) },
    ...(hasDrift(rows) ? driftColumns(short) : []),
    { title: "note", value: (r) => explainFlag(r.optimum, r) },
  ];
}

const driftColumns = (short: string): Column<AnswerRow>[] => [
  { title: "drift", align: "right", value: (r) => (r.drift ? driftCell(r.drift) : "base") },
  { title: `cost of base ${short}`, align: "right", value: (r) => (r.regret ? regretCell(r.regret) : "") },
];

/** A bound is shown as one: never a number that looks like an estimate. */
function optimumCell(o: Optimum): string {
  if (o.log2_tuned !== null) return o.log2_tuned.toFixed(2);
  if (o.log2_tuned_low !== null && o.log2_tuned_high === null) return `≥ ${atLeast(o.log2_tuned_low, 1)}`;
  if (o.log2_tuned_high !== null && o.log2_tuned_low === null) return `≤ ${atMost(o.log2_tuned_high, 1)}`;
  return "?";
}

function interval({ log2_tuned, log2_tuned_low: low, log2_tuned_high: high }: Optimum): string {
  if (low === null && high === null) return "–";
  if (log2_tuned !== null) return `${low!.toFixed(2)} to ${high!.toFixed(2)}`;
  return `${low === null ? "…" : atLeast(low, 2)} to ${high === null ? "…" : atMost(high, 2)}`;
}

const lossCell = (o: Optimum): string =>
  o.loss !== null ? lossText(o.loss, 3) : o.grid_loss !== null ? lossBound(o.grid_loss, 3) : "–";
