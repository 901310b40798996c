/** What is recommended for another width and sparsity, against the multipliers worked by hand. */
import { expect, it } from "vitest";
import { recommend } from "../../../orchestrator/report/recommend.ts";
import { pytorchSnippet } from "../../../orchestrator/report/recommend-text.ts";
import { freshDatabase, submitText, train } from "../../support/database.ts";

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
  const rows = db.sqlite
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
