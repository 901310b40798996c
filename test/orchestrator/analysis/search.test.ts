/** What a search does next: on valleys without noise, whose numbers can be worked by hand. */
import { describe, expect, it } from "vitest";
import { nextRuns } from "../../../orchestrator/analysis/search.ts";
import type { SearchLimits } from "../../../orchestrator/analysis/search-choices.ts";
import type { SearchedCurve, Spot } from "../../../orchestrator/analysis/search-curves.ts";
import { type Question, questionOf } from "../../../orchestrator/analysis/verdict.ts";

const WIDTHS = [128, 256, 512, 1024];
const LIMITS: SearchLimits = { batch: 4, thrift: 1, runs: 200, cost: 10_000 };
const QUESTION = { ...questionOf({}), stated_noise: 0.1 };

/** Half octaves from −5; 1% an octave² around each width's optimum; a run costs the square of the width. */
function sweep(optima: readonly number[], planned: readonly (readonly Spot[])[]): SearchedCurve[] {
  return optima.map((optimum, k) => ({
    curve: `width ${WIDTHS[k]}`,
    coordinates: { parameterization: "sp", width: WIDTHS[k]!, layers: 2, sparsity: 0 },
    input: {
      points: [...new Set(planned[k]!.map((spot) => spot.log2_tuned))].map((x) => ({
        log2_tuned: x,
        missing: 0,
        seeds: planned[k]!.filter((spot) => spot.log2_tuned === x).map(({ seed }) => ({
          seed,
          loss: 3 * Math.exp(0.01 * (x - optimum) ** 2) * (1 + 0.0004 * Math.sin(7 * x + 3 * seed)),
          diverged: false,
        })),
      })),
    },
    planned: planned[k]!,
    middle: -5,
    first_seed: 1,
    cost: 4 ** k,
  }));
}

/** Does what the search asks for until it stops. */
function searchOut(
  optima: readonly number[],
  question: Question & { stated_noise?: number } = QUESTION,
  limits = LIMITS,
) {
  const planned: Spot[][] = optima.map(() => []);
  const looks: string[][] = [];
  for (;;) {
    const count = planned.flat().length;
    const spent = planned.reduce((sum, spots, k) => sum + spots.length * 4 ** k, 0);
    const step = nextRuns(sweep(optima, planned), question, {
      ...limits,
      runs: limits.runs - count,
      cost: limits.cost - spent,
    });
    if (step.stopped !== null) return { ...step, planned, looks, spent };
    looks.push(step.runs.map(({ curve, log2_tuned, seed }) => `${curve}: ${log2_tuned} seed ${seed}`));
    for (const { curve, log2_tuned, seed } of step.runs)
      planned[WIDTHS.findIndex((w) => curve === `width ${w}`)]!.push({ log2_tuned, seed });
  }
}

/** Nothing costs that much. */
const DEAR = { ...QUESTION, margin: { octaves: 0.5, cost: 50 } };
const FIRST = (width: number, at: number, seed = 1) =>
  [-1.5, 0, 1.5].map((u) => `width ${width}: ${at + u} seed ${seed}`);

