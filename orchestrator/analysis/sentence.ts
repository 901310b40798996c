/** Verdicts in plain words: what was shown, how far, what it costs, and honestly when it is only a bound. */
import type { TakenName } from "../../schema/axes.ts";
import { AXIS_COORDINATE, type Axis } from "./groups.ts";
import { TUNED } from "./tuned.ts";
import type { Cell, Regret, Verdict } from "./types.ts";

type Judged = Verdict["cells"][number];
/** What the cells differ in, what moves with it, and what their optima are of. */
type Along = { axis: Axis; tied?: readonly string[]; tuned?: TakenName };

/** @returns what follows "SμPar: ", without a full stop */
export function verdictSentence(v: Omit<Verdict, "sentence">, base: Cell, along: Along): string {
  switch (v.verdict) {
    case "transfers":
      return `transfers across ${range(v, base, along)} within ±${v.within!.toFixed(1)} octave`;
    case "drifts":
      return drifts(farthest(v.cells.filter((c) => c.verdict === "drifts")), base, along);
    case "inconclusive":
      return inconclusive(v, base, along);
  }
}

/** Names and values of where a cell stands on the axis: the axis itself, then what moves with it. */
function standing({ coordinates }: Cell, { axis, tied }: Along): { name: string; value: string }[] {
  const shown = (n: string) => {
    const value = coordinates[n];
    return typeof value === "number" ? String(Number(value.toFixed(3))) : String(value ?? "–");
  };
  return [AXIS_COORDINATE[axis], ...(tied ?? [])].map((n) => ({ name: n, value: shown(n) }));
}

/** "sparsity 0.75", "sparsity 0.75, width 1536" */
const place = (cell: Cell, along: Along): string =>
  standing(cell, along)
    .map(({ name, value }) => `${name} ${value}`)
    .join(", ");

/** "0.984", "0.75 (width 1536)" */
function briefly(cell: Cell, along: Along): string {
  const [own, ...tied] = standing(cell, along);
  return tied.length === 0
    ? own!.value
    : `${own!.value} (${tied.map(({ name, value }) => `${name} ${value}`).join(", ")})`;
}

/** "sparsity 0 to 0.984", "sparsity 0 to 0.75 (width 768 to 1536)" */
function range(v: Omit<Verdict, "sentence">, base: Cell, along: Along): string {
  const cells = inOrder([base, ...v.cells.map((c) => c.cell)], (c) => c, along);
  const last = standing(cells.at(-1)!, along);
  const [own, ...tied] = standing(cells[0]!, along).map(
    (first, i) => `${first.name} ${first.value} to ${last[i]!.value}`,
  );
  return tied.length === 0 ? own! : `${own} (${tied.join(", ")})`;
}

/** By rising sparsity, width or layers. */
function inOrder<T>(of: readonly T[], cellOf: (item: T) => Cell, { axis }: Along): T[] {
  const value = (item: T) => cellOf(item).coordinates[AXIS_COORDINATE[axis]];
  return [...of].sort((a, b) => value(a) - value(b));
}

/** The cell whose optimum has surely moved most. */
function farthest(cells: Judged[]): Judged {
  const reach = ({ drift: d }: Judged) => Math.max(d.low ?? 0, -(d.high ?? 0));
  return cells.reduce((far, c) => (reach(c) > reach(far) ? c : far));
}

const signed = (octaves: number): string => `${octaves < 0 ? "−" : "+"}${Math.abs(octaves).toFixed(1)}`;

function drifts(far: Judged, base: Cell, along: Along): string {
  const { estimate, low, high } = far.drift;
  const where = `at ${place(far.cell, along)}`;
  const cost = costOf(far.regret, optimumOf(base, along));
  if (estimate !== null)
    return `drifts ${signed(estimate)} octaves ${where} (${signed(low!)} to ${signed(high!)})${cost}`;
  const least = low !== null && low > 0 ? low : high!;
  const bounded = far.cell.optimum.flag === "bracketed" ? base : far.cell;
  return `drifts ${least < 0 ? "down" : "up"} by at least ${Math.abs(least).toFixed(1)} octaves ${where} (${reasonOf(bounded, along)})${cost}`;
}

