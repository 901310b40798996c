/**
 * Curves of shapes that the constants were not chosen on, drawn beforehand: each optimum is known, and once lay outside what was
 * said. Rates −8 to −2 an octave apart, three seeds at each.
 */
import { describe, expect, it } from "vitest";
import { seededRandom } from "../../../bench/synthetic-curves.ts";
import { readCurve } from "../../../orchestrator/analysis/curve.ts";
import { explainFlag } from "../../../orchestrator/analysis/flags.ts";
import { fitOptimum } from "../../../orchestrator/analysis/optimum.ts";
import type { CurveInput, Optimum } from "../../../orchestrator/analysis/types.ts";
import { curveOf, sampled } from "./helpers.ts";

const fromLow = (rows: string): CurveInput =>
  curveOf(
    Object.fromEntries(
      rows.split(" | ").map((row, i) => [String(-8 + i), row.trim().split(/ +/).map(Number)]),
    ),
  );

/** Inside the interval of an estimate, or of one of the two places of a curve that can be read in two ways. */
const holds = (o: Optimum, truth: number): boolean =>
  o.flag === "ambiguous"
    ? o.places.some(({ low, high }) => low <= truth && truth <= high)
    : o.flag === "bracketed" && o.log2_tuned_low! <= truth && truth <= o.log2_tuned_high!;

describe("what is said holds the optimum of", () => {
  it("a curve whose left side is four times as steep", () => {
    const o = fitOptimum(
      fromLow(
        "3.4894 3.5823 3.5972 | 3.2304 3.2898 3.3258 | 3.0528 3.1291 3.1366 | 3.0286 3.0757 3.1103 | 3.04 3.0636 3.1115 | 3.0959 3.1252 3.1751 | 3.1775 3.2058 3.2342",
      ),
    );
    expect(holds(o, -5.147)).toBe(true);
  });

  it("a plateau that ends in a cliff", () => {
    const o = fitOptimum(
      fromLow(
        "1.6449 1.6461 1.6487 | 1.6216 1.6391 1.6342 | 1.6132 1.6255 1.6275 | 1.6227 1.615 1.6385 | 1.6155 1.6168 1.6244 | 1.6502 1.6598 1.6554 | 1.7407 1.7292 1.7476",
      ),
    );
    expect(holds(o, -4.092)).toBe(true);
  });
});

describe("two valleys", () => {
  // 1% per octave² about −6 and about −3, the hump between them 2.25% high.
  const valley = (x: number) => Math.min((x + 6) ** 2, (x + 3) ** 2);
  const rows = (second: number): Record<string, number[]> =>
    Object.fromEntries(
      [-8, -7, -6, -5, -4, -3, -2, -1].map((x) => {
        const loss = 2 * (1 + 0.01 * valley(x) + (x > -4.5 ? second : 0));
        return [String(x), [loss * 0.9995, loss, loss * 1.0005]];
      }),
    );

  it("of about one depth are said as two places", () => {
    const o = fitOptimum(curveOf(rows(0.0005)));
    expect(o.flag).toBe("ambiguous");
    expect(o.log2_tuned).toBeNull();
    expect(o.places.map((p) => Math.round(p.log2_tuned))).toEqual([-6, -3]);
    for (const { log2_tuned, low, high } of o.places) {
      expect(low).toBeLessThan(log2_tuned);
      expect(high).toBeGreaterThan(log2_tuned);
    }
  });

  it("of which one is surely the higher are a curve with the other's optimum", () => {
    const o = fitOptimum(curveOf(rows(0.02)));
    expect(o.flag).toBe("bracketed");
    expect(Math.abs(o.log2_tuned! + 6)).toBeLessThan(0.3);
  });

  it("with bumps between them are named where their points are low, not at the top of a bump", () => {
    const bumpy = (x: number) => 3 * (1 + 0.008 * (x + 6) ** 2 + 0.01 * (1 - Math.cos(2 * Math.PI * x)));
    const o = fitOptimum(
      sampled([-9, -8.5, -8, -7.5, -7, -6.5, -6, -5.5, -5, -4.5, -4, -3.5, -3], bumpy, 2, 0.001),
    );
    expect(o.flag).toBe("ambiguous");
    for (const { log2_tuned } of o.places)
      expect(Math.abs(log2_tuned - Math.round(log2_tuned))).toBeLessThan(0.3);
  });

  it.each([
    [3.25, null],
    [3.25, 3.26],
  ])(
    "of which one has no rate at which every seed trains are a curve with the other's optimum",
    (...hump) => {
      const o = fitOptimum(
        curveOf({
          "-8": [3.3, 3.31],
          "-7": [3.1, 3.11],
          "-6": [3.0, 3.005],
          "-5": [3.1, 3.105],
          "-4": hump,
          "-3": [3.0, null],
          "-2": [null, null],
        }),
      );
      expect(o.flag).toBe("bracketed");
      expect(Math.abs(o.log2_tuned! + 6)).toBeLessThan(0.1);
    },
  );
});