describe("a search", () => {
  it("starts the two narrowest in the middle of the file's rates, with a second seed where the noise is not stated", () => {
    const none = WIDTHS.map(() => []);
    const lines = (question: Question) =>
      nextRuns(sweep([-5, -5, -5, -5], none), question, LIMITS).runs.map(
        (r) => `${r.curve}: ${r.log2_tuned} seed ${r.seed}`,
      );
    expect(lines(QUESTION)).toEqual([...FIRST(128, -5), ...FIRST(256, -5)]);
    expect(lines(questionOf({}))).toEqual([
      ...FIRST(128, -5),
      ...FIRST(128, -5, 2),
      ...FIRST(256, -5),
      ...FIRST(256, -5, 2),
    ]);
  });

  it("brackets first, one octave at a time beyond the edge, and says why", () => {
    const { runs } = nextRuns(sweep([-5, -7], [spots(-5), spots(-5)]), DEAR, LIMITS);
    expect(runs).toEqual([
      {
        curve: "width 256",
        log2_tuned: -7.5,
        seed: 1,
        reason: "search: the optimum may lie below the rates tried",
      },
    ]);
  });

  it("starts a wider curve where a drift of the narrower ones leads", () => {
    // 1.5 octaves a doubling: the third lies near −8. By then its start costs no more than what its neighbours have had.
    const four = [1, 2, 3, 4].flatMap((seed) => spots(-6.5, seed));
    const { runs } = nextRuns(sweep([-5, -6.5, -8, -9.5], [spots(-5), four, [], []]), DEAR, LIMITS);
    expect(runs.map((r) => `${r.curve}: ${r.log2_tuned} seed ${r.seed}`)).toEqual(FIRST(512, -8));
    expect(runs[0]!.reason).toBe("search: start where width 256 suggests, near 2^-7.9");
  });

  it("measures the noise before it starts another curve, where nothing but that keeps a cost from being sure", () => {
    // One seed: twelve rates about −8, where the base's rate of −5 costs 9%.
    const one = Array.from({ length: 12 }, (_, k) => ({ log2_tuned: -10.5 + k / 2, seed: 1 }));
    const { runs } = nextRuns(sweep([-5, -8, -11], [spots(-5), one, []]), questionOf({}), LIMITS);
    expect(runs.map((r) => `${r.curve}: ${r.log2_tuned} seed ${r.seed}`)).toEqual(FIRST(128, -5, 2));
    expect(runs[0]!.reason).toBe("search: another seed, to measure the noise");
  });

  it("decides that nothing is lost, the widest last", () => {
    const { stopped, questions, spent, looks } = searchOut([-5.1, -5.1, -5, -5.1]);
    expect(stopped).toBe("decided");
    expect(questions).toMatchObject([
      { axis: "width", state: "decided", says: "every cost is surely within the margin" },
    ]);
    expect(looks.at(-1)!.some((line) => line.startsWith("width 1024"))).toBe(true);
    // A grid of seven rates and three seeds costs 21 × 85.
    expect(spent).toBeLessThan((21 * 85) / 4);
  });

  it("stops at the first width that surely loses more, and never trains the widest", () => {
    const { stopped, questions, planned } = searchOut([-5, -6.7, -8.4, -10]);
    expect(stopped).toBe("decided");
    expect(questions[0]!.says).toMatch(/^the cost at width (256|512) is surely beyond the margin$/);
    expect(planned[3]).toEqual([]);
  });

  it("gives a drift at the margin up, before the budget is spent", () => {
    const octaves = { ...QUESTION, criterion: "octaves" as const };
    const { stopped, spent } = searchOut([-5, -5.5], octaves, { ...LIMITS, cost: 150 });
    expect(stopped).toMatch(/^drift at width 256 .* the runs that are left/);
    expect(spent).toBeLessThan(150);
  });

  it("never spends more than its budget", () => {
    const { stopped, planned } = searchOut([-5, -5, -5, -5], QUESTION, { ...LIMITS, runs: 8 });
    expect(planned.flat()).toHaveLength(8);
    expect(stopped).toBe("its budget is spent");
  });

  it("asks along depth and along the length of training, each with its own base", () => {
    const curves = [2, 4].flatMap((layers) =>
      [1e6, 4e6].map((tokens) => ({
        ...sweep([-5], [[]])[0]!,
        curve: JSON.stringify({ layers, tokens }),
        coordinates: { parameterization: "sp", width: 64, layers, sparsity: 0, tokens },
      })),
    );
    const { runs, questions } = nextRuns(curves, QUESTION, LIMITS);
    expect(
      questions.map(({ axis, curves: of }) => [axis, ...of.map((curve) => JSON.parse(curve) as object)]),
    ).toEqual([
      ["layers", { layers: 2, tokens: 1e6 }, { layers: 4, tokens: 1e6 }],
      ["layers", { layers: 2, tokens: 4e6 }, { layers: 4, tokens: 4e6 }],
      ["tokens", { layers: 2, tokens: 1e6 }, { layers: 2, tokens: 4e6 }],
      ["tokens", { layers: 4, tokens: 1e6 }, { layers: 4, tokens: 4e6 }],
    ]);
    // The fourth waits for the two before it.
    expect(new Set(runs.map((r) => r.curve)).size).toBe(3);
  });

  it("seeks the optimum of a curve that stands alone", () => {
    const { stopped, questions } = searchOut([-7.2]);
    expect(stopped).toBe("decided");
    expect(questions).toMatchObject([{ axis: null, says: "its optimum is bracketed" }]);
  });

  it("goes below rates all of which diverge, and between the best and a wall", () => {
    const [curve] = sweep([-5], [spots(-5)]);
    const next = (from: number) =>
      nextRuns([walled(curve!, from)], QUESTION, LIMITS).runs.map((r) => r.log2_tuned);
    expect(next(-10)).toEqual([-8]);
    expect(next(-4)).toEqual([-4.25]);
  });
});

