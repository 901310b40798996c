/** One sweep with everything in it: estimates, both edges, divergence, a failed run, and runs still to train. */
import type { Database } from "../../../../orchestrator/database/open.ts";
import { freshDatabase } from "../../../support/database.ts";
import { storeSynthetic, sweepYaml, valley } from "./synthetic.ts";

const MIXED = sweepYaml(
  "mixed",
  `  parameterization: [sp, mup, supar]
  sparsity: [0, 0.75, 0.984375]
  learning_rate: { log2: { from: -10, to: -4 } }
  seed: [1, 2]`,
);

/** SP at the highest sparsity is partly untrained; one μP run failed; one seed of SμPar diverges where the other does not. */
export function mixedDatabase(db = freshDatabase()): Database {
  storeSynthetic(db, MIXED, (where) => {
    const { parameterization, sparsity, log2_lr, seed } = where;
    if (parameterization === "sp" && sparsity > 0.9 && seed === 2) return "pending";
    if (parameterization === "mup" && sparsity === 0.75 && log2_lr === -10) return "failed";
    if (parameterization === "supar" && sparsity === 0.75 && log2_lr === -5)
      return seed === 1 ? "diverged" : 2.2;
    return valley(where);
  });
  return db;
}
