/** Verdicts in plain words: what was shown, how far, what it costs, and honestly when it is only a bound. */
import type { Cell, Regret, Verdict } from "./types.ts";

type Axis = "density" | "width";
type Judged = Verdict["cells"][number];

/** @returns what follows "SμPar: ", without a full stop */
export function verdictSentence(v: Omit<Verdict, "sentence">, base: Cell, axis: Axis): string {
  switch (v.verdict) {
    case "transfers":
      return `transfers across ${range(v, base, axis)} within ±${v.within!.toFixed(1)} octave`;
    case "drifts":
      return drifts(farthest(v.cells.filter((c) => c.verdict === "drifts")), base, axis);
    case "inconclusive":
      return inconclusive(v, base, axis);
  }
}

const place = (cell: Cell, axis: Axis): string =>
  axis === "width" ? `width ${cell.width}` : `sparsity ${Number((1 - cell.density).toFixed(3))}`;

const axisValue = (cell: Cell, axis: Axis): number => (axis === "width" ? cell.width : 1 - cell.density);

function range(v: Omit<Verdict, "sentence">, base: Cell, axis: Axis): string {
  const cells = [base, ...v.cells.map((c) => c.cell)].sort((a, b) => axisValue(a, axis) - axisValue(b, axis));
  const last = place(cells.at(-1)!, axis).split(" ")[1];
  return `${place(cells[0]!, axis)} to ${last}`;
}

/** The cell whose optimum has surely moved most. */
function farthest(cells: Judged[]): Judged {
  const reach = ({ drift: d }: Judged) => Math.max(d.low ?? 0, -(d.high ?? 0));
  return cells.reduce((far, c) => (reach(c) > reach(far) ? c : far));
}

const signed = (octaves: number): string => `${octaves < 0 ? "−" : "+"}${Math.abs(octaves).toFixed(1)}`;

function drifts(far: Judged, base: Cell, axis: Axis): string {
  const { estimate, low, high } = far.drift;
  const where = `at ${place(far.cell, axis)}`;
  const cost = costOf(far.regret, optimumOf(base, axis));
  if (estimate !== null)
    return `drifts ${signed(estimate)} octaves ${where} (${signed(low!)} to ${signed(high!)})${cost}`;
  const least = low !== null && low > 0 ? low : high!;
  const bounded = far.cell.optimum.flag === "bracketed" ? base : far.cell;
  return `drifts ${least < 0 ? "down" : "up"} by at least ${Math.abs(least).toFixed(1)} octaves ${where} (${reasonOf(bounded)})${cost}`;
}

const optimumOf = (base: Cell, axis: Axis): string =>
  axis === "density" && base.density === 1 ? "the dense optimum" : `the optimum of ${place(base, axis)}`;

function costOf({ state, per_cent }: Regret, whose: string): string {
  if (state === "diverges") return `, training with ${whose} there diverges`;
  if (per_cent.estimate !== null) return `, using ${whose} there costs ${per_cent.estimate.toFixed(1)}% loss`;
  if (per_cent.low !== null && per_cent.low >= 0.05)
    return `, using ${whose} there costs at least ${per_cent.low.toFixed(1)}% loss`;
  return "";
}

/** Why a cell has no estimate, and what to do about it. */
function reasonOf({ optimum: o }: Cell): string {
  switch (o.flag) {
    case "at low edge":
      return "optimum at the edge of the grid: add lower learning rates";
    case "at high edge":
      return "optimum at the edge of the grid: add higher learning rates";
    case "edge is divergence":
      return "optimum beside the rate that diverges: add learning rates between";
    case "too few points":
      return "fewer than three learning rates trained: add more";
    case "too noisy":
      return "noise hides the optimum: add seeds or a wider grid";
    case "incomplete":
      return "runs next to the best are missing: finish them";
    case "bracketed":
      return "optimum bracketed";
  }
}

function inconclusive(v: Omit<Verdict, "sentence">, base: Cell, axis: Axis): string {
  if (v.cells.length === 0) return `inconclusive: nothing to compare with ${place(base, axis)}`;
  if (base.optimum.flag !== "bracketed") return `inconclusive: at ${place(base, axis)} ${reasonOf(base)}`;
  const open = v.cells.filter((c) => c.verdict === "inconclusive");
  const unbounded = open.find((c) => c.drift.estimate === null);
  if (unbounded !== undefined)
    return `inconclusive: at ${place(unbounded.cell, axis)} ${reasonOf(unbounded.cell)}`;
  const widest = open.reduce((w, c) => (spread(c) > spread(w) ? c : w));
  const { estimate, low, high } = widest.drift;
  const remedy =
    v.more_seeds === null
      ? "more seeds alone would not decide, add learning rates near the optimum"
      : `about ${v.more_seeds} more ${v.more_seeds === 1 ? "seed" : "seeds"} would decide`;
  return `inconclusive at ${place(widest.cell, axis)}: drift ${signed(estimate!)} octave (${signed(low!)} to ${signed(high!)}) against a margin of ±${v.margin}; ${remedy}`;
}

const spread = ({ drift: d }: Judged): number => d.high! - d.low!;