/** Searches three widths whose runs end as `loss` says, of equal cost. */
function searchThrough(loss: (width: number, x: number, seed: number) => number | null, runs = 37) {
  const planned: Spot[][] = [[], [], []];
  for (;;) {
    const curves = sweep([-5, -5, -5], planned).map((curve, k) => ({
      ...curve,
      cost: 1,
      input: {
        points: curve.input.points.map((p) => ({
          ...p,
          seeds: p.seeds.map(({ seed }) => {
            const end = loss(WIDTHS[k]!, p.log2_tuned, seed);
            return { seed, loss: end, diverged: end === null };
          }),
        })),
      },
    }));
    const step = nextRuns(curves, QUESTION, { ...LIMITS, runs: runs - planned.flat().length });
    if (step.stopped !== null) return { ...step, planned };
    for (const { curve, log2_tuned, seed } of step.runs)
      planned[WIDTHS.findIndex((w) => curve === `width ${w}`)]!.push({ log2_tuned, seed });
  }
}

describe("a search where training breaks", () => {
  const valley = (x: number, seed: number) =>
    3 * Math.exp(0.01 * (x + 5) ** 2) * (1 + 0.0004 * Math.sin(7 * x + 3 * seed));

  it("tries another seed where one diverges at every rate, and goes on with that", () => {
    for (const broken of WIDTHS.slice(0, 3)) {
      const { stopped, planned } = searchThrough((width, x, seed) =>
        width === broken && seed === 1 ? null : valley(x, seed),
      );
      expect(stopped).toBe("decided");
      expect(Math.min(...planned.flat().map(({ log2_tuned }) => log2_tuned))).toBeGreaterThan(-14);
    }
  });

  it("takes two ways to write one rate for one, whose seeds have all run", () => {
    const twice = [-8, -7, -6, -5, -4, -3, -2].flatMap((x) => [
      { log2_tuned: x, seed: 1 },
      { log2_tuned: x + 1e-5, seed: 2 },
    ]);
    const { runs } = nextRuns(
      sweep([-5, -4.2], [twice, twice]),
      { ...QUESTION, stated_noise: 1 },
      { ...LIMITS, batch: 30, thrift: Number.POSITIVE_INFINITY },
    );
    const again = runs.filter(({ log2_tuned }) =>
      twice.some((spot) => Math.abs(spot.log2_tuned - log2_tuned) < 0.01),
    );
    expect(again.length).toBeGreaterThan(0);
    for (const { log2_tuned, seed } of again) {
      expect(Number.isInteger(log2_tuned)).toBe(true);
      expect(seed).toBeGreaterThan(2);
    }
  });

  it("tries another seed once where one diverged, and says so, also where two axes ask for it", () => {
    // Widths 128 and 256 at sparsities 0 and 0.5; the last lies beside a wall that one seed has shown.
    const rows = [
      [
        0,
        0,
        "-7.5 3.034 2.994, -6 3.021 3.054, -4.5 3.080 3.060, -8.5 3.044, -9.5 3.063, -5.5 3.015, -5 3.066, -9 3.046",
      ],
      [0, 0.5, "-7.5 3.006 3.083, -6 3.007 3.073, -4.5 3.077 3.159, -8.5 3.081"],
      [1, 0, "-7.5 3.014, -6 3.038, -4.5 3.048, -8.5 3.053, -5 3.064, -5.5 3.025, -8 3.022, -9.5 3.089"],
      [1, 0.5, "-8 3.033, -6.5 3.081, -5 3.054, -9 3.071, -4.5 3.055, -4 3.045, -3.5 nan, -8.5 3.087"],
    ] as const;
    const curves = rows.map(([k, sparsity, text]): SearchedCurve => {
      const points = text.split(", ").map((row) => {
        const [log2_tuned, ...losses] = row.split(" ").map(Number);
        const seeds = losses.map((loss, seed) => ({
          seed: seed + 1,
          loss: Number.isNaN(loss) ? null : loss,
          diverged: Number.isNaN(loss),
        }));
        return { log2_tuned: log2_tuned!, missing: 0, seeds };
      });
      return {
        curve: `width ${WIDTHS[k]}, sparsity ${sparsity}`,
        coordinates: { parameterization: "sp", width: WIDTHS[k]!, layers: 2, sparsity },
        input: { points },
        planned: points.flatMap(({ log2_tuned, seeds }) => seeds.map(({ seed }) => ({ log2_tuned, seed }))),
        middle: -6,
        first_seed: 1,
        cost: 4 ** k,
      };
    });
    const question = questionOf({ criterion: "octaves", margin: { octaves: 2 } });
    const { runs } = nextRuns(curves, question, { ...LIMITS, batch: 1, thrift: Number.POSITIVE_INFINITY });
    expect(runs).toEqual([
      {
        curve: "width 256, sparsity 0.5",
        log2_tuned: -3.5,
        seed: 2,
        reason: "search: another seed, since a run diverged there",
      },
    ]);
  });

  it("believes no single divergence: neither at the base's rate, nor beside the best", () => {
    for (const at of [-5, -3.5, -6.5]) {
      const { questions, planned } = searchThrough((width, x, seed) =>
        width === 256 && x === at && seed === 1 ? null : valley(x, seed),
      );
      expect(questions).toMatchObject([{ state: "decided", says: "every cost is surely within the margin" }]);
      expect(planned.flat().length).toBeLessThan(37);
    }
    const { questions, planned } = searchThrough((width, x, seed) =>
      width === 256 && x >= -5 ? null : valley(x, seed),
    );
    expect(questions).toMatchObject([{ says: "the cost at width 256 is surely beyond the margin" }]);
    expect(planned[1]!.filter(({ log2_tuned }) => log2_tuned >= -5).some(({ seed }) => seed === 2)).toBe(
      true,
    );
  });

  it("gives up what nothing brackets, with the reason, long before its budget", () => {
    const ends = {
      falls: searchThrough(
        (_, x, seed) => 3 * Math.exp(-0.01 * x) * (1 + 0.0004 * Math.sin(7 * x + 3 * seed)),
        100,
      ),
      flat: searchThrough((_, x, seed) => 3 * (1 + 0.0004 * Math.sin(7 * x + 3 * seed)), 100),
      diverges: searchThrough((width, x, seed) => (width === 128 ? null : valley(x, seed)), 100),
    };
    expect(ends.falls.stopped).toMatch(/^the loss of width 128 still falls at 2\^\d+\.5$/);
    expect(ends.flat.stopped).toMatch(
      /^the loss of width \d+ is flat within its noise from 2\^-?[\d.]+ to 2\^-?[\d.]+$/,
    );
    expect(ends.diverges.stopped).toMatch(/^every rate of width 128 from 2\^-\d+\.5 to 2\^-3\.5 diverges$/);
    for (const { planned } of Object.values(ends))
      for (const own of planned) expect(own.length).toBeLessThan(20);
  });
});

