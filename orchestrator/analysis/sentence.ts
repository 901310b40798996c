/**
 * Verdicts in plain words: what was shown and by which criterion, what the other one says, and honestly when it is only a
 * bound. A cell that is named is the worst one.
 */
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { atLeast, atMost } from "./bounds.ts";
import { isDoubtful, readCurve } from "./curve.ts";
import { divergesAbove } from "./flags.ts";
import { type Axis, type CurveCoordinates, coordinateOf } from "./groups.ts";
import { TUNED } from "./tuned.ts";
import type { Cell, JudgedCell, Margin, Verdict } from "./types.ts";

type Said = Omit<Verdict, "sentence">;
/**
 * What the cells differ in, what moves with it, what their optima are of, whether a search chooses the runs, and
 * where it has none yet.
 */
type Along = {
  axis: Axis;
  tied?: readonly string[];
  tuned?: TakenName;
  searched?: boolean;
  untrained?: readonly CurveCoordinates[];
};
type Where = Pick<Cell, "coordinates">;

/** @returns what follows "SμPar: ", without a full stop */
export function verdictSentence(v: Said, base: Cell, along: Along): string {
  switch (v.verdict) {
    case "transfers":
      return v.criterion === "cost" ? costsLittle(v, base, along) : staysPut(v, base, along);
    case "drifts":
      return drifts(v, base, along);
    case "costs":
      return costs(v, base, along);
    case "inconclusive":
      return `${inconclusive(v, base, along)}${otherwise(v, base, along)}`;
  }
}

/** Names and values of where a cell stands on the axis: the axis itself, then what moves with it. */
function standing({ coordinates }: Where, { axis, tied }: Along): { name: string; value: string }[] {
  const shown = (n: string) => {
    const value = coordinates[n];
    if (typeof value !== "number") return String(value ?? "–");
    return String(Number(Math.abs(value) < 0.01 ? value.toPrecision(3) : value.toFixed(3)));
  };
  return [coordinateOf(axis), ...(tied ?? [])].map((n) => ({ name: n, value: shown(n) }));
}

/** "sparsity 0.75", "sparsity 0.75, width 1536" */
const place = (cell: Where, along: Along): string =>
  standing(cell, along)
    .map(({ name, value }) => `${name} ${value}`)
    .join(", ");

/** "0.984", "0.75 (width 1536)" */
function briefly(cell: Where, along: Along): string {
  const [own, ...tied] = standing(cell, along);
  return tied.length === 0
    ? own!.value
    : `${own!.value} (${tied.map(({ name, value }) => `${name} ${value}`).join(", ")})`;
}

/** "sparsity 0 to 0.984", "sparsity 0 to 0.75 (width 768 to 1536)" */
function range(v: Said, base: Cell, along: Along): string {
  const cells = inOrder([base, ...v.cells.map((c) => c.cell)], (c) => c, along);
  const last = standing(cells.at(-1)!, along);
  const [own, ...tied] = standing(cells[0]!, along).map(
    (first, i) => `${first.name} ${first.value} to ${last[i]!.value}`,
  );
  return tied.length === 0 ? own! : `${own} (${tied.join(", ")})`;
}

/** By rising sparsity, width, layers, … */
function inOrder<T>(of: readonly T[], cellOf: (item: T) => Where, { axis }: Along): T[] {
  const value = (item: T) => Number(cellOf(item).coordinates[coordinateOf(axis)]);
  return [...of].sort((a, b) => value(a) - value(b));
}

const most = <T>(items: readonly T[], of: (item: T) => number): T =>
  items.reduce((top, item) => (of(item) > of(top) ? item : top));

/** To a margin's first digit that is not 0, and one at least: what stands beside it can be told from it. */
const digitsOf = (margin: number): number => Math.min(6, Math.max(1, Math.ceil(-Math.log10(margin) - 1e-9)));

const signed = (octaves: number, { octaves: margin }: Margin): string =>
  `${octaves < 0 ? "−" : "+"}${Math.abs(octaves).toFixed(digitsOf(margin))}`;
/** "±0.3 octave" */
const within = ({ within: octaves, margin }: Said): string =>
  `±${atMost(octaves!, 1, margin.octaves)} octave`;
const costsAtMost = ({ costs_at_most, margin }: Said): string =>
  `costs at most ${atMost(costs_at_most!, 2, margin.cost)}% of the loss`;
const about = (per_cent: number, { cost: margin }: Margin): string =>
  `${per_cent.toFixed(digitsOf(margin))}%`;

