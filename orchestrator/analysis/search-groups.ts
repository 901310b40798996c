/** The questions of a search (search.ts): which curves each is about, whether it is decided, and what is in the way. */
import type { RegretState } from "../../schema/database/states.ts";
import { lowest } from "./curve.ts";
import { leastOf, mostOf } from "./extremes.ts";
import { type Axis, axesOf, coordinateOf, groupsAlong } from "./groups.ts";
import { excessAt } from "./posterior.ts";
import {
  doubtedRate,
  doubtedWall,
  type Known,
  latticeBetween,
  latticeFrom,
  MOST_SEEDS,
  nextSeed,
  type Spot,
} from "./search-curves.ts";
import type { JudgedCell } from "./types.ts";
import { type Question, verdict } from "./verdict.ts";

export type SearchQuestion = Question & {
  /** Of one run, per cent of its loss. */
  stated_noise?: number | undefined;
};

/** Before replicates have measured the noise on so many degrees of freedom nothing counts as decided. */
const NOISE_DF = 4;
/** Rates this near to the base's optimum tell its loss, octaves. */
const BESIDE = 0.5;

export type QuestionState = "decided" | "open" | "given up";

/** A question at work. */
export type Group = {
  axis: Axis | null;
  members: [Known, ...Known[]];
  /** The members beside the base that have runs, in their order. */
  judged: Judged[];
  state: QuestionState;
  says: string;
};
type Judged = {
  curve: Known;
  sure: Sure;
  /** It would be sure to move, were the noise measured well enough. */
  seems_to_move: boolean;
} & HeldUp;
type Sure = "transfers" | "moves" | null;
/**
 * What keeps a cost that the fit takes for small from being decided (heldUpBy): too few points beside the base's
 * optimum, where the next run should be; a floor that is too little known; or that no rate is left where only points
 * would tell.
 */
type HeldUp = { beside: Spot | null; held_up: "floor" | "no rate left" | null };

export function groupsOf(curves: readonly Known[]): Group[] {
  const groups: Group[] = [];
  const together = new Set<Known>();
  const add = (axis: Axis | null, members: [Known, ...Known[]]) =>
    groups.push({ axis, members, judged: [], state: "open", says: "" });
  for (const axis of axesOf(curves.map(({ coordinates }) => coordinates)))
    for (const { members } of groupsAlong(axis, curves)) {
      if (members.length === 1) continue;
      for (const member of members) together.add(member);
      add(axis, members);
    }
  for (const curve of curves) if (!together.has(curve)) add(null, [curve]);
  return groups;
}

/** Whether the noise of a group's parameterization is measured well enough for anything to be decided. */
export function guardOf(
  known: ReadonlyMap<string, Known>,
  { stated_noise }: SearchQuestion,
): (group: Group) => boolean {
  const df = new Map<string, number>();
  for (const { coordinates, read } of known.values())
    df.set(coordinates.parameterization, (df.get(coordinates.parameterization) ?? 0) + read.residual_df);
  return ({ members }) =>
    stated_noise !== undefined || df.get(members[0].coordinates.parameterization)! >= NOISE_DF;
}

export const isStarted = ({ standing }: Known): boolean => standing !== "new";

/** Where it stands along the axis, for people. */
export function nameOf({ axis }: Group, { coordinates }: Known): string {
  if (axis === null) return "this curve";
  const name = coordinateOf(axis);
  return `${name} ${Number(Number(coordinates[name]).toPrecision(4))}`;
}

/**
 * While runs are added a bound has to hold at 97.5%, not at 95%: looking again and again would make an error of 5% into more. What is
 * open when the last run has been added is judged at 95%, as every sweep is. So is a cost that is small: it is read so carefully (transfer.ts)
 * that simulated searches call hardly any small that is not, however often they look (docs/method.md).
 */
function surely({ drift, regret }: JudgedCell, { criterion, margin }: Question): Sure {
  if (criterion === "octaves") {
    const { low, high, estimate } = drift;
    if ((low !== null && low > margin.octaves) || (high !== null && high < -margin.octaves)) return "moves";
    return estimate !== null && low! > -margin.octaves && high! < margin.octaves ? "transfers" : null;
  }
  const { low, high_90 } = regret.per_cent;
  if (regret.state === "diverges" || (low !== null && low > margin.cost)) return "moves";
  return high_90 !== null && high_90 <= margin.cost ? "transfers" : null;
}