const optimumOf = (base: Cell, along: Along): string =>
  along.axis === "density" && base.coordinates.sparsity === 0
    ? "the dense optimum"
    : `the optimum of ${place(base, along)}`;

function costOf({ state, per_cent }: Regret, whose: string): string {
  if (state === "diverges") return `, training with ${whose} there diverges`;
  if (per_cent.estimate !== null) return `, using ${whose} there costs ${per_cent.estimate.toFixed(1)}% loss`;
  if (per_cent.low !== null && per_cent.low >= 0.05)
    return `, using ${whose} there costs at least ${per_cent.low.toFixed(1)}% loss`;
  return "";
}

/** Why a cell has no estimate, and what to do about it. */
function reasonOf({ optimum: o }: Cell, { tuned = "learning_rate" }: Along): string {
  const { plural } = TUNED[tuned];
  switch (o.flag) {
    case "at low edge":
      return `optimum at the edge of the grid: add lower ${plural}`;
    case "at high edge":
      return `optimum at the edge of the grid: add higher ${plural}`;
    case "edge is divergence":
      return `optimum beside one that diverges: add ${plural} between`;
    case "too few points":
      return `fewer than three ${plural} trained: add more`;
    case "too noisy":
      return "noise hides the optimum: add seeds or a wider grid";
    case "incomplete":
      return "runs next to the best are missing: finish them";
    case "bracketed":
      return "optimum bracketed";
  }
}

function inconclusive(v: Omit<Verdict, "sentence">, base: Cell, along: Along): string {
  if (v.cells.length === 0) return `inconclusive: nothing to compare with ${place(base, along)}`;
  if (base.optimum.flag !== "bracketed")
    return `inconclusive: at ${place(base, along)} ${reasonOf(base, along)}`;
  const open = inOrder(v.cells, (c) => c.cell, along).filter((c) => c.verdict === "inconclusive");
  const reached = decided(v.cells, along);
  /** Where the least decided cell is, if that is not said yet. */
  const at = (cell: Cell) => (open.length > 1 ? `at ${briefly(cell, along)} ` : "");
  const unbounded = open.find((c) => c.drift.estimate === null)?.cell;
  if (unbounded !== undefined) {
    const reason = reasonOf(unbounded, along);
    return reached === undefined
      ? `inconclusive: at ${place(unbounded, along)} ${reason}`
      : `${upTo(reached, open, along)}, ${at(unbounded)}${reason}`;
  }
  const widest = open.reduce((w, c) => (spread(c) > spread(w) ? c : w));
  const { estimate, low, high } = widest.drift;
  const remedy =
    v.open > 0
      ? `${v.open} ${v.open === 1 ? "run is" : "runs are"} still to come`
      : v.more_seeds === null
        ? `more seeds alone would not decide, add ${TUNED[along.tuned ?? "learning_rate"].plural} near the optimum`
        : `about ${v.more_seeds} more ${v.more_seeds === 1 ? "seed" : "seeds"} would decide`;
  const seen = `drift ${signed(estimate!)} octave (${signed(low!)} to ${signed(high!)}) against a margin of ±${v.margin}; ${remedy}`;
  return reached === undefined
    ? `inconclusive at ${place(widest.cell, along)}: ${seen}`
    : `${upTo(reached, open, along)}: ${at(widest.cell)}${seen}`;
}

/**
 * The last cell of those next to the base, in order, that all transfer. Cells tested in an order that is fixed beforehand, up to the
 * first that is not decided, need no correction for their number (a fixed-sequence test), so what it says holds at the verdict's level.
 */
function decided(cells: readonly Judged[], along: Along): Cell | undefined {
  const ordered = inOrder(cells, (c) => c.cell, along);
  const first = ordered.findIndex((c) => c.verdict !== "transfers");
  return ordered[first - 1]?.cell;
}

/** "transfers up to sparsity 0.938; open at 0.969 and 0.984" */
function upTo(reached: Cell, open: readonly Judged[], along: Along): string {
  const places = open.map((c) => briefly(c.cell, along));
  const list = [places.slice(0, -1).join(", "), places.at(-1)!].filter((part) => part !== "").join(" and ");
  return `transfers up to ${AXIS_COORDINATE[along.axis]} ${briefly(reached, along)}; open at ${list}`;
}

const spread = ({ drift: d }: Judged): number => d.high! - d.low!;