const optimumOf = (base: Cell, along: Along): string =>
  along.axis === "density" && base.coordinates.sparsity === 0
    ? "the dense optimum"
    : `the optimum of ${place(base, along)}`;

/** How far a cell's optimum has surely moved, and how far it may have: octaves either way. */
const surelyMoved = ({ drift: d }: JudgedCell): number => Math.max(d.low ?? 0, -(d.high ?? 0));
const mayHaveMoved = ({ drift: d }: JudgedCell): number =>
  d.low_90 === null || d.high_90 === null
    ? Number.POSITIVE_INFINITY
    : Math.max(Math.abs(d.low_90), Math.abs(d.high_90));
/** What the base's optimum surely costs in a cell, and what it may cost: per cent. */
const surelyCosts = ({ regret }: JudgedCell): number =>
  regret.state === "diverges" ? Number.POSITIVE_INFINITY : (regret.per_cent.low_90 ?? 0);
const mayCost = ({ regret }: JudgedCell): number => regret.per_cent.high_90 ?? Number.POSITIVE_INFINITY;

function staysPut(v: Said, base: Cell, along: Along): string {
  const main = `transfers across ${range(v, base, along)} within ${within(v)}`;
  return v.costs_at_most === null ? main : `${main}; ${optimumOf(base, along)} ${costsAtMost(v)}`;
}

/** A drift that costs nothing is said as that. */
function costsLittle(v: Said, base: Cell, along: Along): string {
  const main = `transfers by cost across ${range(v, base, along)}: ${optimumOf(base, along)} ${costsAtMost(v)}`;
  switch (v.drift_verdict) {
    case "transfers":
      return `${main}, and the optimum stays within ${within(v)}`;
    case "drifts":
      return `${main}, although the optimum ${moved(most(v.cells, surelyMoved), v, along)}`;
    case "inconclusive":
      return `${main}; whether the optimum itself moves by more than ${v.margin.octaves} octave is open`;
  }
}

/** "drifts +3.1 octaves at sparsity 0.984 (+2.9 to +3.3)", or "drifts up by at least …" */
function moved({ drift: d, cell }: JudgedCell, { margin }: Said, along: Along): string {
  const where = `at ${place(cell, along)}`;
  if (d.estimate !== null)
    return `drifts ${signed(d.estimate, margin)} octaves ${where} (${signed(d.low!, margin)} to ${signed(d.high!, margin)})`;
  const least = d.low !== null && d.low > 0 ? d.low : d.high!;
  return `drifts ${least < 0 ? "down" : "up"} by at least ${atLeast(Math.abs(least), 1, margin.octaves)} octaves ${where}`;
}

function drifts(v: Said, base: Cell, along: Along): string {
  const far = most(
    v.cells.filter((c) => c.drift_verdict === "drifts"),
    surelyMoved,
  );
  const bounded = far.cell.optimum.flag === "bracketed" ? base : far.cell;
  const reason = far.drift.estimate === null ? ` (${reasonOf(bounded, along, v.open)})` : "";
  const main = `${moved(far, v, along)}${reason}`;
  if (v.cost_verdict === "costs at most") return `${main}, which ${costsAtMost(v)}`;
  return `${main}${costThere(far, optimumOf(base, along), v.margin)}`;
}

function costThere({ regret: { state, per_cent } }: JudgedCell, whose: string, margin: Margin): string {
  if (state === "diverges") return `, training with ${whose} there diverges`;
  if (per_cent.estimate !== null)
    return `, using ${whose} there costs ${about(per_cent.estimate, margin)} loss`;
  if (per_cent.low_90 !== null && per_cent.low_90 >= 0.1)
    return `, using ${whose} there costs at least ${atLeast(per_cent.low_90, 1)}% loss`;
  return "";
}

function costs(v: Said, base: Cell, along: Along): string {
  const worst = costliest(v);
  const whose = optimumOf(base, along);
  const where = place(worst.cell, along);
  const { estimate } = worst.regret.per_cent;
  const drift =
    worst.drift_verdict === "drifts"
      ? `; the optimum ${moved(worst, v, along)}`
      : worst.drift_verdict === "transfers"
        ? `, although the optimum moves by less than ${v.margin.octaves} octave`
        : "";
  if (worst.regret.state === "diverges")
    return `does not transfer: training with ${whose} at ${where} diverges${drift}`;
  const likeliest = estimate === null ? "" : `, likeliest ${about(estimate, v.margin)}`;
  return `does not transfer by cost: ${whose} ${costsThere(worst, v)} at ${where}${likeliest}${drift}`;
}

