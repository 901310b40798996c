/** A small sweep with results of every kind, the same whenever it is made: what a kept database of a released version holds. */
import { readFileSync, writeFileSync } from "node:fs";
import { gunzipSync, gzipSync } from "node:zlib";
import type { Database } from "../../orchestrator/database/open.ts";
import { storeSweep } from "../../orchestrator/database/submit.ts";
import { parseSweep } from "../../orchestrator/sweep/parse-sweep.ts";
import { Attempt, applyAll, atOnce, cellsOf, gridText, sqliteOf } from "./database.ts";

const TEXT = gridText({
  parameterization: "[mup, supar]",
  sparsity: "[0, 0.5]",
  rates: "{ log2: { from: -9, to: -5 } }",
  seeds: "[1, 2]",
});
const STORED_AT = Date.UTC(2026, 0, 1);

/** Grid points by what became of them; at sparsity 0 two of them share a run. */
export const OUTCOMES = { finished: 35, diverged: 3, failed: 1, pending: 1 };

const lossOf = (log2: number, sparsity: number, seed: number): number =>
  3 + 0.3 * (log2 + 7 - sparsity) ** 2 + seed / 1000;

export function storeTrainedSweep(db: Database): void {
  const { name, priority, phases } = parseSweep(TEXT, "grid.yaml");
  const data = { hash: "0123456789abcdef", vocab_size: 256 };
  atOnce(storeSweep(db, { name, file: TEXT, data, priority, phases }, STORED_AT));
  const runs = new Map(cellsOf(TEXT).map((cell) => [cell.run, cell.coordinates]));
  for (const [i, [run, { learning_rate, sparsity, seed }]] of [...runs].entries()) {
    if (i === runs.size - 1) continue;
    const log2 = Math.log2(learning_rate);
    const attempt = new Attempt(run, 1001);
    applyAll(db, [
      attempt.claimed(),
      attempt.started(),
      attempt.metrics(1, 5),
      i === runs.size - 2
        ? attempt.failed(true)
        : log2 === -5 && seed === 2
          ? attempt.diverged()
          : attempt.finished(lossOf(log2, sparsity, seed)),
    ]);
  }
}

/** A compressed copy of a database. */
export function keep(db: Database, file: string): void {
  writeFileSync(file, gzipSync(sqliteOf(db).serialize(), { level: 9 }));
}

export const unpack = (file: string, to: string): void => writeFileSync(to, gunzipSync(readFileSync(file)));