it.each([1, 3])(
  "the floor of a vee among rates over 38 octaves is where its points are, %i seeds",
  (seeds) => {
    const rates = Array.from({ length: 39 }, (_, i) => -24 + i);
    const o = fitOptimum(
      sampled(rates, (x) => 3 * Math.exp(0.047 * Math.abs(x + 8.8)), seeds, 1e-9),
      { stated_noise: 0.2 },
    );
    expect(o.flag).toBe("bracketed");
    expect(Math.abs(o.log2_tuned! + 8.8)).toBeLessThan(0.1);
    expect(o.loss! / 3).toBeGreaterThan(1);
    expect(o.loss! / 3).toBeLessThan(1.04);
    expect(o.loss_high! / o.loss_low!).toBeLessThan(1.1);
  },
);

it.each([100, 300, 1000])(
  "%i rates drawn at random, one seed each, are one valley where they are",
  (rates) => {
    const random = seededRandom(rates);
    const points = Array.from({ length: 5 }, () =>
      Array.from({ length: rates }, () => {
        const x = random.uniform(-9, -3);
        return [x, 3 * (1 + 0.01 * (x + 6.2) ** 2 + 0.005 * random.normal())] as const;
      }),
    );
    const optima = points.map((rows) => fitOptimum(curveOf(Object.fromEntries(rows))));
    const bracketed = optima.filter(({ flag }) => flag === "bracketed");
    expect(bracketed.length).toBeGreaterThanOrEqual(4);
    for (const { log2_tuned } of bracketed) expect(Math.abs(log2_tuned! + 6.2)).toBeLessThan(0.3);
  },
);

describe("a diverged seed", () => {
  const healthy = {
    "-8": [2.32, 2.33, 2.31, 2.32],
    "-7": [2.14, 2.15, 2.13, 2.14],
    "-6": [2.03, 2.04, 2.02, 2.03],
    "-5": [2.0, 2.01, 1.99, 2.0],
    "-4": [2.05, 2.06, 2.04, 2.05],
    "-3": [2.2, 2.21, 2.19, 2.2],
  };

  it("leaves its rate what the others say of it: the bracket stands, and the stability edge is named", () => {
    const whole = fitOptimum(curveOf(healthy));
    const o = fitOptimum(curveOf({ ...healthy, "-4": [2.05, null, 2.04, 2.05] }));
    expect(o.flag).toBe("bracketed");
    expect(o.stability_edge).toBe(-4);
    expect(Math.abs(o.log2_tuned! - whole.log2_tuned!)).toBeLessThan(0.1);
  });

  it("bounds nothing where a higher rate trained with every seed: the optimum may be at its rate or beyond", () => {
    const o = fitOptimum(
      curveOf({
        "-6": [2.2, 2.21, 2.19, 2.2],
        "-5": [2.05, 2.06, 2.04, 2.05],
        "-4": [2.0, null, 1.99, 2.0],
        "-3": [2.06, 2.07, 2.05, 2.06],
        "-2": [2.22, 2.23, 2.21, 2.22],
      }),
    );
    expect(o).toMatchObject({ flag: "bracketed", stability_edge: -4 });
    expect(Math.abs(o.log2_tuned! + 4)).toBeLessThan(0.3);
  });

  it("makes no best of its rate, however low the others' loss", () => {
    const o = fitOptimum(curveOf({ ...healthy, "-4": [1.9, null, 1.9, 1.9] }));
    expect(o.grid_log2_tuned).toBe(-5);
  });

  it("by most of its rate is a wall", () => {
    const o = fitOptimum(
      curveOf({ ...healthy, "-4": [2.05, null, null, null], "-3": [null, null, null, null] }),
    );
    expect(o.flag).toBe("edge is divergence");
    expect(o.log2_tuned_high).toBe(-4);
  });
});