const runs = (open: number): string => (open === 1 ? "1 run is" : `${open} runs are`);

/** Why a cell has no estimate, and what would give it one. @param open runs that are still to be trained */
function reasonOf(
  { optimum: o }: Cell,
  { tuned = "learning_rate", searched = false }: Along,
  open: number,
): string {
  const { plural } = TUNED[tuned];
  const atEdge = (which: string): [string, string] =>
    searched
      ? [`optimum at the edge of the ${plural} tried`, "with a larger budget the search goes on"]
      : ["optimum at the edge of the grid", `add ${which} ${plural}, or let extend do it`];
  const [state, remedy] = ((): [string, string] => {
    switch (o.flag) {
      case "at low edge":
        return atEdge("lower");
      case "at high edge":
        return atEdge("higher");
      case "edge is divergence":
        return ["optimum beside one that diverges", `add ${plural} between`];
      case "too few points":
        if (!divergesAbove(o)) return [`fewer than three ${plural} trained`, "add more"];
        return [
          `all ${o.points === 0 ? "" : `but ${o.points} `}${plural} diverge`,
          searched ? "with a larger budget the search goes on" : "add lower ones, or let extend do it",
        ];
      case "too noisy":
        return ["noise hides the optimum", "add seeds or a wider grid"];
      case "ambiguous":
        return [
          `two places may be the optimum, about ${o.places.map((p) => `2^${p.log2_tuned.toFixed(1)}`).join(" and ")}`,
          "add seeds there",
        ];
      case "incomplete":
        return ["runs next to the best failed or were cancelled", "train them again"];
      case "bracketed":
        return ["optimum bracketed", ""];
    }
  })();
  if (open > 0 && o.flag === "incomplete") return `still training, ${runs(open)} still to come`;
  if (open > 0) return `${state} so far, ${runs(open)} still to come`;
  return remedy === "" ? state : `${state}: ${remedy}`;
}

function inconclusive(v: Said, base: Cell, along: Along): string {
  if (v.cells.length === 0) return `inconclusive: nothing to compare with ${place(base, along)}`;
  if (base.optimum.flag !== "bracketed")
    return `inconclusive: at ${place(base, along)} ${reasonOf(base, along, v.open)}`;
  const open = inOrder(v.cells, (c) => c.cell, along).filter((c) => c.verdict === "inconclusive");
  const { reached, beyond } = decided(v.cells, along);
  const byCost = v.criterion === "cost";
  if (open.length === 0) {
    const shown =
      reached === undefined
        ? `inconclusive at ${place(beyond[0]!, along)}`
        : upTo(reached, beyond, along, byCost);
    const next = v.open > 0 ? `${runs(v.open)} still to come` : "with a larger budget the search goes on";
    return `${shown}: no run there yet, ${next}`;
  }
  const worst = worstOf(open, byCost);
  const seen = byCost ? seenCost(v, worst, base, along) : seenDrift(v, worst, along);
  if (reached === undefined)
    return seen.isReason
      ? `inconclusive: at ${place(worst.cell, along)} ${seen.text}`
      : `inconclusive at ${place(worst.cell, along)}: ${seen.text}`;
  const at = beyond.length > 1 ? `at ${briefly(worst.cell, along)} ` : "";
  return `${upTo(reached, beyond, along, byCost)}${seen.isReason ? "," : ":"} ${at}${seen.text}`;
}

/** What the criterion that does not decide has shown, beside one that is open. */
function otherwise(v: Said, base: Cell, along: Along): string {
  if (v.criterion === "octaves") {
    if (v.cost_verdict === "open") return "";
    if (v.cost_verdict === "costs at most")
      return `; by cost it transfers: ${optimumOf(base, along)} ${costsAtMost(v)}`;
    const worst = costliest(v);
    const where = place(worst.cell, along);
    return worst.regret.state === "diverges"
      ? `; training with ${optimumOf(base, along)} at ${where} diverges`
      : `; by cost it does not transfer: ${optimumOf(base, along)} ${costsThere(worst, v)} at ${where}`;
  }
  switch (v.drift_verdict) {
    case "inconclusive":
      return "";
    case "transfers":
      return `; by octaves it transfers within ${within(v)}`;
    case "drifts":
      return `; by octaves it does not transfer: the optimum ${moved(most(v.cells, surelyMoved), v, along)}`;
  }
}

/** Of the cells in which the base's optimum surely costs too much: the worst. */
const costliest = (v: Said): JudgedCell =>
  most(
    v.cells.filter((c) => c.cost_verdict === "costs at least"),
    surelyCosts,
  );
