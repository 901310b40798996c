/** The answer as text: one table, the verdict sentences, and what to type next. */

import type { Drift, Optimum, Regret } from "../analysis/types.ts";
import { unfinished } from "../database/progress.ts";
import { duration, fixed, plural, signed } from "../terminal/format.ts";
import { phaseLines } from "../terminal/phases.ts";
import { type Column, textTable } from "../terminal/table.ts";
import { type Answer, type AnswerRow, explainFlag, placesOf } from "./answer.ts";
import { confirmationLines, searchLines } from "./phase-text.ts";

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
    ...(phases.length > 0 ? ["", ...phases] : []),
  ];
  for (const { name } of progress.phases) {
    const text = [
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

/** The table of optima and the verdicts of one phase; a phase that only confirms a rate has its own table. */
function gridLines(answer: Answer, phase: string): string[] {
  const confirmed = new Set(answer.confirmations.map((c) => `${c.phase} ${c.curve}`));
  const rows = answer.rows.filter((r) => r.phase === phase && !confirmed.has(`${r.phase} ${r.curve}`));
  if (rows.length === 0) return [];
  const verdicts = answer.verdicts.filter((v) => v.phase === phase);
  const places = placesOf(verdicts);
  return [
    "",
    "Optimal learning rate per sparsity (log2 of the base LR, 95% interval) and its drift from the densest row, in octaves",
    "",
    textTable(columns(rows), rows),
    ...(verdicts.length > 0 ? [""] : []),
    ...verdicts.map((v, i) => `${v.title}${describePlace(places[i]!)}: ${v.verdict.sentence}`),
  ];
}

const describePlace = (place: Record<string, unknown>): string => {
  const names = Object.entries(place).map(([name, value]) => `${name} ${String(value)}`);
  return names.length > 0 ? ` at ${names.join(", ")}` : "";
};

function columns(rows: AnswerRow[]): Column<AnswerRow>[] {
  const varying = (value: (row: AnswerRow) => unknown): boolean =>
    new Set(rows.map((row) => JSON.stringify(value(row)))).size > 1;
  const others = [...new Set(rows.flatMap((row) => Object.keys(row.other)))].filter((name) =>
    varying((row) => row.other[name]),
  );
  return [
    { title: "param.", value: (r) => r.title },
    { title: "width", align: "right", value: (r) => String(r.width) },
    ...(varying((r) => r.layers)
      ? [{ title: "layers", align: "right" as const, value: (r: AnswerRow) => String(r.layers) }]
      : []),
    ...others.map((name) => ({
      title: name,
      align: "right" as const,
      value: (r: AnswerRow) => String(r.other[name] ?? ""),
    })),
    { title: "sparsity", align: "right", value: (r) => String(r.sparsity) },
    { title: "log2 LR*", align: "right", value: (r) => optimumCell(r.optimum) },
    { title: "95% interval", align: "right", value: (r) => interval(r.optimum) },
    { title: "loss there", align: "right", value: (r) => lossCell(r.optimum) },
    { title: "drift", align: "right", value: (r) => (r.drift ? driftCell(r.drift) : "base") },
    { title: "cost of base LR", align: "right", value: (r) => (r.regret ? regretCell(r.regret) : "") },
    { title: "note", value: (r) => explainFlag(r.optimum) },
  ];
}

/** A bound is shown as one: never a number that looks like an estimate. */
function optimumCell(o: Optimum): string {
  if (o.log2_lr !== null) return o.log2_lr.toFixed(2);
  if (o.log2_lr_low !== null && o.log2_lr_high === null) return `≥ ${o.log2_lr_low.toFixed(1)}`;
  if (o.log2_lr_high !== null && o.log2_lr_low === null) return `≤ ${o.log2_lr_high.toFixed(1)}`;
  return "?";
}

const interval = (o: Optimum): string =>
  o.log2_lr_low === null && o.log2_lr_high === null
    ? "–"
    : `${o.log2_lr_low === null ? "…" : o.log2_lr_low.toFixed(2)} to ${o.log2_lr_high === null ? "…" : o.log2_lr_high.toFixed(2)}`;

const lossCell = (o: Optimum): string =>
  o.loss !== null ? o.loss.toFixed(3) : o.grid_loss !== null ? `≤ ${o.grid_loss.toFixed(3)}` : "–";

function driftCell(d: Drift): string {
  if (d.estimate !== null) return signed(d.estimate, 2);
  if (d.low !== null && d.high === null) return `≥ ${signed(d.low, 1)}`;
  if (d.high !== null && d.low === null) return `≤ ${signed(d.high, 1)}`;
  if (d.low !== null && d.high !== null) return `${signed(d.low, 1)}…${signed(d.high, 1)}`;
  return "?";
}

function regretCell(r: Regret): string {
  if (r.state === "diverges") return "diverges";
  if (r.state === "unknown") return "?";
  const value = r.per_cent.estimate ?? r.per_cent.low;
  if (value === null) return "?";
  return `${r.per_cent.estimate === null || r.state === "outside" ? "≥ " : ""}${fixed(value, 1)}%`;
}
