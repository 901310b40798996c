/** Of what a search leaves open (search.ts): which runs tell most for their cost, and what the runs that are left would hardly decide. */
import { type Ask, type Choice, chooseRuns, likelyExcess, type RunChoice } from "./choose-runs.ts";
import { unstableAbove } from "./curve.ts";
import { standardCdf } from "./distribution.ts";
import { excessDiscrepancy } from "./posterior.ts";
import { isLocated, type Known, latticeBetween, MOST_SEEDS, nextSeed, type Spot } from "./search-curves.ts";
import { type Group, isStarted, nameOf } from "./search-groups.ts";
import type { Question } from "./verdict.ts";

export type SearchLimits = {
  /** Runs to add at a time; more where so many are needed whatever the others say. */
  batch: number;
  /**
   * What is added at a time for what it tells may cost at most this share of what all runs have cost: where one run is dear, fewer are
   * added than a batch has.
   */
  thrift: number;
  /** What may still be added, in runs and in what they cost. */
  runs: number;
  cost: number;
};

export type NextRun = Spot & {
  curve: string;
  /** For people: begins with "search: ". */
  reason: string;
};

/** Rates higher than this above the optimum (log loss) tell little of where it lies. */
const HIGHEST_CHOICE = 0.08;
/** How far from the optimum runs may go, octaves. */
const [BELOW, ABOVE] = [3, 2.5];
/** Given up when the chance that the runs that are left decide, reckoned with at most so many, is below this. */
const FUTILE = { chance: 0.1, runs: 400 };
const [Z95, Z975] = [1.645, 1.96];

/** What a group leaves open, as questions to the posteriors of its curves. */
type Asked = { group: Group; curve: Known; base: Known; about: Ask["about"] };

/**
 * Gives up what the runs that are left would hardly decide; of the rest, the runs that tell most.
 * @param taken of this look, for other reasons
 */
export function choose(
  groups: readonly Group[],
  known: ReadonlyMap<string, Known>,
  taken: readonly NextRun[],
  question: Question,
  limits: SearchLimits,
): NextRun[] {
  const fitted = [...known.values()].filter((curve) => curve.posterior !== null && isLocated(curve));
  const place = new Map(fitted.map((curve, i) => [curve, i]));
  const posteriors = fitted.map((curve) => curve.posterior!);
  const askOf = ({ curve, base, about }: Asked): Ask =>
    about === "place" || about === "floor"
      ? { cell: place.get(curve)!, about }
      : { cell: place.get(curve)!, base: place.get(base)!, about };
  const choicesOf = (asked: readonly Asked[]): RunChoice[] =>
    [
      ...new Set(asked.flatMap(({ curve, base, about }) => (about === "drift" ? [curve, base] : [curve]))),
    ].flatMap((curve) => choices(curve, place.get(curve)!));
  const best = (asked: readonly Asked[], most: number): Choice =>
    chooseRuns(posteriors, choicesOf(asked), asked.map(askOf), Math.min(most, limits.runs), {
      cost: limits.cost,
      seeds: MOST_SEEDS,
    });
  const asked: Asked[] = [];
  for (const group of groups) {
    const own = asksOf(group, question).filter(({ curve, base }) => place.has(curve) && place.has(base));
    // All that is open is being measured beside the base's optimum.
    if (own.length === 0) continue;
    const rest = best(own, FUTILE.runs);
    if (rest.runs.length === 0) {
      // Without any left to choose it is the budget that is spent, unless every rate has had its seeds.
      if (limits.runs > 0 && own.every(({ curve }) => curve.cost <= limits.cost))
        Object.assign(group, {
          state: "given up",
          says: `${group.says} stays open at ${MOST_SEEDS} seeds a rate`,
        });
    } else if (isFutile(group, own, hopeful(own, rest, fitted), question))
      Object.assign(group, {
        state: "given up",
        says: `${group.says} lies too near the margin for the runs that are left`,
      });
    else asked.push(...own);
  }
  if (asked.length === 0 || limits.batch < 1) return [];
  const chosen = best(asked, limits.batch);
  const planned = new Map(
    fitted.map((curve) => [curve, [...curve.planned, ...taken.filter((run) => run.curve === curve.curve)]]),
  );
  return chosen.runs.map(({ cell, log2_tuned }) => {
    const curve = fitted[cell]!;
    const seed = nextSeed(planned.get(curve)!, log2_tuned, curve.first_seed);
    planned.get(curve)!.push({ log2_tuned, seed });
    return { curve: curve.curve, log2_tuned, seed, reason: `search: ${reasonFor(curve, asked)}` };
  });
}