const costsThere = ({ regret }: JudgedCell, { margin }: Said): string =>
  `costs at least ${atLeast(regret.per_cent.low_90!, 1, margin.cost)}% of the loss`;

/** Of the cells that are open: the one that may be farthest beyond the margin; of those that may be anywhere, the last. */
const worstOf = (open: readonly JudgedCell[], byCost: boolean): JudgedCell =>
  open.reduce((worst, c) => {
    const of = byCost ? mayCost : mayHaveMoved;
    return of(c) >= of(worst) ? c : worst;
  });

type Seen = { text: string; isReason: boolean };

function seenDrift(v: Said, worst: JudgedCell, along: Along): Seen {
  const { estimate, low, high } = worst.drift;
  if (estimate === null) return { text: reasonOf(worst.cell, along, v.open), isReason: true };
  return {
    text: `drift ${signed(estimate, v.margin)} octave (${signed(low!, v.margin)} to ${signed(high!, v.margin)}) against a margin of ±${v.margin.octaves}; ${remedyOf(v, along)}`,
    isReason: false,
  };
}

function seenCost(v: Said, worst: JudgedCell, base: Cell, along: Along): Seen {
  const { estimate, high_90 } = worst.regret.per_cent;
  if (estimate === null || high_90 === null) {
    if (worst.cell.optimum.flag !== "bracketed")
      return { text: reasonOf(worst.cell, along, v.open), isReason: true };
    const { plural } = TUNED[along.tuned ?? "learning_rate"];
    const rate = base.optimum.log2_tuned!;
    const isAccident = isDoubtful(readCurve(worst.cell.curve), rate);
    const edge = worst.cell.optimum.stability_edge ?? Number.POSITIVE_INFINITY;
    const where = isAccident
      ? `beside ${plural} at which runs diverged there, though higher ones trained: add seeds there`
      : `outside the ${plural} ${rate < edge ? "tried" : "at which every seed trained"} there`;
    return { text: `${optimumOf(base, along)} lies ${where}`, isReason: true };
  }
  return {
    text: `${optimumOf(base, along)} costs ${about(estimate, v.margin)} there and at most ${atMost(high_90, digitsOf(v.margin.cost))}%, against a margin of ${v.margin.cost}%; ${remedyOf(v, along)}`,
    isReason: false,
  };
}

function remedyOf(v: Said, along: Along): string {
  if (v.open > 0) return `${runs(v.open)} still to come`;
  const untrained = (along.untrained ?? []).map((coordinates) => ({ coordinates }));
  if (untrained.length > 0) return `no run yet at ${listed(untrained, along)}`;
  return v.more_seeds === null
    ? `more seeds alone would not decide, add ${TUNED[along.tuned ?? "learning_rate"].plural} near the optimum`
    : `about ${v.more_seeds} more ${v.more_seeds === 1 ? "seed" : "seeds"} would decide`;
}

/**
 * The last cell of those next to the base, in order, that all transfer, and all places that are open. Cells tested
 * in an order that is fixed beforehand, up to the first that is not decided, need no correction for their number (a
 * fixed-sequence test), so what it says holds at the verdict's level.
 */
function decided(
  cells: readonly JudgedCell[],
  along: Along,
): { reached: Where | undefined; beyond: Where[] } {
  const judged = cells.map(({ cell, verdict }) => ({ at: cell as Where, isOpen: verdict !== "transfers" }));
  const untrained = (along.untrained ?? []).map((coordinates) => ({ at: { coordinates }, isOpen: true }));
  const ordered = inOrder([...judged, ...untrained], ({ at }) => at, along);
  const first = ordered.findIndex(({ isOpen }) => isOpen);
  return {
    reached: ordered[first - 1]?.at,
    beyond: ordered.filter(({ isOpen }) => isOpen).map(({ at }) => at),
  };
}

/** "transfers up to sparsity 0.938; open at 0.969 and 0.984" */
function upTo(reached: Where, open: readonly Where[], along: Along, byCost: boolean): string {
  return `transfers${byCost ? " by cost" : ""} up to ${coordinateOf(along.axis)} ${briefly(reached, along)}; open at ${listed(open, along)}`;
}

/** "0.969 and 0.984" */
function listed(of: readonly Where[], along: Along): string {
  const places = of.map((at) => briefly(at, along));
  return [places.slice(0, -1).join(", "), places.at(-1)!].filter((part) => part !== "").join(" and ");
}
