/**
 * Does the optimum transfer along an axis? Two questions are asked of every cell, each by one-sided tests at 5%: has the
 * optimum moved by less than a margin (two one-sided tests, Schuirmann 1987) or by more; and does the base's optimum cost less
 * than a margin here, or more. One of them decides, so that their errors do not add up; the other is shown beside it. Where
 * neither is shown it is worked out how many more seeds would. Sentences are in sentence.ts.
 */
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { type Curve, readCurve } from "./curve.ts";
import type { Axis, CurveCoordinates } from "./groups.ts";
import { residualOf, toldNoise, withMoreSeeds } from "./noise.ts";
import { fitCurve, fitValley } from "./optimum.ts";
import { register } from "./registration.ts";
import { verdictSentence } from "./sentence.ts";
import { drift, type FittedCell, regret } from "./transfer.ts";
import type {
  Cell,
  CellVerdict,
  CostVerdict,
  Criterion,
  Drift,
  DriftVerdict,
  JudgedCell,
  Margin,
  Noise,
  Optimum,
  Pooling,
  Regret,
  Verdict,
} from "./types.ts";

/** As a sweep's file has it. */
type Asked = {
  criterion?: Criterion | undefined;
  margin?: { octaves?: number | undefined; cost?: number | undefined } | undefined;
  pooling?: Pooling | undefined;
};

export type VerdictOptions = Asked & {
  /** What the cells differ in, and names of the coordinates that move with it; only words depend on them. */
  axis: Axis;
  tied?: readonly string[];
  /** What the optima are of; only words depend on it. The learning rate by default. */
  tuned?: TakenName;
  /** A search chooses the runs; only words depend on it. */
  searched?: boolean;
  /** As for fitOptimum. */
  noise?: Noise | undefined;
  stated_noise?: number | undefined;
  /** Runs of the cells that are still to be trained; until there are none it is not worked out what more would decide. */
  open?: number;
  /** Where curves stand that are asked about, but have no run yet: while there are any, not all are shown to transfer. */
  untrained?: readonly CurveCoordinates[];
};

export type Question = { criterion: Criterion; margin: Margin; pooling: Pooling };

const DEFAULT: Question = { criterion: "cost", margin: { octaves: 0.5, cost: 1 }, pooling: "loose" };

/** What is asked, with what is asked where nothing is said. */
export const questionOf = ({ criterion, margin, pooling }: Asked): Question => ({
  criterion: criterion ?? DEFAULT.criterion,
  margin: {
    octaves: margin?.octaves ?? DEFAULT.margin.octaves,
    cost: margin?.cost ?? DEFAULT.margin.cost,
  },
  pooling: pooling ?? DEFAULT.pooling,
});

/** @param cells the other cells of the axis; the base itself among them is passed over */
export function verdict(cells: readonly Cell[], base: Cell, options: VerdictOptions): Verdict {
  const turns = verdictInTurns(cells, base, options);
  for (;;) {
    const { done, value } = turns.next();
    if (done) return value;
  }
}

/** The same, yielding after every few milliseconds of work. */
export function* verdictInTurns(
  cells: readonly Cell[],
  base: Cell,
  options: VerdictOptions,
): Generator<void, Verdict> {
  const question = questionOf(options);
  const others = cells.filter((c) => c !== base);
  const read = [base, ...others].map(({ optimum, curve: input }): Read => {
    const curve = readCurve(input);
    return { curve, optimum, others: toldNoise(residualOf(curve), options.noise, options.stated_noise) };
  });
  const answers = yield* judge(read, question);
  const judged = answers.map((answer, i): JudgedCell => ({ cell: others[i]!, ...answer }));
  const isWhole = (options.untrained ?? []).length === 0;
  const overall = combine(
    judged.map((j) => j.verdict),
    isWhole,
  );
  const open = options.open ?? 0;
  const isUndecided = overall === "inconclusive" && open === 0 && isWhole;
  const undecided = answers.flatMap(({ verdict: v }, i) => (v === "inconclusive" ? [i + 1] : []));
  const result: Omit<Verdict, "sentence"> = {
    verdict: overall,
    ...question,
    open,
    cells: judged,
    drift_verdict: combineDrifts(
      judged.map((j) => j.drift_verdict),
      isWhole,
    ),
    cost_verdict: combineCosts(
      judged.map((j) => j.cost_verdict),
      isWhole,
    ),
    within: isWhole ? widest(judged.map((j) => j.drift)) : null,
    ...costsOf(
      judged.map((j) => j.regret),
      isWhole,
    ),
    more_seeds: isUndecided ? yield* moreSeeds(read, undecided, question) : null,
  };
  return { ...result, sentence: verdictSentence(result, base, options) };
}

type Read = { curve: Curve; optimum: Optimum; others: Noise | undefined };

