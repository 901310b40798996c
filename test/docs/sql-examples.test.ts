/** Every SQL example in docs/sql.md runs, and answers, on the quickstart's own grid. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Database } from "../../orchestrator/database/open.ts";
import { readSqlGuide } from "../../orchestrator/sql/guide.ts";
import { packageRoot } from "../../schema/package.ts";
import { Attempt, applyAll, freshDatabase, submitText } from "../support/database.ts";

const read = (...path: string[]): string => readFileSync(join(packageRoot(), ...path), "utf8");
const { examples } = readSqlGuide();

interface Point {
  run: string;
  log2_lr: number;
  sparsity: number;
  parameterization: string;
}

/** A valley around 2^-7, under SP higher when sparse; walls from 2^-4 up, one failed run, one never trained. */
function filledDatabase(): Database {
  const db = freshDatabase();
  submitText(db, read("sweeps", "quickstart.yaml"));
  const points = db.sqlite
    .prepare<[], Point>(
      "SELECT run, log2_lr, sparsity, parameterization FROM run_results GROUP BY run ORDER BY run",
    )
    .all();
  // Where it does not hide an optimum.
  const far = points.filter((p) => p.parameterization === "mup" && p.log2_lr > -4);
  const [failing, untrained] = far;
  const others = points.filter((p) => p !== failing && p !== untrained);
  const events = others.flatMap(({ run, log2_lr, sparsity, parameterization }) => {
    const attempt = new Attempt(run, 1001);
    const centre = parameterization === "sp" ? 2.5 * sparsity - 7.5 : -7;
    const loss = 2 + sparsity / 4 + 0.02 * (log2_lr - centre) ** 2;
    return [
      attempt.claimed(),
      attempt.started(),
      attempt.metrics(1, 5.5),
      log2_lr > -4 ? attempt.diverged() : attempt.finished(loss),
    ];
  });
  const broken = new Attempt(failing!.run, 1001);
  applyAll(db, [...events, broken.claimed(), broken.failed(true)]);
  return db;
}

describe("docs/sql.md", () => {
  it("has examples that all answer", () => {
    const db = filledDatabase();
    expect(examples.length).toBe(read("docs", "sql.md").split("```sql").length - 1);
    for (const { title, sql } of examples)
      expect(db.sqlite.prepare(sql).all().length, title).toBeGreaterThan(0);
  });

  it.each(["run_results", "curves", "optima", "transfer", "exponents", "level", "missing"])(
    "explains every column of %s, and no other",
    (view) => {
      const guide = readSqlGuide().views.find(({ name }) => name === view)!;
      const columns = freshDatabase()
        .sqlite.prepare(`SELECT * FROM ${view}`)
        .columns()
        .map((column) => column.name);
      expect(guide.columns.flatMap(({ names }) => names).sort()).toEqual(columns.sort());
      for (const { meaning } of [...guide.columns, { meaning: guide.summary }]) expect(meaning).not.toBe("");
    },
  );
});