describe("a steep valley", () => {
  it.each([0.2, 0.3, 0.5])("of %s an octave², without noise, is bracketed about its floor", (curvature) => {
    const o = fitOptimum(
      curveOf(
        Object.fromEntries(
          [-8, -7, -6, -5, -4, -3, -2].map((x) => [x, 3 * Math.exp(curvature * (x + 5.2) ** 2)]),
        ),
      ),
    );
    expect(o.flag).toBe("bracketed");
    expect(o.log2_tuned_low!).toBeGreaterThan(-6);
    expect(o.log2_tuned_low!).toBeLessThan(-5.2);
    expect(o.log2_tuned_high!).toBeGreaterThan(-5.2);
    expect(o.log2_tuned_high!).toBeLessThan(-4);
  });

  it("that leans four times to either side holds its optimum in the interval", () => {
    let [held, bracketed] = [0, 0];
    for (const lean of [4, 1 / 4])
      for (const curvature of [0.05, 0.1])
        for (const optimum of [-5.9, -5.7, -5.5, -5.3, -5.1, -4.9, -4.7, -4.5, -4.3, -4.1]) {
          const loss = (x: number) =>
            3 * Math.exp(curvature * (x - optimum) ** 2 * Math.sqrt(x < optimum ? 1 / lean : lean));
          const o = fitOptimum(
            curveOf(
              Object.fromEntries(
                [-8, -7, -6, -5, -4, -3, -2].map((x) => [
                  x,
                  [0, 1, 2].map((seed) => loss(x) * (1 + 0.005 * Math.sin(12.9898 * x + 78.233 * seed))),
                ]),
              ),
            ),
          );
          if (o.flag !== "bracketed") continue;
          bracketed++;
          if (o.log2_tuned_low! < optimum && optimum < o.log2_tuned_high!) held++;
        }
    expect(bracketed).toBeGreaterThan(36);
    expect(held / bracketed).toBeGreaterThan(0.9);
  });
});

describe("divergence that higher rates have passed", () => {
  const two = {
    "-8": [2.32, 2.33],
    "-7": [2.14, 2.15],
    "-6": [2.03, 2.04],
    "-5": [2.0, 2.01],
    "-4": [2.05, 2.06],
    "-3": [2.2, 2.21],
  };
  const whole = fitOptimum(curveOf(two));

  it("of half of the seeds leaves the rate what the others say of it", () => {
    const o = fitOptimum(curveOf({ ...two, "-4": [2.05, null] }));
    expect(o).toMatchObject({ flag: "bracketed", points: 6, stability_edge: -4 });
    expect(Math.abs(o.log2_tuned! - whole.log2_tuned!)).toBeLessThan(0.2);
  });

  it("of a single seed is no wall, and of three is one", () => {
    const walls = (...row: (number | null)[]) => readCurve(curveOf({ ...two, "-4": row }));
    expect(walls(null)).toMatchObject({ walls: [], doubtful: [-4] });
    expect(walls(null, null)).toMatchObject({ walls: [], doubtful: [-4] });
    expect(walls(null, null, null)).toMatchObject({ walls: [-4], doubtful: [] });
    expect(readCurve(curveOf({ ...two, "-3": [null], "-2": [null] })).walls).toEqual([-3, -2]);
  });

  it("of one seed at every rate leaves that seed out, and the stability edge says so", () => {
    const rows = Object.fromEntries(Object.entries(two).map(([x, row]) => [x, [...row, null]]));
    const o = fitOptimum(curveOf(rows));
    expect(o).toMatchObject({
      flag: "bracketed",
      seeds: 2,
      stability_edge: -8,
      log2_tuned: whole.log2_tuned,
    });
    expect(explainFlag(o)).toBe("runs diverged at 2^-8.0 too, and are left out: higher ones trained");
  });

  it("of most seeds at every rate is what the curve is", () => {
    const rows = Object.fromEntries(Object.entries(two).map(([x, [first]]) => [x, [first!, null, null]]));
    expect(fitOptimum(curveOf(rows))).toMatchObject({ flag: "too few points", points: 0 });
  });

  it("of a seed here and a seed there at every rate leaves the curve what the others say", () => {
    const rows = Object.fromEntries(
      Object.entries(two).map(([x, [a, b]], k) => [x, [k % 2 ? null : a!, k % 2 ? b! : null, a!]]),
    );
    expect(fitOptimum(curveOf(rows)).flag).toBe("bracketed");
  });
});

