/** Which runs tell most: by symmetry, by cost, and against what fits of curves with those runs say. */
import { describe, expect, it } from "vitest";
import { type Ask, chooseRuns, type RunChoice } from "../../../orchestrator/analysis/choose-runs.ts";
import { readCurve } from "../../../orchestrator/analysis/curve.ts";
import { type Posterior, posterior } from "../../../orchestrator/analysis/posterior.ts";
import { curveOf } from "./helpers.ts";

const NOISE = { sd: 0.004, df: 400 };
/** 1% per octave², at rates and with so many seeds of little scatter. */
const fitted = (x0: number, rates: number[], seeds = 1): Posterior =>
  posterior(readCurve(curveOf(losses(x0, rates, seeds))), NOISE);
const losses = (x0: number, rates: number[], seeds: number): Record<string, number[]> =>
  Object.fromEntries(
    rates.map((x, k) => [
      String(x),
      Array.from(
        { length: seeds },
        (_, s) => 2 * Math.exp(0.01 * (x - x0) ** 2) * (1 + 0.0005 * Math.sin(5 * k + 3 * s)),
      ),
    ]),
  );
const RATES = [-8, -7, -6, -5, -4];
const at = (cell: number, cost = 1): RunChoice[] =>
  RATES.map((log2_tuned) => ({ cell, log2_tuned, seeds: 1, cost }));
const DRIFT: Ask = { cell: 1, base: 0, about: "drift" };
const sd = (p: Posterior): number => (p.quantile(0.84) - p.quantile(0.16)) / 2;

describe("runs are chosen", () => {
  it("on the flanks for a drift, not at the floor, where the loss hardly changes with the optimum", () => {
    const cells = [fitted(-6, RATES), fitted(-6, RATES)];
    const chosen = chooseRuns(cells, [...at(0), ...at(1)], [DRIFT], 4).runs;
    expect(chosen).toHaveLength(4);
    for (const { log2_tuned } of chosen) expect(log2_tuned).not.toBe(-6);
  });

  it("in the cell that is less known", () => {
    const cells = [fitted(-6, RATES, 6), fitted(-6, RATES)];
    const choices = [...at(0).map((c) => ({ ...c, seeds: 6 })), ...at(1)];
    const [first] = chooseRuns(cells, choices, [DRIFT], 1).runs;
    expect(first!.cell).toBe(1);
  });

  it("where they are cheap: the gain is per cost", () => {
    const cells = [fitted(-6, RATES), fitted(-6, RATES)];
    const [dear] = chooseRuns(cells, at(1, 10), [DRIFT], 1).runs;
    const [cheap] = chooseRuns(cells, at(1, 1), [DRIFT], 1).runs;
    expect(cheap!.gain).toBeCloseTo(10 * dear!.gain, 12);
    expect(chooseRuns(cells, [...at(0, 10), ...at(1, 1)], [DRIFT], 1).runs[0]!.cell).toBe(1);
  });

  it("in the cell itself for a regret: the base's rate is as it is", () => {
    const cells = [fitted(-6, RATES), fitted(-5.5, RATES)];
    const chosen = chooseRuns(cells, [...at(0), ...at(1)], [{ cell: 1, base: 0, about: "regret" }], 3).runs;
    expect(chosen.map((c) => c.cell)).toEqual([1, 1, 1]);
  });

  it("each with less to gain than the one before, of equal cost", () => {
    const cells = [fitted(-6, RATES), fitted(-5.7, RATES)];
    const gains = chooseRuns(cells, [...at(0), ...at(1)], [DRIFT], 8).runs.map((c) => c.gain);
    expect(gains[0]!).toBeGreaterThan(0);
    expect(gains[0]!).toBeLessThan(1);
    expect(gains.at(-1)!).toBeLessThan(gains[0]!);
  });

  it("and none where nothing is undecided", () => {
    const cells = [fitted(-6, RATES), fitted(-6, RATES)];
    expect(chooseRuns(cells, at(1), [], 3).runs).toEqual([]);
  });
});

it("runs that are chosen narrow an optimum more than as many at the rate that tells least", () => {
  const before = fitted(-6, RATES);
  const [best] = chooseRuns([before, before], at(1), [DRIFT], 1).runs;
  const withMore = (rate: number): number => {
    const rows = losses(-6, RATES, 1);
    rows[String(rate)] = [...losses(-6, [rate], 4)[String(rate)]!];
    return sd(posterior(readCurve(curveOf(rows)), NOISE));
  };
  expect(withMore(best!.log2_tuned)).toBeLessThan(withMore(-6));
  expect(withMore(best!.log2_tuned)).toBeLessThan(sd(before));
});
