/** Queries that people are shown, to run themselves or to change; longer ones are in docs/sql.md (guide.ts). */

/** The training curve of a run. */
export const metricsQuery = (run: string): string =>
  `SELECT * FROM metrics WHERE run_id = '${run}' ORDER BY step`;

/**
 * The curves of a sweep, with the columns that tell its rows apart.
 * @param tuned names of what its curves are over
 */
export function curvesQuery(sweep: string, tuned: readonly string[]): string {
  const [only = "learning_rate", ...others] = tuned;
  const rate = only === "learning_rate" ? "log2_lr" : `log2_tuned AS log2_${only}`;
  const columns =
    others.length > 0
      ? "phase, parameterization, sparsity, tuned, log2_tuned, mean_loss"
      : `parameterization, sparsity, ${rate}, mean_loss`;
  return `SELECT ${columns} FROM curves WHERE sweep = '${sweep}'`;
}

/** For the help of the command. */
export const RESULTS_QUERY =
  "SELECT parameterization, sparsity, log2_lr, val_loss FROM run_results WHERE sweep = 'quickstart'";
export const OPTIMA_QUERY = "SELECT * FROM optima";
