/**
 * The two families of lopsided valleys that the fit averages over, both one parameter wide. Excess loss is
 * `curvature · excess(u)`, u octaves from the minimum, excess(0) = 0, excess ≈ u² at skew 0.
 */
export type Valley = {
  /** Positive: the right side is the steeper one. */
  skew: number;
  excess: (u: number) => number;
  /** Octaves left (right) of the minimum at which the excess reaches `level`; both positive. */
  left: (level: number) => number;
  right: (level: number) => number;
};

/** Two half parabolas that meet at the minimum; the skew is ln of how much steeper the right one is. */
export function halfParabolas(skew: number): Valley {
  const left = Math.exp(-skew / 2);
  const right = Math.exp(skew / 2);
  return {
    skew,
    excess: (u) => u * u * (u < 0 ? left : right),
    left: (level) => Math.sqrt(level / left),
    right: (level) => Math.sqrt(level / right),
  };
}

/** How fast the exponential bends with the skew. Its sides differ the more the farther out: at 1 octave by exp(skew/3), at 3 by exp(skew). */
const EXPONENTIAL_RATE = 0.5;

/** 2(e^{ku} − 1 − ku)/k²: smooth, steep on the right, bending into a line on the left. */
export function exponentialValley(skew: number): Valley {
  const k = EXPONENTIAL_RATE * skew;
  const excess = (u: number) => {
    const z = k * u;
    return Math.abs(z) < 1e-3 ? u * u * (1 + z / 3) : (2 * (Math.expm1(z) - z)) / (k * k);
  };
  const slope = (u: number) => {
    const z = k * u;
    return Math.abs(z) < 1e-3 ? 2 * u * (1 + z / 2) : (2 * Math.expm1(z)) / k;
  };
  /** Newton from above: the valley is convex, so every step stays above and the last few digits come at once. */
  const reach = (level: number, side: 1 | -1) => {
    let u = side * Math.sqrt(level);
    while (excess(u) < level) u *= 1.25;
    const MAX_STEPS = 20;
    for (let i = 0; i < MAX_STEPS; i++) {
      const step = (excess(u) - level) / slope(u);
      u -= step;
      if (Math.abs(step) < 1e-10 * Math.abs(u)) break;
    }
    return Math.abs(u);
  };
  return { skew, excess, left: (level) => reach(level, -1), right: (level) => reach(level, 1) };
}
