/** What the answer compares, and how the terminal says it. */
import { expect, test } from "vitest";
import { explainFlag } from "../../../orchestrator/analysis/flags.ts";
import type { Regret } from "../../../orchestrator/analysis/types.ts";
import { readAnswer } from "../../../orchestrator/report/answer.ts";
import { answerText } from "../../../orchestrator/report/answer-text.ts";
import { driftCell, regretCell } from "../../../orchestrator/report/transfer-text.ts";
import { freshDatabase, sqliteOf, submitText, train } from "../../support/database.ts";
import { storeSynthetic, sweepYaml, valley } from "./figures/synthetic.ts";

const RATES = "  learning_rate: { log2: { from: -11, to: -4 } }\n  seed: { count: 3 }";

function answerOf(axes: string) {
  const db = freshDatabase();
  storeSynthetic(db, sweepYaml("sweep", `${axes}\n${RATES}`), valley);
  return readAnswer(db, "sweep");
}

test("in an iso-parameter sweep drift and verdict go from the densest row to the wider, sparser ones", () => {
  const answer = answerOf(`  parameterization: [mup, supar]
  together:
    - { width: 64, sparsity: 0 }
    - { width: 96, sparsity: 0.5 }
    - { width: 128, sparsity: 0.75 }`);
  expect(answer.verdicts.map((v) => [v.title, v.at.width, v.verdict.verdict])).toEqual([
    ["μP", undefined, "costs"],
    ["SμPar", undefined, "transfers"],
  ]);
  expect(answer.rows.map((r) => [r.title, r.width, r.sparsity, r.drift === null])).toEqual(
    ["μP", "SμPar"].flatMap((title) => [
      [title, 64, 0, true],
      [title, 96, 0.5, false],
      [title, 128, 0.75, false],
    ]),
  );
  const text = answerText(answer);
  expect(text).toMatch(/^param\. +width +sparsity +log2 LR\*/m);
  expect(text).toMatch(/^μP +64 +0 .* base$/m);
  expect(text).toMatch(/^μP +128 +0\.75 .* \+[12]\.\d\d +\d\.\d% \(≤ \d\.\d\d%\)$/m);
  expect(text).toMatch(
    /^SμPar: transfers by cost across sparsity 0 to 0\.75 \(width 64 to 128\): the dense optimum costs at most 0\.\d\d% of the loss/m,
  );
  expect(text).toMatch(
    /^μP: does not transfer by cost: the dense optimum costs at least \d\.\d% of the loss at sparsity 0\.75, width 128/m,
  );
});

test("where widths vary by themselves a verdict says at which width it holds", () => {
  const text = answerText(answerOf("  parameterization: supar\n  width: [64, 128]\n  sparsity: [0, 0.5]"));
  expect(text).toMatch(/^SμPar at width 64: transfers/m);
  expect(text).toMatch(/^SμPar at width 128: transfers/m);
});

test("where sparsity has one value there is no drift along it, and the heading says what varies", () => {
  const headings = (axes: string): string[] => {
    const lines = answerText(answerOf(axes)).split("\n");
    const at = lines.findIndex((line) => line.startsWith("Optimal "));
    return [lines[at]!, lines[at + 2]!.replaceAll(/ {2,}/g, "  ").trim()];
  };
  expect(headings("  parameterization: supar\n  width: [64, 128]\n  sparsity: [0]")).toEqual([
    "Optimal base learning rate per width (log2, 95% interval)",
    "param.  width  sparsity  log2 LR*  95% interval  loss there  note",
  ]);
  expect(headings("  parameterization: [mup, supar]\n  sparsity: [0.5]")[0]).toBe(
    "Optimal base learning rate (log2, 95% interval)",
  );
  expect(headings("  parameterization: supar\n  width: [64, 128]\n  sparsity: [0, 0.5]")).toEqual([
    "Optimal base learning rate per sparsity (log2, 95% interval) and its drift from the densest row, in octaves",
    expect.stringContaining("  drift  cost of base LR  note"),
  ]);
});

test("a curve whose best rate stands beside a run that is still to be trained is said to be training", () => {
  const db = freshDatabase();
  submitText(
    db,
    `name: begun
data: { corpus: moby-dick }
model: { width: 32, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 32 }
axes: { parameterization: [supar], learning_rate: { log2: { from: -9, to: -5 } } }
`,
  );
  const rows = sqliteOf(db).prepare("SELECT run, log2_lr FROM run_results").all() as {
    run: string;
    log2_lr: number;
  }[];
  for (const { run, log2_lr } of rows) if (log2_lr !== -6) train(db, run, 3 + 0.6 * (log2_lr + 7) ** 2);
  expect(answerText(readAnswer(db, "begun"))).toMatch(/still training, 1 to come$/m);
  const { optimum } = readAnswer(db, "begun").rows[0]!;
  expect(explainFlag(optimum)).toBe("runs missing beside the best");
});

test("a bound in a table is rounded so that it holds", () => {
  const nothing = { estimate: null, low: null, high: null, low_90: null, high_90: null };
  expect(driftCell({ ...nothing, low: 0.58 })).toBe("≥ +0.5");
  expect(driftCell({ ...nothing, low: -0.58 })).toBe("≥ -0.6");
  expect(driftCell({ ...nothing, high: -0.58 })).toBe("≤ -0.5");
  expect(driftCell({ ...nothing, low: 0.18, high: 0.51 })).toBe("+0.1…+0.6");
  const cost = (state: Regret["state"], per_cent: object): string =>
    regretCell({ state, nats: nothing, per_cent: { ...nothing, ...per_cent } });
  // Not the 95% interval's end: the bound that the sentence says.
  expect(cost("outside", { low: 0.81, low_90: 0.96 })).toBe("≥ 0.9%");
  expect(cost("known", { estimate: 0.31, high_90: 0.991 })).toBe("0.3% (≤ 1.00%)");
  expect(cost("known", { estimate: 9.98, high_90: 10.01 })).toBe("10.0% (≤ 10.1%)");
});
