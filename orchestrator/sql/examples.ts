/** Queries that people are shown, to run themselves or to change; longer ones are in docs/sql.md (guide.ts). */

/** The training curve of a run. */
export const metricsQuery = (run: string): string =>
  `SELECT * FROM metrics WHERE run_id = '${run}' ORDER BY step`;

/**
 * The curves of a sweep, with the columns that tell its rows apart.
 * @param tuned names of what its curves are over
 * @param varying names of what else varies, sparsity aside
 */
export function curvesQuery(sweep: string, tuned: readonly string[], varying: readonly string[]): string {
  const [only = "learning_rate", ...others] = tuned;
  const rate = only === "learning_rate" ? "log2_lr" : `log2_tuned AS log2_${only}`;
  const values = others.length > 0 ? "tuned, log2_tuned" : rate;
  const columns = ["parameterization", ...varying.map((name) => columnOf("curve", name)), "sparsity"];
  return `SELECT ${columns.join(", ")}, ${values}, mean_loss FROM curves WHERE sweep = '${sweep}'`;
}

/** The runs of a sweep without curves, best first. @param varying names of what is drawn at random */
export const drawnRunsQuery = (sweep: string, varying: readonly string[]): string =>
  `SELECT ${["parameterization", ...varying.map((name) => columnOf("coordinates", name))].join(", ")}, val_loss FROM run_results WHERE sweep = '${sweep}' ORDER BY val_loss NULLS LAST`;

export const slopesQuery = (sweep: string): string =>
  `SELECT parameterization, axis, module, layer, quantity, step, slope, verdict FROM coordinate_slopes WHERE sweep = '${sweep}'`;

/** What the views have a column of their own for; all else is in the JSON of a curve's or a point's coordinates. */
const OWN_COLUMNS = ["phase", "width", "layers", "sparsity", "learning_rate", "seed"];

/** Without a sign that a shell would read in double quotes. */
const columnOf = (json: string, name: string): string =>
  OWN_COLUMNS.includes(name) ? name : `${json} ->> '${name}' AS ${name.replaceAll(/\W/g, "_")}`;

/** For the help of the command. */
export const RESULTS_QUERY =
  "SELECT parameterization, sparsity, log2_lr, val_loss FROM run_results WHERE sweep = 'quickstart'";
export const OPTIMA_QUERY = "SELECT * FROM optima";