/** @param cells the base first. @returns what is found of the others */
function* judge(cells: readonly Read[], question: Question): Generator<void, Omit<JudgedCell, "cell">[]> {
  const fits = [];
  for (const { curve, others, optimum } of cells) {
    fits.push(optimum.flag === "incomplete" ? null : fitValley(curve, others));
    yield;
  }
  const fitted = fits.flatMap((f, i) => (f === null ? [] : [{ cell: i, posterior: f.posterior }]));
  const place = new Map(fitted.map(({ cell }, i) => [cell, i]));
  const joint = register(
    fitted.map((f) => f.posterior),
    question.pooling,
  );
  const base = cells[0]!.optimum;
  const answers: Omit<JudgedCell, "cell">[] = [];
  for (let i = 1; i < cells.length; i++) {
    const at = place.get(i);
    const from = place.get(0);
    const cell: FittedCell = {
      ...cells[i]!,
      fit: fits[i]!,
      weights: at === undefined ? null : joint.weights(at),
    };
    const moved = drift(
      cell.optimum,
      base,
      at === undefined || from === undefined ? null : joint.difference(at, from),
    );
    const cost = regret(cell, base);
    const drift_verdict = judgeDrift(moved, question.margin.octaves);
    const cost_verdict = judgeCost(cost, question.margin.cost);
    const verdict = question.criterion === "octaves" ? drift_verdict : COST_AS_VERDICT[cost_verdict];
    answers.push({ drift: moved, drift_verdict, regret: cost, cost_verdict, verdict });
    yield;
  }
  return answers;
}

/**
 * transfers: both one-sided tests at 5% reject, so the 90% interval lies inside ±margin. drifts: the 95% interval lies
 * outside. A bound can show a drift, never a transfer.
 */
function judgeDrift(d: Drift, margin: number): DriftVerdict {
  if (d.estimate !== null && d.low_90! > -margin && d.high_90! < margin) return "transfers";
  if ((d.low !== null && d.low > margin) || (d.high !== null && d.high < -margin)) return "drifts";
  return "inconclusive";
}

/** Either bound holds at 95%. A rate that diverges costs more than any margin. */
function judgeCost({ state, per_cent }: Regret, margin: number): CostVerdict {
  if (state === "diverges" || (per_cent.low_90 !== null && per_cent.low_90 > margin)) return "costs at least";
  if (per_cent.high_90 !== null && per_cent.high_90 <= margin) return "costs at most";
  return "open";
}

const COST_AS_VERDICT: Record<CostVerdict, CellVerdict> = {
  "costs at most": "transfers",
  "costs at least": "costs",
  open: "inconclusive",
};

/**
 * All cells must transfer (an intersection–union test, so no correction for their number); one that does not is enough.
 * @param isWhole these are all that is asked about
 */
function combine(verdicts: CellVerdict[], isWhole: boolean): CellVerdict {
  const against = verdicts.find((v) => v === "drifts" || v === "costs");
  if (against !== undefined) return against;
  const areAll = isWhole && verdicts.length > 0 && verdicts.every((v) => v === "transfers");
  return areAll ? "transfers" : "inconclusive";
}

const combineDrifts = (verdicts: DriftVerdict[], isWhole: boolean): DriftVerdict =>
  combine(verdicts, isWhole) as DriftVerdict;

function combineCosts(verdicts: CostVerdict[], isWhole: boolean): CostVerdict {
  if (verdicts.includes("costs at least")) return "costs at least";
  const areAll = isWhole && verdicts.length > 0 && verdicts.every((v) => v === "costs at most");
  return areAll ? "costs at most" : "open";
}

function widest(drifts: Drift[]): number | null {
  let within = 0;
  for (const { low_90, high_90 } of drifts) {
    if (low_90 === null || high_90 === null) return null;
    within = Math.max(within, Math.abs(low_90), Math.abs(high_90));
  }
  return drifts.length > 0 ? within : null;
}

function costsOf(regrets: Regret[], isWhole: boolean): Pick<Verdict, "costs_at_most" | "costs_at_least"> {
  const highest = regrets.map(({ per_cent }) => (isWhole ? per_cent.high_90 : null));
  const lowest = regrets.map(({ per_cent }) => per_cent.low_90).filter((v) => v !== null);
  const diverges = regrets.some(({ state }) => state === "diverges");
  return {
    costs_at_most: highest.length > 0 && highest.every((v) => v !== null) ? Math.max(...highest) : null,
    costs_at_least: lowest.length > 0 && !diverges ? Math.max(...lowest) : null,
  };
}

/** More than the last is as good as never. */
const SEED_STEPS = [1, 2, 3, 4, 6, 8, 12, 16, 24];

/** If losses and noise stay what they are, this many more seeds in the base and every undecided cell settle the verdict. */
function* moreSeeds(
  cells: readonly Read[],
  undecided: readonly number[],
  question: Question,
): Generator<void, number | null> {
  function* decides(extra: number): Generator<void, boolean> {
    const projected: Read[] = [];
    for (const [i, cell] of cells.entries()) {
      if (i === 0 || undecided.includes(i)) {
        const curve = withMoreSeeds(cell.curve, extra, cell.others);
        projected.push({ ...cell, curve, optimum: fitCurve(curve, cell.others) });
      } else projected.push(cell);
      yield;
    }
    const answers = yield* judge(projected, question);
    const verdicts = undecided.map((i) => answers[i - 1]!.verdict);
    return combine(verdicts, true) !== "inconclusive";
  }
  if (undecided.length === 0 || !(yield* decides(SEED_STEPS.at(-1)!))) return null;
  let [enough, tooFew] = [SEED_STEPS.length - 1, -1];
  while (enough - tooFew > 1) {
    const middle = (enough + tooFew) >> 1;
    if (yield* decides(SEED_STEPS[middle]!)) enough = middle;
    else tooFew = middle;
  }
  return SEED_STEPS[enough]!;
}
