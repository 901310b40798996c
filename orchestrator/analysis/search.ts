/**
 * Runs where they decide: which to do next so that the verdicts of a phase are decided by as few as possible, why each, and
 * when to stop. A function of the results alone: whoever asks again, after a restart too, gets the same answer.
 *
 * A curve starts with three rates around a guess (search-curves.ts). Every curve is bracketed first, those along an axis one after
 * the other; then runs go where they tell most of what is undecided, for what they cost (choose-runs.ts).
 */

import type { Axis } from "./groups.ts";
import { choose, type NextRun, type SearchLimits } from "./search-choices.ts";
import {
  guessFrom,
  isLocated,
  type Known,
  readSearched,
  replicates,
  type SearchedCurve,
  type Spot,
  startAt,
  towardsBracket,
} from "./search-curves.ts";
import {
  type Group,
  groupsOf,
  guardOf,
  isStarted,
  judge,
  nameOf,
  type QuestionState,
  type SearchQuestion,
} from "./search-groups.ts";

/** What is asked of the curves along an axis; of a curve that stands alone, where its optimum lies. */
export type SearchedQuestion = {
  axis: Axis | null;
  parameterization: string;
  /** The base first. */
  curves: string[];
  state: QuestionState;
  /** What decided it, what is open, or why more runs would not help. */
  says: string;
};

export type SearchStep = {
  runs: NextRun[];
  questions: SearchedQuestion[];
  /** Why no run is to be added; null while some are. */
  stopped: string | null;
};

/** @param curves all of a phase, whether they have runs or not; no run of them is still to be trained */
export function nextRuns(
  curves: readonly SearchedCurve[],
  question: SearchQuestion,
  limits: SearchLimits,
): SearchStep {
  const known = readSearched(curves, question.stated_noise);
  const groups = groupsOf([...known.values()]);
  const isGuarded = guardOf(known, question);
  for (const group of groups) judge(group, question, isGuarded(group));
  const open = groups.filter((group) => group.state === "open");

  const needed = new Map<string, NextRun>();
  const need = ({ curve }: Known, spots: Spot[], why: string) => {
    for (const spot of spots)
      needed.set(JSON.stringify([curve, spot]), { curve, ...spot, reason: `search: ${why}` });
    return spots.length > 0;
  };
  const idle = open.filter((group) => {
    const bracketing = group.members.filter(isStarted).map((curve) => {
      const { spots, why } = towardsBracket(curve);
      return need(curve, spots, why);
    });
    // What only the noise is missing for is not followed by more curves.
    const isNearlyDecided = !isGuarded(group) && group.judged.some(({ seems_to_move }) => seems_to_move);
    const starts = isNearlyDecided ? [] : startable(group, open, groups);
    const starting = starts.map(({ curve, guess, why }) =>
      need(curve, startAt(curve, guess, seedsAtStart(curve, known, question)), why),
    );
    if ([...bracketing, ...starting].some(Boolean)) return false;
    if (isGuarded(group)) return true;
    const cheapest = group.members.filter(isLocated).sort((a, b) => a.cost - b.cost)[0];
    return (
      cheapest === undefined || !need(cheapest, replicates(cheapest), "another seed, to measure the noise")
    );
  });
  const necessary = withinLimits([...needed.values()], known, limits);
  const left = afterwards(limits, necessary, known);
  const beside = withinLimits(once(idle.flatMap(measuredBeside)), known, left);
  const taken = [...necessary, ...beside];
  const chosen =
    idle.length === 0 ? [] : choose(idle, known, taken, question, afterwards(left, beside, known));
  const spent = [...known.values()].reduce((sum, { planned, cost }) => sum + planned.length * cost, 0);
  const runs = [...necessary, ...thrifty([...beside, ...chosen], known, limits.thrift * spent)];
  return {
    runs,
    questions: groups.map(({ axis, members, state, says }) => ({
      axis,
      parameterization: members[0].coordinates.parameterization,
      curves: members.map(({ curve }) => curve),
      state,
      says,
    })),
    stopped: runs.length > 0 ? null : whyStopped(groups, known),
  };
}

function whyStopped(groups: readonly Group[], known: ReadonlyMap<string, Known>): string {
  if (groups.every(({ state }) => state === "decided")) return "decided";
  if (groups.some(({ state }) => state === "open"))
    return [...known.values()].some(isStarted)
      ? "its budget is spent"
      : "its budget is less than its first run costs";
  return [...new Set(groups.filter(({ state }) => state === "given up").map(({ says }) => says))].join("; ");
}

