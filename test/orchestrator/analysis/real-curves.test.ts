/**
 * Curves of real training, 402 runs (docs/results.md): nobody knows their optima, but what a part of the runs says has to hold what all
 * of them say.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { fitOptimum } from "../../../orchestrator/analysis/optimum.ts";
import type { Optimum } from "../../../orchestrator/analysis/types.ts";
import { readTable } from "../../../orchestrator/import/read-table.ts";
import { packageRoot } from "../../../schema/wire/package.ts";
import { curveOf } from "./helpers.ts";

type Run = { x: number; seed: number; loss: number };

const FILE = "docs/results/lr-vs-sparsity.csv";
const curves = new Map<string, Run[]>();
for (const { cells } of readTable(readFileSync(join(packageRoot(), FILE), "utf8"), FILE).rows) {
  const of = (column: string) => cells[column];
  const name = `${of("parameterization")}, sparsity ${of("sparsity")}`;
  const run = {
    x: Math.log2(Number(of("learning_rate"))),
    seed: Number(of("seed")),
    loss: Number(of("val_loss")),
  };
  curves.set(name, [...(curves.get(name) ?? []), run]);
}

function optimumOf(runs: readonly Run[]): Optimum {
  const rates: Record<string, number[]> = {};
  for (const { x, loss } of runs) rates[x] = [...(rates[x] ?? []), loss];
  return fitOptimum(curveOf(rates));
}

/** Within its interval, or its bound. */
const holds = ({ log2_tuned_low, log2_tuned_high }: Optimum, at: number): boolean =>
  (log2_tuned_low ?? Number.NEGATIVE_INFINITY) <= at && at <= (log2_tuned_high ?? Number.POSITIVE_INFINITY);

it("21 curves are bracketed by all their runs", () => {
  expect(curves.size).toBe(21);
  for (const runs of curves.values()) expect(optimumOf(runs).flag).toBe("bracketed");
});

it("one seed's interval holds what three seeds find, nineteen times in twenty", () => {
  const said = [...curves.values()].flatMap((runs) => {
    const all = optimumOf(runs).log2_tuned!;
    return [1, 2, 3].map((seed) => holds(optimumOf(runs.filter((run) => run.seed === seed)), all));
  });
  // At a true 95%, 56 of 63 or fewer are chance in 4% of the cases.
  expect(said.filter(Boolean).length).toBeGreaterThanOrEqual(57);
});

it("every other rate of SμPar's finer grids finds what all rates find", () => {
  for (const [name, runs] of curves) {
    if (!name.startsWith("supar")) continue;
    const all = optimumOf(runs).log2_tuned!;
    const rates = [...new Set(runs.map(({ x }) => x))].sort((a, b) => a - b);
    for (const half of [0, 1])
      expect(
        holds(optimumOf(runs.filter(({ x }) => rates.indexOf(x) % 2 === half)), all),
        `${name}, ${half}`,
      ).toBe(true);
  }
});