function asksOf(group: Group, { criterion }: Question): Asked[] {
  const { members, judged, axis } = group;
  const base = members[0];
  const open = judged.filter(({ sure, beside }) => sure === null && beside === null);
  const unsure = open.map(({ curve }) => curve);
  const unbracketed = [base, ...(axis === null ? [] : unsure)].filter((c) => c.optimum.flag !== "bracketed");
  const places = unbracketed.map((curve): Asked => ({ group, curve, base, about: "place" }));
  if (unbracketed.includes(base)) return places;
  const about = criterion === "cost" ? "regret" : "drift";
  return [
    ...places,
    ...open
      .filter(({ curve }) => !unbracketed.includes(curve))
      .map(
        ({ curve, held_up }): Asked => ({ group, curve, base, about: held_up === "floor" ? "floor" : about }),
      ),
  ];
}

/** What is open of a curve itself, else that of the others. */
function reasonFor(curve: Known, asked: readonly Asked[]): string {
  const own = asked.find((a) => a.curve === curve);
  if (own === undefined)
    return "the base's optimum, from which drifts are counted: most told for its cost here";
  const { group, about } = own;
  const what = {
    place: "where the optimum lies",
    floor: "the lowest loss, beside which the base's optimum is measured,",
    regret: `the cost at ${nameOf(group, curve)}`,
    drift: `the drift at ${nameOf(group, curve)}`,
  }[about];
  return `${what} is open: most told for its cost here`;
}

function choices(curve: Known, cell: number): RunChoice[] {
  const p = curve.posterior!;
  const at = p.quantile(0.5);
  const unstable = unstableAbove(curve.read, at) ?? Number.POSITIVE_INFINITY;
  return latticeBetween(curve, at - BELOW, at + ABOVE)
    .filter((x) => x < unstable && likelyExcess(p, x) <= HIGHEST_CHOICE)
    .map((log2_tuned) => ({
      cell,
      log2_tuned,
      seeds: curve.planned.filter((spot) => spot.log2_tuned === log2_tuned).length,
      cost: curve.cost,
    }));
}

/**
 * The joint normal approximation says too little of what many more runs tell: they also show the shape. A variance may fall as the number of
 * runs rises, which is hopeful.
 */
function hopeful(
  asked: readonly Asked[],
  { runs, answers }: Choice,
  fitted: readonly Known[],
): Choice["answers"] {
  const more = (curve: Known) => {
    const now = curve.planned.length;
    return now / (now + runs.filter(({ cell }) => fitted[cell] === curve).length);
  };
  return answers.map((answer, k) => {
    const { curve, base, about } = asked[k]!;
    const share = about === "drift" ? Math.max(more(curve), more(base)) : more(curve);
    return { ...answer, after: Math.min(answer.after, answer.before * share) };
  });
}

/** Neither can all cells be shown to transfer, nor any to move, by what is left; while curves wait to start they may still move. */
function isFutile(
  { members }: Group,
  asked: readonly Asked[],
  answers: readonly { mean: number; before: number; after: number }[],
  { criterion, margin }: Question,
): boolean {
  if (!members.every(isStarted) || asked.some(({ about }) => about === "place" || about === "floor"))
    return false;
  const powers = answers.map(({ mean, before, after }) => {
    const moves = Math.sqrt(Math.max(before - after, 1e-12));
    const beyond = (limit: number) => 1 - standardCdf((limit - mean) / moves);
    if (criterion === "octaves") {
      const [inner, outer] = [
        margin.octaves - Z95 * Math.sqrt(after),
        margin.octaves + Z975 * Math.sqrt(after),
      ];
      return {
        transfers: inner > 0 ? beyond(-inner) - beyond(inner) : 0,
        moves: beyond(outer) + 1 - beyond(-outer),
      };
    }
    const limit = Math.log1p(margin.cost / 100);
    // What is left would be trained at that very rate.
    const sd = Math.hypot(Math.sqrt(after), mean * excessDiscrepancy(mean, 0));
    return { transfers: 1 - beyond(limit - Z95 * sd), moves: beyond(limit + Z95 * sd) };
  });
  return powers.some((p) => p.transfers < FUTILE.chance) && powers.every((p) => p.moves < FUTILE.chance);
}
