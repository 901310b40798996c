/** Every SQL example in docs/sql.md runs, and answers, on the quickstart's own grid. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import type { Database } from "../../orchestrator/database/open.ts";
import { progressOf } from "../../orchestrator/database/progress.ts";
import { setTags } from "../../orchestrator/database/tags.ts";
import { advancePhases } from "../../orchestrator/phases/advance.ts";
import { readSqlGuide } from "../../orchestrator/sql/guide.ts";
import { COORDINATE_MODULES } from "../../schema/wire/coordinates.ts";
import { packageRoot } from "../../schema/wire/package.ts";
import { Attempt, applyAll, freshDatabase, sqliteOf, submitText } from "../support/database.ts";

const read = (...path: string[]): string => readFileSync(join(packageRoot(), ...path), "utf8");
const { examples } = readSqlGuide();

interface Point {
  run: string;
  log2_lr: number;
  sparsity: number;
  parameterization: string;
}

/** A coordinate check that is complete, every activation of size 1. */
function measureCheck(db: Database): void {
  submitText(db, read("sweeps", "coordinate-check.yaml"));
  const runs = sqliteOf(db).prepare<[], { id: string }>("SELECT id FROM runs").all();
  const modules = COORDINATE_MODULES.map((module) => ({ module, layer: 0, size: 1, change: 1 }));
  applyAll(
    db,
    runs.flatMap(({ id }) => {
      const attempt = new Attempt(id, 1001);
      return [attempt.claimed(), attempt.started(), attempt.coordinates(0, modules), attempt.finished(5, 1)];
    }),
  );
  advancePhases(db);
}

/** A valley around 2^-7, under SP from 2^-9.5 upwards with sparsity; walls from 2^-4 up, one failed run, one never trained. */
function filledDatabase(): Database {
  const db = freshDatabase();
  measureCheck(db);
  submitText(db, read("sweeps", "quickstart.yaml"));
  const points = sqliteOf(db)
    .prepare<[], Point>(
      `SELECT run, log2_lr, sparsity, parameterization FROM run_results WHERE sweep = 'quickstart'
       GROUP BY run ORDER BY run`,
    )
    .all();
  // Where it does not hide an optimum.
  const far = points.filter((p) => p.parameterization === "mup" && p.log2_lr > -4);
  const [failing, untrained] = far;
  const others = points.filter((p) => p !== failing && p !== untrained);
  const events = others.flatMap(({ run, log2_lr, sparsity, parameterization }) => {
    const attempt = new Attempt(run, 1001);
    const centre = parameterization === "sp" ? 4 * sparsity - 9.5 : -7;
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
  setTags(db, progressOf(db, "quickstart").id, ["baseline"]);
  return db;
}

describe("docs/sql.md", () => {
  it("has examples that all answer", () => {
    const db = filledDatabase();
    expect(examples.length).toBe(read("docs", "sql.md").split("```sql").length - 1);
    for (const { title, sql } of examples)
      expect(sqliteOf(db).prepare(sql).all().length, title).toBeGreaterThan(0);
  });

  it.each([
    ...["run_results", "curves", "optima", "transfer", "exponents", "level", "missing"],
    ...["coordinates", "coordinate_slopes", "tags"],
  ])("explains every column of %s, and no other", (view) => {
    const guide = readSqlGuide().views.find(({ name }) => name === view)!;
    const columns = sqliteOf(freshDatabase())
      .prepare(`SELECT * FROM ${view}`)
      .columns()
      .map((column) => column.name);
    expect(guide.columns.flatMap(({ names }) => names).sort()).toEqual(columns.sort());
    for (const { meaning } of [...guide.columns, { meaning: guide.summary }]) expect(meaning).not.toBe("");
  });
});
