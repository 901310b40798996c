/** What is recommended for another width and sparsity, against the multipliers worked by hand. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { recommend } from "../../../orchestrator/report/recommend.ts";
import { pytorchSnippet, recommendationText } from "../../../orchestrator/report/recommend-text.ts";
import { freshDatabase, sqliteOf, submitText, train } from "../../support/database.ts";
import { describeWithTorch, torchPython } from "../../support/torch-python.ts";

const SWEEP = `name: proxy
data: { corpus: moby-dick }
model: { width: 256, layers: 2, d_head: 64, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 256, init_std: 0.08665602 }
axes:
  parameterization: [sp, supar]
  sparsity: [0]
  learning_rate: { log2: { from: -9, to: -3 } }
  seed: [1, 2, 3]
`;

/** Both parameterizations have their valley at 2^-6; SP's is higher. */
function trained(text = SWEEP, worst = 0) {
  const db = freshDatabase();
  submitText(db, text);
  const rows = sqliteOf(db)
    .prepare<[], { run: string; log2_lr: number; parameterization: string; seed: number }>(
      "SELECT * FROM run_results",
    )
    .all();
  for (const { run, log2_lr, parameterization, seed } of rows) {
    const valley = 0.02 * (log2_lr + 6) ** 2 + (log2_lr === -6 ? worst : 0);
    train(db, run, (parameterization === "sp" ? 3 : 2) + valley + 0.001 * seed);
  }
  return db;
}

it("carries the proxy's rate through the rules: m_d·m_ρ = 16 · 2^-6 = 1/4", () => {
  const r = recommend(trained(), "proxy", { width: 4096, sparsity: 1 - 2 ** -6 });
  expect(r.title).toBe("SμPar");
  expect(Math.log2(r.learning_rate)).toBeCloseTo(-6, 1);
  const query = r.resolved.rows.find((row) => row.group === "attention_query")!;
  expect(query.init_std).toBeCloseTo(0.1733, 4);
  expect(query.learning_rate / r.learning_rate).toBeCloseTo(4, 10);
  expect(query.weights_per_neuron).toBe(64);
  expect(r.cautions).toEqual([
    "width 4096 is 16 times the widest model of the sweep",
    "sparsity 0.984375 is beyond the sweep's 0",
  ]);
  expect(pytorchSnippet(r)).toContain('"attention_query": dict(');
});

it("takes the parameterization that is asked for, and says what it does not promise", () => {
  const r = recommend(trained(), "proxy", { width: 512, sparsity: 0.5, parameterization: "sp" });
  const query = r.resolved.rows.find((row) => row.group === "attention_query")!;
  expect(query.learning_rate).toBe(r.learning_rate);
  expect(r.cautions).toContain("SP promises no transfer, neither across width nor across sparsity");
});

it("refuses what the sweep cannot answer", () => {
  const db = trained();
  expect(() => recommend(db, "proxy", { width: 512, sparsity: 0, parameterization: "mup" })).toThrow(
    /no curve under mup/,
  );
  expect(() => recommend(db, "proxy", { width: 100, sparsity: 0 })).toThrow(/d_head/);
  const edge = trained(SWEEP.replace("from: -9, to: -3", "from: -6, to: -3"));
  expect(() => recommend(edge, "proxy", { width: 512, sparsity: 0 })).toThrow(/no estimated optimum/);
});

it("has a target's own shape and length, and says what it takes from the sweep", () => {
  const own = { layers: 3, d_head: 32, ffn_width: 160, vocab_size: 1000, steps: 50, batch_size: 2 };
  const r = recommend(trained(), "proxy", { width: 64, sparsity: 0.5, ...own });
  // 64 · (1,000 tied + 3 layers of 4 · 64 + 3 · 160 and two gains, and the last gain).
  expect(r.parameters).toBe(64 * (1000 + 3 * (4 * 64 + 3 * 160 + 2) + 1));
  expect(r.plan).toMatchObject({ shape: { d_head: 32 }, steps: 50, batch_size: 2 });
  expect(r.taken.filter(({ option }) => option !== null)).toEqual([]);
  const { taken } = recommend(trained(), "proxy", { width: 64, sparsity: 0.5, d_head: 32 });
  const named = taken.filter(({ option }) => option !== null);
  expect(named.map(({ name, option }) => `${name} ${option}`)).toEqual([
    "layers --layers",
    "ffn_width --ffn-width",
    "vocab_size --vocab",
    "steps --steps",
    "batch_size --batch",
  ]);
  expect(recommendationText(r)).toContain("3 runs at the target's size");
  expect(r.validation[1]).toBe(r.learning_rate);
});

describeWithTorch("the program that it prints", () => {
  it("runs, draws what it says, and keeps the mask", { timeout: 120_000 }, () => {
    const directory = mkdtempSync(join(tmpdir(), "musweep-recommend-"));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const r = recommend(trained(), "proxy", { width: 256, sparsity: 0.75, layers: 1, steps: 10 });
    writeFileSync(join(directory, "model.py"), pytorchSnippet(r)!);
    const python = (...args: string[]): string =>
      execFileSync(torchPython, args, { cwd: directory, encoding: "utf8" });
    expect(python("model.py")).toMatch(/^step 1: loss \d+\.\d+\nstep 2: loss \d/);
    // The first step is one of a warm-up of one, the last is the schedule's last.
    const program = `
import torch
from model import *
model = Model()
optimizer = configure(model)
query = model.blocks[0].query.weight
kept = query != 0
model(torch.zeros(1, 8, dtype=torch.long)).sum().backward()
optimizer.step()
rates = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
print(int(kept.sum()), float(query.detach()[kept].std()), bool((query[~kept] == 0).all()), rates[id(query)], factor(0), factor(STEPS - 1))`;
    const [kept, std, masked, rate, first, last] = python("-c", program).trim().split(" ");
    const query = r.resolved.rows.find((row) => row.group === "attention_query")!;
    expect([kept, masked, first]).toEqual([String(256 * 64), "True", "1.0"]);
    expect(Number(std) / query.init_std!).toBeCloseTo(1, 1);
    expect(Number(rate) / query.learning_rate).toBeCloseTo(1, 4);
    expect(Number(last)).toBeCloseTo(0.1, 12);
  });
});