/** The curve before this one in each of its groups. */
const before = (curve: Known, groups: readonly Group[]): { group: Group; curves: Known[] }[] =>
  groups.flatMap((group) => {
    const at = group.members.indexOf(curve);
    return at > 0 ? [{ group, curves: group.members.slice(0, at) }] : [];
  });

/**
 * The base and the curve beside it start at once. Each further one starts when those before it are bracketed and either decided, or have
 * cost as much as its start will: what is dear comes last.
 */
function startable(
  group: Group,
  open: readonly Group[],
  groups: readonly Group[],
): { curve: Known; guess: number; why: string }[] {
  const starts: { curve: Known; guess: number; why: string }[] = [];
  for (const curve of group.members) {
    if (isStarted(curve)) continue;
    const earlier = before(curve, groups);
    const isFirst = earlier.every(({ curves }) =>
      curves.every((c) => !isStarted(c) && before(c, groups).length === 0),
    );
    if (isFirst) {
      starts.push({ curve, guess: curve.middle, why: "start in the middle of the file's rates" });
      continue;
    }
    const areLocated = earlier.every(({ curves }) => isStarted(curves.at(-1)!) && isLocated(curves.at(-1)!));
    if (!areLocated || !earlier.some((e) => open.includes(e.group) && isTimeFor(curve, e.group))) continue;
    const guesses = earlier.map(({ group: { axis }, curves }) =>
      guessFrom(axis!, curve, curves.filter(isLocated)),
    );
    const guess = guesses.reduce((sum, g) => sum + g, 0) / guesses.length;
    const { group: along, curves } = earlier[0]!;
    starts.push({
      curve,
      guess,
      why: `start where ${nameOf(along, curves.at(-1)!)} suggests, near 2^${guess.toFixed(1)}`,
    });
  }
  return starts;
}

const RUNS_AT_START = 3;

function isTimeFor(curve: Known, { members, judged }: Group): boolean {
  const spent = members.reduce((sum, c) => sum + c.planned.length * c.cost, 0);
  return spent >= RUNS_AT_START * curve.cost || judged.every(({ sure }) => sure === "transfers");
}

/** The two cheapest of the first curves get a second seed at once, from which the noise is known. */
function seedsAtStart(
  curve: Known,
  known: ReadonlyMap<string, Known>,
  { stated_noise }: SearchQuestion,
): number {
  if (stated_noise !== undefined) return 1;
  const alike = [...known.values()].filter(
    (c) => c.coordinates.parameterization === curve.coordinates.parameterization,
  );
  return alike.some(isStarted) || alike.indexOf(curve) >= 2 ? 1 : 2;
}

/** The loss beside the base's optimum, where its cost is small as far as the fit knows; where a run diverged there, another seed first. */
const measuredBeside = ({ judged }: Group): NextRun[] =>
  judged.flatMap(({ curve: { curve, read }, sure, beside }) => {
    if (sure !== null || beside === null) return [];
    const why = read.diverged.includes(beside.log2_tuned)
      ? "another seed, since a run diverged there"
      : "the base's optimum seems cheap here: measured beside it";
    return [{ curve, ...beside, reason: `search: ${why}` }];
  });

/** A curve lies along several axes: what each of them asks for may be one run. */
const once = (runs: readonly NextRun[]): NextRun[] =>
  runs.filter(
    (run, i) =>
      i ===
      runs.findIndex(
        ({ curve, log2_tuned, seed }) =>
          curve === run.curve && log2_tuned === run.log2_tuned && seed === run.seed,
      ),
  );

/** The first of them, and as many more as that money lasts. */
function thrifty(runs: readonly NextRun[], known: ReadonlyMap<string, Known>, money: number): NextRun[] {
  let left = money;
  return runs.filter(({ curve }, i) => {
    left -= known.get(curve)!.cost;
    return i === 0 || left >= 0;
  });
}

function withinLimits(
  runs: readonly NextRun[],
  known: ReadonlyMap<string, Known>,
  limits: Pick<SearchLimits, "runs" | "cost">,
): NextRun[] {
  let { runs: count, cost } = limits;
  return runs.filter(({ curve }) => {
    const price = known.get(curve)!.cost;
    if (count < 1 || price > cost) return false;
    count--;
    cost -= price;
    return true;
  });
}

const afterwards = (
  limits: SearchLimits,
  taken: readonly NextRun[],
  known: ReadonlyMap<string, Known>,
): SearchLimits => ({
  ...limits,
  batch: limits.batch - taken.length,
  runs: limits.runs - taken.length,
  cost: taken.reduce((left, { curve }) => left - known.get(curve)!.cost, limits.cost),
});