export function judge(group: Group, question: SearchQuestion, isGuarded: boolean): void {
  const { axis, members } = group;
  const [base, ...others] = members;
  const settle = (state: Group["state"], says: string) => Object.assign(group, { state, says });
  const stuck = (curve: Known) => whyStuck(curve, nameOf(group, curve));
  if (axis === null) {
    if (base.optimum.flag === "bracketed" && isGuarded) settle("decided", "its optimum is bracketed");
    else if (stuck(base) !== null) settle("given up", stuck(base)!);
    else settle("open", "where its optimum lies");
    return;
  }
  const started = others.filter(isStarted);
  if (isStarted(base) && started.length > 0) {
    const cell = ({ coordinates, input, optimum }: Known) => ({ coordinates, curve: input, optimum });
    const options = { ...question, axis, noise: base.pooled ?? undefined, open: 1 };
    group.judged = verdict(started.map(cell), cell(base), options).cells.map((judged, i) => {
      const curve = started[i]!;
      const again = restsOn(curve, base, judged.regret.state, question);
      const said = surely(judged, question);
      const sure = isGuarded ? said : null;
      return again === null || sure === "transfers"
        ? {
            curve,
            sure,
            seems_to_move: said === "moves",
            ...heldUpBy(curve, base, judged.regret.state, question),
          }
        : { curve, sure: null, seems_to_move: false, beside: again, held_up: null };
    });
  }
  const what = question.criterion === "cost" ? "cost" : "drift";
  const against = group.judged.find(({ sure }) => sure === "moves");
  const undecided = others.filter((o) =>
    group.judged.every(({ curve, sure }) => curve !== o || sure === null),
  );
  const hopeless = [base, ...undecided].find((curve) => stuck(curve) !== null);
  const exhausted = group.judged.find(({ sure, held_up }) => sure === null && held_up === "no rate left");
  if (against !== undefined)
    settle("decided", `the ${what} at ${nameOf(group, against.curve)} is surely beyond the margin`);
  else if (undecided.length === 0) settle("decided", `every ${what} is surely within the margin`);
  else if (hopeless !== undefined) settle("given up", stuck(hopeless)!);
  else if (exhausted !== undefined && isGuarded)
    settle(
      "given up",
      `${what} at ${nameOf(group, exhausted.curve)} stays open: no rate beside the base's optimum is left to try`,
    );
  else settle("open", `${what} at ${undecided.map((curve) => nameOf(group, curve)).join(", ")}`);
}

/** Why nothing brackets a curve; null where something may. */
function whyStuck({ standing, read, planned }: Known, name: string): string | null {
  const of = (rates: readonly number[]) => `2^${leastOf(rates).toFixed(1)} to 2^${mostOf(rates).toFixed(1)}`;
  const best = lowest(read.stable)?.log2_tuned;
  switch (standing) {
    case "without results":
      return `runs of ${name} have no result`;
    case "at wall":
      return `the optimum of ${name} lies beside a rate that diverges`;
    case "flat":
      return `the loss of ${name} is flat within its noise from ${of(read.stable.map((p) => p.log2_tuned))}`;
    case "too far":
      return best === undefined
        ? `every rate of ${name} from ${of(planned.map((spot) => spot.log2_tuned))} diverges`
        : `the loss of ${name} still falls at 2^${best.toFixed(1)}`;
    default:
      return null;
  }
}

/** The run that has to confirm a divergence before anything is decided by it; null where nothing is, or it is confirmed. */
function restsOn(curve: Known, base: Known, state: RegretState, { criterion }: Question): Spot | null {
  const { optimum, read } = curve;
  const isBound = optimum.flag === "edge is divergence" || optimum.flag === "too few points";
  if (criterion === "cost" ? state === "diverges" : isBound) return doubtedWall(curve, read);
  const rate = base.optimum.log2_tuned;
  return criterion === "cost" && rate !== null ? doubtedRate(curve, rate) : null;
}

/**
 * Where the base's optimum lies outside the rates tried, only runs beside it tell. Where the fit says that it costs
 * no more than the margin, the points beside that rate may not say so yet (transfer.ts): then either they are too
 * few, or the floor that they are compared with is too little known.
 */
function heldUpBy(curve: Known, base: Known, state: RegretState, { criterion, margin }: Question): HeldUp {
  const rate = base.optimum.log2_tuned;
  const { posterior: p, optimum } = curve;
  if (criterion !== "cost" || rate === null || p === null || optimum.flag !== "bracketed")
    return { beside: null, held_up: null };
  const isOutside = state === "outside";
  const beside = besideBase(curve, rate, isOutside);
  if (isOutside && beside !== null) return { beside, held_up: null };
  if (100 * Math.expm1(excessAt(p, p.weights, rate).mixture.quantile(0.95)) > margin.cost)
    return { beside: null, held_up: null };
  if (isOutside) return { beside: null, held_up: "no rate left" };
  const near = curve.planned.filter(({ log2_tuned }) => Math.abs(log2_tuned - rate) < BESIDE).length;
  return beside !== null && p.noise.run / Math.max(near, 0.5) > p.best.sd ** 2
    ? { beside, held_up: null }
    : { beside: null, held_up: "floor" };
}

/**
 * The next run that measures the loss beside the base's optimum: at the rate with the fewest seeds, the nearest of
 * equal ones. Outside the rates tried it is one from that optimum on: only between two rates is a cost known.
 * @returns null where every such rate has had its seeds, or diverges
 */
function besideBase(curve: Known, rate: number, isOutside: boolean): Spot | null {
  const { planned, first_seed, read } = curve;
  const seedsAt = (x: number) => planned.filter((spot) => spot.log2_tuned === x).length;
  const near = isOutside
    ? latticeFrom(curve, rate, rate < read.stable[0]!.log2_tuned ? -1 : 1)
    : latticeBetween(curve, rate - BESIDE, rate + BESIDE).filter((x) => Math.abs(x - rate) < BESIDE);
  const wall = read.walls.find((x) => x > rate) ?? Number.POSITIVE_INFINITY;
  const [log2_tuned] = near
    .filter((x) => x < wall && seedsAt(x) < MOST_SEEDS)
    .sort((a, b) => seedsAt(a) - seedsAt(b) || Math.abs(a - rate) - Math.abs(b - rate));
  return log2_tuned === undefined ? null : { log2_tuned, seed: nextSeed(planned, log2_tuned, first_seed) };
}