describe("a base's optimum just beyond another curve's last rate", () => {
  /** Log2 of 1e-4, 3e-4, …, 1e-2: −6.644 is the last, and −6.466 on its lattice. The base is best at −6.55. */
  const rates = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2].map(Math.log2);
  const beyond = (more: readonly Spot[], wall = Number.POSITIVE_INFINITY): SearchedCurve[] => {
    const base = [-3, -2, -1, 0, 1, 2, 3].map((k) => ({ log2_tuned: -6.55 + k / 2, seed: 1 }));
    const own = rates.map((log2_tuned) => ({ log2_tuned, seed: 1 }));
    const [first, second] = sweep([-6.55, -8.4], [base, [...own, ...more]]);
    return [first!, walled({ ...second!, middle: (rates[0]! + rates[4]!) / 2 }, wall)];
  };

  it("is measured from its other side, and decided", () => {
    const { runs } = nextRuns(beyond([]), DEAR, LIMITS);
    // −6.466 lies within a quarter octave of the last rate: the next is −6.216.
    expect(runs).toEqual([
      {
        curve: "width 256",
        log2_tuned: expect.closeTo(-6.216, 3) as number,
        seed: 1,
        reason: "search: the base's optimum seems cheap here: measured beside it",
      },
    ]);
    expect(nextRuns(beyond(runs), DEAR, LIMITS).stopped).toBe("decided");
  });

  it("is given up where a wall leaves no room, and not measured for ever at the rates below", () => {
    const { stopped, runs } = nextRuns(beyond([{ log2_tuned: -6.4, seed: 1 }], -6.4), DEAR, LIMITS);
    expect(runs).toEqual([]);
    expect(stopped).toBe("cost at width 256 stays open: no rate beside the base's optimum is left to try");
  });

  it("is given up once its rates have had eight seeds without a result", () => {
    const more: Spot[] = [];
    for (;;) {
      const curves = beyond(more);
      // No run beyond the last rate has a result.
      const input = { points: curves[1]!.input.points.filter((p) => p.log2_tuned <= rates[4]!) };
      const { runs, stopped } = nextRuns([curves[0]!, { ...curves[1]!, input }], DEAR, LIMITS);
      if (stopped !== null) break;
      expect(runs.every(({ curve, log2_tuned }) => curve === "width 256" && log2_tuned > -6.55)).toBe(true);
      more.push(...runs);
    }
    expect(Math.max(...more.map(({ seed }) => seed))).toBe(8);
  });
});

const walled = (curve: SearchedCurve, from: number): SearchedCurve => ({
  ...curve,
  input: {
    points: curve.input.points.map((p) =>
      p.log2_tuned < from ? p : { ...p, seeds: [{ seed: 1, loss: null, diverged: true }] },
    ),
  },
});

const spots = (at: number, seed = 1): Spot[] => [-1.5, 0, 1.5].map((u) => ({ log2_tuned: at + u, seed }));
