/**
 * Every shape that a valley may have in the fit, and how likely each is beforehand: a family, how lopsided it is, and how
 * closely the curve keeps to it.
 */
import { exponentialValley, halfParabolas, type Valley } from "./shapes.ts";

/** How far a curve may differ from its valley. */
type Fidelity = {
  /** Each side may climb as |u|^(2 + b) instead of u²; standard deviation of b. */
  bend: number;
  /** And at every point, at height d (log loss) above the minimum, it may miss by linear·d + quadratic·d². */
  linear: number;
  quadratic: number;
};
/** Some curves are their valley, others only resemble one: both are tried, and the curve decides. */
const FIDELITIES: Fidelity[] = [
  { bend: 0.05, linear: 0.02, quadratic: 0.1 },
  { bend: 0.5, linear: 0.06, quadratic: 0.4 },
];

export const LOOSEST_BEND = Math.max(...FIDELITIES.map(({ bend }) => bend));

/** Skews that are tried: −2.2 to 3.2. */
export const SKEWS = Array.from({ length: 13 }, (_, i) => -2.2 + 0.45 * i);
const FAMILIES = [
  { make: halfParabolas, weight: 1 },
  { make: exponentialValley, weight: 0.5 },
];

export type Candidate = Fidelity & {
  valley: Valley;
  /** Index into SKEWS. */
  skew: number;
  /** ln of how much steeper the right side is than the left, one octave from the minimum. */
  lean: number;
  log_weight: number;
};

export const CANDIDATES: Candidate[] = FAMILIES.flatMap(({ make, weight }) =>
  SKEWS.flatMap((value, skew) => {
    const valley = make(value);
    const lean = Math.log(valley.excess(1) / valley.excess(-1));
    return FIDELITIES.map((fidelity) => ({ ...fidelity, valley, skew, lean, log_weight: Math.log(weight) }));
  }),
);

/**
 * Most learning-rate curves of language models lean as these do (195 of them at one octave: 5 to 95% is ln 0.68 to ln 2.48, docs/method.md),
 * some lean as they like.
 */
const USUAL = { mean: 0.25, sd: 0.5 };
const UNUSUAL = { mean: 0.45, sd: 1.5 };
/** A curve with so few points near its minimum hardly shows its shape, and is taken for a usual one; with so many it speaks for itself. */
const UNUSUAL_SHARE = { few: 3, share_of_few: 0.15, many: 5, share_of_many: 0.8 };

const normal = (x: number, { mean, sd }: { mean: number; sd: number }): number =>
  Math.exp(-0.5 * ((x - mean) / sd) ** 2) / sd;

/** Weights of SKEWS that sum to one. @param unusual share of curves that lean as they like */
export function skewWeights(unusual: number, usual = USUAL): number[] {
  const of = (what: { mean: number; sd: number }) => {
    const raw = SKEWS.map((s) => normal(s, what));
    const total = raw.reduce((sum, w) => sum + w, 0);
    return raw.map((w) => w / total);
  };
  const [a, b] = [of(usual), of(UNUSUAL)];
  return a.map((w, i) => (1 - unusual) * w + unusual * b[i]!);
}

/** How far so many points within the walls show the shape of the valley between them: from 0 to 1. */
export function shapeShown(near: number): number {
  const { few, many } = UNUSUAL_SHARE;
  return Math.min(1, Math.max(0, (near - few) / (many - few)));
}

/** ln of the weights. */
export function skewPrior(shown: number): number[] {
  const { share_of_few, share_of_many } = UNUSUAL_SHARE;
  return skewWeights(share_of_few + (share_of_many - share_of_few) * shown).map(Math.log);
}

/** Whether the right side is between half and four times as steep as the left. */
export const isUsual = ({ lean }: Candidate): boolean => lean > -0.8 && lean < 1.3;