describe("a curve that diverges at all rates but two or fewer", () => {
  it.each([0, 1, 2])("is bounded by the lowest of them: %s trained", (trained) => {
    const rows = Object.fromEntries(
      [-5, -4, -3, -2].map((x, k) => [x, k < trained ? [2 - k / 10, 2] : [null, null]]),
    );
    const o = fitOptimum(curveOf(rows));
    expect(o).toMatchObject({ flag: "too few points", log2_tuned_low: null, log2_tuned_high: -5 + trained });
    expect(explainFlag(o)).toBe(
      `all ${trained === 0 ? "" : `but ${trained} `}LRs diverge: add lower LRs, or let extend do it`,
    );
  });
});

describe("noise", () => {
  const one = { "-8": 2.32, "-7": 2.14, "-6": 2.03, "-5": 2, "-4": 2.05, "-3": 2.2 };
  const width = (o: Optimum) => o.log2_tuned_high! - o.log2_tuned_low!;

  it("that is stated takes the place of what a single seed cannot know", () => {
    const [unknown, quiet, loud] = [undefined, 0.05, 1].map((stated_noise) =>
      fitOptimum(curveOf(one), { stated_noise }),
    );
    expect(width(quiet!)).toBeLessThan(width(unknown!));
    expect(width(loud!)).toBeGreaterThan(width(unknown!));
  });

  it("is believed however large it is stated", () => {
    const valley = curveOf(
      Object.fromEntries([-8, -7, -6, -5, -4, -3, -2].map((x) => [x, 3 * Math.exp(0.02 * (x + 5) ** 2)])),
    );
    const flags = [3, 12, 20].map((stated_noise) => fitOptimum(valley, { stated_noise }).flag);
    // A valley of 18% is seen with noise of 3%, and not with as much as itself.
    expect(flags[0]).toBe("bracketed");
    expect(flags[1]).not.toBe("bracketed");
    expect(flags[2]).toBe("too noisy");
  });

  it("of replicates that lie far apart hides an optimum that three smooth means seem to show", () => {
    const loud = (sd: number) =>
      fitOptimum(
        curveOf(
          Object.fromEntries(
            Object.entries(one).map(([x, loss], k) => [
              x,
              [0, 1, 2].map((seed) => loss * (1 + sd * Math.sin(12.9898 * k + 78.233 * seed))),
            ]),
          ),
        ),
      );
    expect(loud(0.005).flag).toBe("bracketed");
    expect(["too noisy", "at low edge", "at high edge"]).toContain(loud(0.25).flag);
  });

  it("that grows with the rate widens an interval less than as much noise everywhere", () => {
    const scattered = (sd: (x: number) => number) =>
      curveOf(
        Object.fromEntries(
          Object.entries(one).map(([x, loss], k) => {
            const s = sd(Number(x));
            return [x, [loss * (1 + s), loss * (1 - s * (k % 2)), loss * (1 - s * ((k + 1) % 2))]];
          }),
        ),
      );
    const growing = fitOptimum(scattered((x) => 0.002 * 2 ** Math.max(-1, x + 5)));
    const everywhere = fitOptimum(scattered(() => 0.008));
    expect(width(growing)).toBeLessThan(width(everywhere));
  });
});

describe("near twins", () => {
  it("are one point: the fit is that of the rate written once", () => {
    const twin = Math.log2(0.00097656);
    const rows = {
      "-12": [2.2, 2.21],
      "-11": [2.06, 2.05],
      "-10": [2, 2.01],
      "-9": [2.06, 2.07],
      "-8": [2.2, 2.21],
    };
    const split = { ...rows, "-10": [2], [String(twin)]: [null, 2.01].slice(1) };
    const o = fitOptimum({
      points: curveOf(split).points.map((p) =>
        p.log2_tuned === twin ? { ...p, seeds: [{ seed: 1, loss: 2.01, diverged: false }] } : p,
      ),
    });
    const whole = fitOptimum(curveOf(rows));
    expect(o.points).toBe(5);
    expect(o.log2_tuned!).toBeCloseTo(whole.log2_tuned!, 3);
    expect(o.log2_tuned_low!).toBeCloseTo(whole.log2_tuned_low!, 3);
  });
});
