/** Phases in the database: when they start, with what, what stops them, and what grids add; runs end with losses given by hand. */
import { describe, expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import { progressOf } from "../../../orchestrator/database/progress.ts";
import { advancePhases } from "../../../orchestrator/phases/advance.ts";
import { readAnswer } from "../../../orchestrator/report/answer.ts";
import { answerText } from "../../../orchestrator/report/answer-text.ts";
import { suggest, wouldText } from "../../../orchestrator/report/suggest.ts";
import { Attempt, applyAll, freshDatabase, sqliteOf, submitText, train } from "../../support/database.ts";

const HEAD = `name: two
data: { corpus: moby-dick }
model: { width: 32, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 32 }
`;
const text = (options: { proxy?: string; rates?: string; target?: string; targetAxes?: string } = {}) =>
  `${HEAD}phases:
  - name: proxy
    ${options.proxy ?? ""}
    axes:
      parameterization: [supar]
      sparsity: [0, 0.5]
      learning_rate: ${options.rates ?? "{ log2: { from: -9, to: -5 } }"}
  - name: target
    ${options.target ?? ""}
    axes:
      parameterization: [supar]
      width: [32, 64]
      learning_rate: { from: proxy, at: { sparsity: 0 } }
      ${options.targetAxes ?? ""}
`;

interface Row {
  phase: string;
  run: string;
  width: number;
  sparsity: number;
  seed: number;
  log2_lr: number;
  learning_rate: number;
  outcome: string;
  reason: string;
}
const rowsOf = (db: Database, phase?: string): Row[] =>
  (
    sqliteOf(db).prepare("SELECT * FROM run_results ORDER BY phase, width, log2_lr, seed").all() as Row[]
  ).filter((row) => phase === undefined || row.phase === phase);
const states = (db: Database) =>
  Object.fromEntries(progressOf(db, "two").phases.map((p) => [p.name, p.state]));

/** A valley with its floor at 2^at: half an octave off costs 5%, far more than the noise a single seed is given. */
const valley = (at: number) => (row: Row) => 3 + 0.6 * (row.log2_lr - at) ** 2;

/** Ends every run that has not ended, and looks at the phases; once. */
function trainAll(db: Database, loss: (row: Row) => number | null): void {
  const once = new Map(
    rowsOf(db)
      .filter((row) => row.outcome === "pending")
      .map((row) => [row.run, row]),
  );
  for (const row of once.values()) train(db, row.run, loss(row));
  advancePhases(db);
}

describe("a phase that takes a learning rate", () => {
  it("waits, and starts with the optimum times ½, 1 and 2 once the last run of its source has ended", () => {
    const db = freshDatabase();
    expect(submitText(db, text())).toMatchObject({ points: 10, runs: 10, waiting: ["target"] });
    advancePhases(db);
    expect(states(db)).toEqual({ proxy: "active", target: "waiting" });
    const [last, ...others] = rowsOf(db);
    for (const row of others) train(db, row.run, valley(-7)(row));
    advancePhases(db);
    expect(states(db)).toEqual({ proxy: "active", target: "waiting" });
    train(db, last!.run, valley(-7)(last!));
    advancePhases(db);
    expect(states(db)).toEqual({ proxy: "complete", target: "active" });

    const { log2_lr } = sqliteOf(db)
      .prepare("SELECT log2_lr FROM optima WHERE phase = 'proxy' AND sparsity = 0")
      .get() as { log2_lr: number };
    expect(Math.abs(log2_lr + 7)).toBeLessThan(0.15);
    const rates = rowsOf(db, "target").map((row) => row.log2_lr - log2_lr);
    expect(rates).toHaveLength(6);
    for (const [i, offset] of [-1, 0, 1, -1, 0, 1].entries()) expect(rates[i]).toBeCloseTo(offset, 4);
    expect(progressOf(db, "two")).toMatchObject({ state: "active", points: 16 });
  });

  it("starts once: looked at again, submitted again, with more results of its source, nothing is added or moved", () => {
    const db = freshDatabase();
    submitText(db, text());
    trainAll(db, valley(-7));
    const before = rowsOf(db, "target");
    advancePhases(db);
    expect(submitText(db, text())).toMatchObject({
      points: 16,
      added: 0,
      removed: 0,
      new_runs: 0,
      waiting: [],
    });
    advancePhases(db);
    expect(rowsOf(db, "target")).toEqual(before);
    trainAll(db, valley(-7));
    expect(states(db)).toEqual({ proxy: "complete", target: "complete" });
    expect(progressOf(db, "two").state).toBe("complete");
  });

  it("takes its own optimum per parameterization", () => {
    const db = freshDatabase();
    const both = text().replaceAll("[supar]", "[sp, supar]");
    submitText(db, both);
    const isSp = new Set(
      (sqliteOf(db).prepare("SELECT run FROM run_results WHERE parameterization = 'sp'").all() as Row[]).map(
        (row) => row.run,
      ),
    );
    trainAll(db, (row) => valley(isSp.has(row.run) ? -8 : -6)(row));
    const middle = sqliteOf(db)
      .prepare(
        "SELECT parameterization AS p, avg(log2_lr) AS x FROM run_results WHERE phase = 'target' GROUP BY 1 ORDER BY 1",
      )
      .all() as { p: string; x: number }[];
    expect(middle.map(({ p, x }) => [p, Math.round(x)])).toEqual([
      ["sp", -8],
      ["supar", -6],
    ]);
  });

  it("waits anew when the file changes its source, and takes what the changed source says", () => {
    const db = freshDatabase();
    submitText(db, text());
    trainAll(db, valley(-7));
    const wider = text({ rates: "{ log2: { from: -10, to: -5 } }" });
    expect(submitText(db, wider)).toMatchObject({ waiting: ["target"], removed: 6 });
    expect(rowsOf(db, "target")).toEqual([]);
    expect(rowsOf(db).filter((row) => row.outcome === "cancelled")).toEqual([]);
    trainAll(db, valley(-7));
    expect(states(db)).toEqual({ proxy: "complete", target: "active" });
  });

  it("does not start in a sweep that is cancelled, and does when it is submitted again", () => {
    const db = freshDatabase();
    submitText(db, text());
    for (const row of rowsOf(db)) train(db, row.run, valley(-7)(row));
    sqliteOf(db).prepare("UPDATE sweeps SET state = 'cancelled'").run();
    advancePhases(db);
    expect(states(db)).toEqual({ proxy: "active", target: "waiting" });
    submitText(db, text());
    advancePhases(db);
    expect(states(db)).toEqual({ proxy: "complete", target: "active" });
  });

  it("starts at once when every run of its source was trained by another sweep", () => {
    const db = freshDatabase();
    submitText(db, text().replace("name: two", "name: one"));
    trainAll(db, valley(-7));
    submitText(db, text());
    advancePhases(db);
    expect(states(db)).toEqual({ proxy: "complete", target: "active" });
  });
});

describe("a source that is not bracketed", () => {
  it("stops the phase, with the reason, and nothing of it is trained", () => {
    const db = freshDatabase();
    submitText(db, text());
    trainAll(db, valley(-3));
    expect(states(db)).toEqual({ proxy: "complete", target: "stopped" });
    const progress = progressOf(db, "two");
    expect(progress.state).toBe("stopped");
    expect(progress.phases[1]!.reason).toMatch(
      /^the optimum of SμPar in phase proxy, sparsity 0 is not bracketed \(at high edge: .*\); give that phase a wider grid/,
    );
    expect(rowsOf(db, "target")).toEqual([]);
    expect(answerText(readAnswer(db, "two"))).toMatch(/target: STOPPED: the optimum of SμPar in phase proxy/);
  });

  it("with allow_unbracketed gives its grid's best rate, and that is said", () => {
    const db = freshDatabase();
    submitText(db, text({ target: "allow_unbracketed: true" }));
    trainAll(db, valley(-3));
    expect(states(db).target).toBe("active");
    expect(rowsOf(db, "target").map((row) => row.learning_rate)).toEqual(
      [-6, -5, -4, -6, -5, -4].map((x) => 2 ** x),
    );
    expect(progressOf(db, "two").phases[1]!.taken[0]!.how).toMatch(/NOT BRACKETED \(at high edge/);
  });

  it("starts the phase after all once the file allows it, or the grid reaches the optimum", () => {
    const db = freshDatabase();
    submitText(db, text());
    trainAll(db, valley(-4));
    expect(states(db).target).toBe("stopped");
    submitText(db, text({ rates: "{ log2: { from: -9, to: -2 } }" }));
    advancePhases(db);
    expect(states(db).target).toBe("waiting");
    trainAll(db, valley(-4));
    expect(states(db).target).toBe("active");
  });

  it("because runs failed is looked at again when they have been trained", () => {
    const db = freshDatabase();
    submitText(db, text());
    const [broken, ...others] = rowsOf(db).filter((row) => row.sparsity === 0 && row.log2_lr === -8);
    expect(others).toEqual([]);
    const attempt = new Attempt(broken!.run, 1001);
    applyAll(db, [attempt.claimed(), attempt.failed(true)]);
    trainAll(db, valley(-7));
    expect(progressOf(db, "two").phases[1]!).toMatchObject({
      state: "stopped",
      reason: expect.stringContaining("incomplete"),
    });
    sqliteOf(db).prepare("UPDATE runs SET state = 'pending' WHERE id = ?").run(broken!.run);
    const again = new Attempt(broken!.run, 2001);
    applyAll(db, [again.claimed(), again.started(), again.finished(valley(-7)(broken!))]);
    advancePhases(db);
    expect(states(db).target).toBe("active");
  });

  it("stops also what takes from the phase that it stopped", () => {
    const db = freshDatabase();
    const third = `${text()}  - name: third
    axes: { parameterization: [supar], learning_rate: { from: target, at: { width: 32 } } }
`;
    submitText(db, third);
    trainAll(db, valley(-3));
    expect(states(db)).toEqual({ proxy: "complete", target: "stopped", third: "stopped" });
  });
});

describe("a random search", () => {
  const search = `${HEAD}phases:
  - name: search
    axes:
      parameterization: [mup]
      random:
        n: 8
        distributions:
          learning_rate: { log_uniform: { from: 1.0e-3, to: 1.0e-1 } }
          init_std: { log_uniform: { from: 0.02, to: 0.2 } }
          alpha_output: { uniform: { from: 0.5, to: 4 } }
      seed: [1, 2]
  - name: target
    axes:
      parameterization: [supar, mup]
      learning_rate: { from: search, at: { parameterization: mup }, multiples: [1, 2] }
      init_std: { from: search, at: { parameterization: mup } }
      alpha_output: { from: search, at: { parameterization: mup } }
`;

  it("gives the configuration of lowest mean loss among those all of whose seeds finished", () => {
    const db = freshDatabase();
    submitText(db, search);
    const rows = rowsOf(db, "search");
    const rates = [...new Set(rows.map((row) => row.learning_rate))];
    expect(rates).toHaveLength(8);
    // Means: the 3rd rate 2.0 but one seed diverged; the 5th 2.5; the 6th has the lowest single run, its mean is 2.6.
    trainAll(db, (row) => {
      const rank = rates.indexOf(row.learning_rate);
      if (rank === 2) return row.seed === 1 ? 2 : null;
      if (rank === 4) return 2.5;
      if (rank === 5) return row.seed === 1 ? 2.1 : 3.1;
      return 4;
    });
    const best = sqliteOf(db)
      .prepare(
        `SELECT json_extract(coordinates, '$.init_std') AS init_std,
                json_extract(coordinates, '$.alpha_output') AS alpha_output
         FROM run_results WHERE phase = 'search' AND learning_rate = ?`,
      )
      .get(rates[4]) as object;
    const target = sqliteOf(db)
      .prepare(
        `SELECT parameterization, learning_rate, json_extract(coordinates, '$.init_std') AS init_std,
                json_extract(coordinates, '$.alpha_output') AS alpha_output
         FROM run_results WHERE phase = 'target' ORDER BY 1, 2`,
      )
      .all();
    expect(target).toEqual(
      ["mup", "supar"].flatMap((parameterization) =>
        [1, 2].map((m) => ({ parameterization, learning_rate: rates[4]! * m, ...best })),
      ),
    );
    const { searches, rows: shown } = readAnswer(db, "two");
    expect(searches).toMatchObject([{ title: "μP", configurations: 8, finished: 7, best: { length: 5 } }]);
    expect(searches[0]!.best[0]).toMatchObject({ loss: 2.5, coordinates: { learning_rate: rates[4] } });
    expect(shown.every((row) => row.phase === "target")).toBe(true);
  });

  it("in which nothing finished stops what takes from it", () => {
    const db = freshDatabase();
    submitText(db, search);
    trainAll(db, () => null);
    expect(progressOf(db, "two").phases[1]!.reason).toBe(
      "no configuration of μP in phase search has finished",
    );
  });
});

describe("extend", () => {
  const grid = (max: number) => `${HEAD}axes:
  parameterization: [supar]
  learning_rate: { log2: { from: -9, to: -7 } }
  seed: [1, 2]
extend: { max: ${max} }
`;

  it("goes up until the optimum is bracketed, and each added run says why", () => {
    const db = freshDatabase();
    submitText(db, grid(6));
    for (let round = 0; round < 7; round++) trainAll(db, valley(-5.2));
    expect(states(db)).toEqual({ grid: "complete" });
    const added = rowsOf(db).filter((row) => row.reason !== "grid");
    // −6, −5 and −4 bracket −5.2.
    expect(added.map((row) => [row.log2_lr, row.seed, row.reason])).toEqual([
      [-6, 1, "extend: optimum at the high edge of 2^-9 to 2^-7"],
      [-6, 2, "extend: optimum at the high edge of 2^-9 to 2^-7"],
      [-5, 1, "extend: optimum at the high edge of 2^-9 to 2^-6"],
      [-5, 2, "extend: optimum at the high edge of 2^-9 to 2^-6"],
      [-4, 1, "extend: optimum at the high edge of 2^-9 to 2^-5"],
      [-4, 2, "extend: optimum at the high edge of 2^-9 to 2^-5"],
    ]);
    expect(sqliteOf(db).prepare("SELECT flag FROM optima").get()).toEqual({ flag: "bracketed" });
  });

  it("stops at max, and the optimum stays a bound", () => {
    const db = freshDatabase();
    submitText(db, grid(2));
    for (let round = 0; round < 5; round++) trainAll(db, valley(-1));
    expect(rowsOf(db).map((row) => row.log2_lr)).toEqual([-9, -9, -8, -8, -7, -7, -6, -6, -5, -5]);
    expect(sqliteOf(db).prepare("SELECT flag FROM optima").get()).toEqual({ flag: "at high edge" });
    expect(states(db)).toEqual({ grid: "complete" });
  });

  it("stops at a rate that diverges", () => {
    const db = freshDatabase();
    submitText(db, grid(6));
    for (let round = 0; round < 5; round++)
      trainAll(db, (row) => (row.log2_lr > -6.5 ? null : valley(-5)(row)));
    expect(rowsOf(db).map((row) => row.log2_lr)).toEqual([-9, -9, -8, -8, -7, -7, -6, -6]);
    expect(sqliteOf(db).prepare("SELECT flag FROM optima").get()).toEqual({ flag: "edge is divergence" });
  });

  it("keeps what it added when the same file is submitted again, in the middle and at the end; adds nothing twice", () => {
    const db = freshDatabase();
    submitText(db, grid(6));
    trainAll(db, valley(-5.2));
    expect(submitText(db, grid(6))).toMatchObject({ points: 8, added: 0, removed: 0, new_runs: 0 });
    for (let round = 0; round < 7; round++) trainAll(db, valley(-5.2));
    expect(submitText(db, grid(6))).toMatchObject({
      points: 12,
      added: 0,
      removed: 0,
      new_runs: 0,
      done: 12,
    });
    advancePhases(db);
    expect(rowsOf(db)).toHaveLength(12);
    expect(states(db)).toEqual({ grid: "complete" });
  });

  it("comes before what takes from the phase starts", () => {
    const db = freshDatabase();
    submitText(db, text({ proxy: "extend: { max: 4 }" }));
    trainAll(db, valley(-4.5));
    expect(states(db)).toEqual({ proxy: "active", target: "waiting" });
    for (let round = 0; round < 4 && states(db).target === "waiting"; round++) trainAll(db, valley(-4.5));
    expect(states(db)).toEqual({ proxy: "complete", target: "active" });
  });

  it("goes through results that are there already at once", () => {
    const db = freshDatabase();
    submitText(db, grid(6));
    for (let round = 0; round < 7; round++) trainAll(db, valley(-5.2));
    // Another max is another definition: what was added is derived again, from the results.
    expect(submitText(db, grid(5))).toMatchObject({ points: 6, removed: 6, new_runs: 0 });
    advancePhases(db);
    expect(rowsOf(db)).toHaveLength(12);
    expect(states(db)).toEqual({ grid: "complete" });
  });
});

describe("refine", () => {
  const grid = (budget: number, criterion = "octaves") => `${HEAD}axes:
  parameterization: [supar]
  sparsity: [0, 0.5]
  learning_rate: { log2: { from: -9, to: -5 } }
refine: { budget: ${budget} }
criterion: ${criterion}
`;
  /** Two flat valleys half an octave apart: the verdict cannot be decided from one seed. */
  const apart = (row: Row) => 3 + 0.05 * (row.log2_lr - (row.sparsity === 0 ? -7 : -6.5)) ** 2;

  it("adds where the verdict is undecided, within its budget, and stops there", () => {
    const db = freshDatabase();
    submitText(db, grid(7));
    let rounds = 0;
    trainAll(db, apart);
    expect(readAnswer(db, "two").verdicts[0]!.verdict.verdict).toBe("inconclusive");
    for (; states(db).grid === "active" && rounds < 20; rounds++) trainAll(db, apart);
    expect(states(db)).toEqual({ grid: "complete" });
    const added = rowsOf(db).filter((row) => row.reason !== "grid");
    expect(added.length).toBeGreaterThan(0);
    expect(added.length).toBeLessThanOrEqual(7);
    for (const row of added) expect(row.reason).toMatch(/^refine: (between 2\^|another seed)/);
    expect(submitText(db, grid(7))).toMatchObject({ added: 0, removed: 0, new_runs: 0 });
    advancePhases(db);
    expect(rowsOf(db)).toHaveLength(10 + added.length);
  });

  it("adds nothing where the verdict is decided", () => {
    const db = freshDatabase();
    submitText(db, grid(20));
    trainAll(db, (row) => valley(row.sparsity === 0 ? -8 : -6)(row));
    expect(readAnswer(db, "two").verdicts[0]!.verdict.verdict).toBe("drifts");
    expect(states(db)).toEqual({ grid: "complete" });
    expect(rowsOf(db)).toHaveLength(10);
  });

  it("adds last, and says so, where verdicts are decided and an optimum is not", () => {
    const db = freshDatabase();
    submitText(
      db,
      grid(1)
        .replace(/from: -9, to: -5/, "from: -11, to: -3")
        .replace(/refine.*\n/, ""),
    );
    // The sparse optimum lies beside a cliff, octaves below the dense one.
    trainAll(db, (row) =>
      row.sparsity === 0 ? valley(-4.3)(row) : row.log2_lr > -7 ? null : 3 + 0.05 * (row.log2_lr + 7) ** 2,
    );
    expect(readAnswer(db, "two").verdicts[0]!.verdict.verdict).toBe("drifts");
    const { suggestions } = suggest(db, "two");
    expect(suggestions.map(({ reason, decides }) => [reason, decides])).toEqual([
      [
        "refine: between 2^-7 and 2^-6, the optimum lies beside a rate that diverges; its verdicts are decided, this would sharpen the optimum",
        false,
      ],
    ]);
    expect(wouldText(suggestions)).toBe("all verdicts are decided; 1 run would sharpen an optimum");
  });

  it("adds nothing where what decides is decided, whatever the other criterion says", () => {
    const db = freshDatabase();
    submitText(db, grid(20, "cost"));
    trainAll(db, apart);
    expect(readAnswer(db, "two").verdicts[0]!.verdict).toMatchObject({
      criterion: "cost",
      verdict: "transfers",
      drift_verdict: "inconclusive",
      cost_verdict: "costs at most",
    });
    expect(states(db)).toEqual({ grid: "complete" });
    expect(rowsOf(db)).toHaveLength(10);
  });
});

describe("the confirmation of a taken rate", () => {
  it("says in how many cells it was the best, and what it costs where it was not", () => {
    const db = freshDatabase();
    submitText(db, text());
    trainAll(db, valley(-7));
    const taken = progressOf(db, "two").phases[1]!.taken[0]!.value;
    // Width 32: 3.3, 3.0, 3.2 at ×½, ×1, ×2; width 64: 3.3, 3.1, 3.0, so that ×1 costs 3.1/3 − 1 = 3.3%.
    const losses: Record<number, number[]> = { 32: [3.3, 3, 3.2], 64: [3.3, 3.1, 3] };
    trainAll(db, (row) => losses[row.width]![Math.round(Math.log2(row.learning_rate / taken)) + 1]!);
    const output = answerText(readAnswer(db, "two"));
    expect(output).toMatch(/^param\. +width +sparsity +log2 LR taken +×½ +×1 +×2 +cost of ×1$/m);
    expect(output).toMatch(/^SμPar +32 +0 +-\d\.\d\d +3\.300 +3\.000\* +3\.200 +0\.0%$/m);
    expect(output).toMatch(/^SμPar +64 +0 +-\d\.\d\d +3\.300 +3\.100 +3\.000\* +3\.3%$/m);
    expect(output).toContain(
      "SμPar: the rate taken is the best one tried in 1 of 2 cells; it costs 3.3% loss at width 64, sparsity 0, where ×2 is better",
    );
    // Two widths compare, so they have a verdict too.
    expect(output).toMatch(/^SμPar: inconclusive: at width 64 /m);
  });
});
