/** `tune`: curves over another quantity than the learning rate, from the file to the verdict. */
import { expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import { advancePhases } from "../../../orchestrator/phases/advance.ts";
import { readAnswer } from "../../../orchestrator/report/answer.ts";
import { answerText } from "../../../orchestrator/report/answer-text.ts";
import { readFigureData } from "../../../orchestrator/report/figures/data.ts";
import { htmlReport } from "../../../orchestrator/report/figures/html.ts";
import { freshDatabase, sqliteOf, submitText, train } from "../../support/database.ts";
import { browser, openApp } from "../dashboard/start-app.ts";

const HEAD = `name: inits
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 32, learning_rate: 0.01 }
`;
const AXES = `parameterization: [mup, supar], sparsity: [0, 0.75], init_std: { log2: { from: -8, to: -2 } }, seed: [1, 2]`;

interface Row {
  run: string;
  phase: string;
  parameterization: string;
  sparsity: number;
  learning_rate: number;
  init_std: number;
  outcome: string;
  reason: string;
  curve: string;
}
const rowsOf = (db: Database): Row[] =>
  sqliteOf(db)
    .prepare(
      "SELECT *, json_extract(coordinates, '$.init_std') AS init_std FROM run_results ORDER BY init_std",
    )
    .all() as Row[];

/** μP's best init is an octave higher when sparse, SμPar's stays. At sparsity 0 the two are one run. */
function trainAll(db: Database, centre = -5): void {
  const runs = new Map(rowsOf(db).flatMap((r) => (r.outcome === "pending" ? [[r.run, r] as const] : [])));
  for (const [run, { parameterization, sparsity, init_std }] of runs) {
    const at = centre + (parameterization === "mup" && sparsity > 0 ? 1 : 0);
    train(db, run, 3 * (1 + 0.05 * (Math.log2(init_std) - at) ** 2));
  }
  advancePhases(db);
}

it("makes curves over the initial standard deviation, whose optimum has interval, drift, verdict and figure", () => {
  const db = freshDatabase();
  submitText(db, `${HEAD}tune: init_std\naxes: { ${AXES} }\n`);
  trainAll(db);
  expect(new Set(rowsOf(db).map((r) => r.curve)).size).toBe(4);
  expect(
    sqliteOf(db)
      .prepare("SELECT tuned, flag, log2_lr, points, seeds, round(log2_tuned) AS x FROM optima ORDER BY 6")
      .all(),
  ).toEqual(
    [-5, -5, -5, -4].map((x) => ({
      tuned: "init_std",
      flag: "bracketed",
      log2_lr: null,
      points: 7,
      seeds: 2,
      x,
    })),
  );
  const answer = readAnswer(db, "inits");
  expect(answer.verdicts.map((v) => [v.title, v.verdict.verdict])).toEqual([
    ["μP", "costs"],
    ["SμPar", "transfers"],
  ]);
  const text = answerText(answer);
  expect(text).toMatch(/^Optimal base init_std per sparsity/m);
  expect(text).toMatch(/^param\. +width +sparsity +log2 init_std\*/m);
  expect(text).toMatch(
    /^μP: does not transfer by cost: .*; the optimum drifts \+1\.0 octaves at sparsity 0\.75/m,
  );
  const page = htmlReport(readFigureData(db, "inits"));
  expect(page).toContain("Does the optimal init_std transfer?");
  expect(page).toContain("log₂ base init_std");
  expect(page).not.toContain("log₂ LR");
});

it("is what pages name, and what no law of the learning rate is held against", async () => {
  const db = freshDatabase();
  submitText(db, `${HEAD}tune: init_std\naxes: { ${AXES}, steps: [20, 40] }\n`);
  trainAll(db);
  const theories = sqliteOf(db).prepare("SELECT DISTINCT axis, exponent_theory FROM transfer ORDER BY axis");
  expect(theories.all()).toContainEqual({ axis: "steps", exponent_theory: "[]" });
  const { app } = openApp(undefined, db);
  const page = async (path: string): Promise<string> =>
    (await app.request(path, { headers: browser })).text();
  expect(await page("/sweeps/inits")).toContain("Does the optimal init_std transfer?");
  const beside = await page("/compare/sweeps?sweep=inits");
  expect(beside).toContain("log₂ of the optimal init_std with its 95% interval");
  expect(beside).not.toContain("learning rate");
});

it("extends a grid of what is tuned, and says what to add", () => {
  const db = freshDatabase();
  submitText(db, `${HEAD}tune: init_std\naxes: { ${AXES} }\nextend: { max: 1 }\n`);
  trainAll(db, -1);
  const added = rowsOf(db).filter((r) => r.reason !== "grid");
  expect(new Set(added.map((r) => `${r.init_std} ${r.learning_rate} ${r.reason}`))).toEqual(
    new Set(["0.5 0.01 extend: optimum at the high edge of 2^-8 to 2^-2"]),
  );
  expect(added).toHaveLength(8);
  trainAll(db, -1);
  expect(answerText(readAnswer(db, "inits"))).toContain("add higher values of init_std");
});

it("gives its optimum to a later phase, per parameterization", () => {
  const db = freshDatabase();
  submitText(
    db,
    `${HEAD}phases:
  - name: inits
    tune: init_std
    axes: { ${AXES} }
  - name: rates
    axes:
      parameterization: [mup, supar]
      init_std: { from: inits, at: { sparsity: 0.75 } }
      learning_rate: { log2: { from: -8, to: -6 } }
`,
  );
  trainAll(db);
  const taken = rowsOf(db).filter((r) => r.phase === "rates");
  const log2 = (parameterization: string) =>
    new Set(
      taken
        .filter((r) => r.parameterization === parameterization)
        .map((r) => Math.round(Math.log2(r.init_std))),
    );
  expect(log2("mup")).toEqual(new Set([-4]));
  expect(log2("supar")).toEqual(new Set([-5]));
});
