/**
 * A search beside the grid that it replaces, 7 rates × 3 seeds in each of four widths whose runs cost 1, 4, 16 and 64: how often each
 * decides, how often it is wrong, and what the search costs. `npm run bench:search -- --draws=10`; docs/method.md has the table.
 */
import { parseArgs } from "node:util";
import { type Replayed, replayGrid, replaySearch, type Said } from "../orchestrator/analysis/replay.ts";
import { questionOf } from "../orchestrator/analysis/verdict.ts";
import { CRITERIA, type Criterion } from "../schema/sweep/question.ts";
import { type Family, HELD_OUT } from "./held-out-curves.ts";
import { simulateSweep, type TruthName } from "./simulated-sweep.ts";

const { values } = parseArgs({
  options: {
    draws: { type: "string", default: "4" },
    first: { type: "string", default: "0" },
    batch: { type: "string", default: "4" },
    thrift: { type: "string", default: "0.25" },
    budget: { type: "string", default: "1" },
    criterion: { type: "string", multiple: true, default: [...CRITERIA] },
    family: { type: "string", multiple: true },
    truth: { type: "string", multiple: true },
  },
});
const DRAWS = Number(values.draws);
/** From 500 on are draws that no rule of the search was chosen by. */
const FIRST = Number(values.first);
const BATCH = Number(values.batch);
const THRIFT = Number(values.thrift);
/** Of the grid's FLOPs. */
const BUDGET = Number(values.budget);

const sum = (all: readonly number[]): number => all.reduce((total, v) => total + v, 0);
const percent = (part: number, of: number): string => (of === 0 ? "–" : ((100 * part) / of).toFixed(0));

/** Those whose shapes and noise a sweep of four widths can have. */
const FAMILIES = HELD_OUT.filter(
  ({ rates, optimum, stated, seeds, name }) =>
    rates === undefined &&
    optimum === undefined &&
    stated === undefined &&
    (seeds === undefined || seeds === 3) &&
    (values.family === undefined || values.family.includes(name)),
);
const TRUTHS: Record<Criterion, TruthName[]> = {
  cost: ["no drift", "1.05% in one", "5 octaves in all"],
  octaves: ["no drift", "0.5 octave in one", "0.7 octave a step", "5 octaves in all"],
};

type Outcome = { verdict: "transfers" | "moves" | "open"; wrong: boolean; runs: number; cost: number };

function outcomeOf({ said, runs, cost }: Pick<Replayed, "said" | "runs" | "cost">): Outcome {
  const [{ verdict, wrong }] = said as [Said];
  const name = verdict === "inconclusive" ? "open" : verdict === "transfers" ? "transfers" : "moves";
  return { verdict: name, wrong, runs, cost };
}

function row(criterion: Criterion, truth: TruthName, families: readonly Family[], from: number) {
  const pairs = families.flatMap((family, f) =>
    Array.from({ length: DRAWS }, (_, i) => {
      const sweep = simulateSweep(family, truth, from + 1000 * f + FIRST + i);
      const { curves, truth: is } = sweep;
      const question = questionOf({ criterion });
      const grid = outcomeOf(replayGrid(curves, sweep.grid, is, question));
      const budget = {
        batch: BATCH,
        thrift: THRIFT,
        runs: Number.POSITIVE_INFINITY,
        cost: BUDGET * grid.cost,
      };
      const { looks, ...searched } = replaySearch(curves, is, question, budget);
      return { family: family.name, grid, search: { ...outcomeOf(searched), looks } };
    }),
  );
  const n = pairs.length;
  const of = (what: "grid" | "search") => {
    const say = (v: Outcome["verdict"]) => percent(pairs.filter((p) => p[what].verdict === v).length, n);
    return `${say("transfers")} / ${say("moves")} / ${say("open")}`;
  };
  const wrong = (what: "grid" | "search") => percent(pairs.filter((p) => p[what].wrong).length, n);
  const both = pairs.filter((p) => p.grid.verdict !== "open");
  const costs = pairs.map((p) => p.search.cost / p.grid.cost);
  const decided = pairs.filter((p) => p.search.verdict !== "open");
  const wrongs = pairs.filter((p) => p.search.wrong).map((p) => `${p.family}: ${p.search.verdict}`);
  if (wrongs.length > 0) console.log(`${criterion}, ${truth}, wrong: ${wrongs.join(", ")}`);
  return {
    criterion,
    truth,
    sweeps: n,
    "grid: transfers / moves / open %": of("grid"),
    "search: the same": of("search"),
    "wrong %: grid": wrong("grid"),
    "wrong %: search": wrong("search"),
    "same where the grid decides %": percent(
      both.filter((p) => p.search.verdict === p.grid.verdict).length,
      both.length,
    ),
    runs: (sum(pairs.map((p) => p.search.runs)) / n).toFixed(0),
    looks: (sum(pairs.map((p) => p.search.looks)) / n).toFixed(1),
    "FLOPs / grid": (sum(costs) / n).toFixed(2),
    "where it decides": (sum(decided.map((p) => p.search.cost / p.grid.cost)) / decided.length).toFixed(2),
  };
}

const started = performance.now();
console.table(
  values.criterion.flatMap((criterion) =>
    TRUTHS[criterion as Criterion]
      .filter((truth) => values.truth === undefined || values.truth.includes(truth))
      .map((truth, i) => row(criterion as Criterion, truth, FAMILIES, 10_000 * (i + 1))),
  ),
);
console.log(`${((performance.now() - started) / 1000).toFixed(0)} s`);
