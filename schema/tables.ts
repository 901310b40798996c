/**
 * The tables and views of schema/migrations/ as drizzle sees them. The SQL files are the truth (they carry the checks,
 * indexes and comments); a test holds a freshly migrated database against these declarations.
 */
import { integer, primaryKey, real, sqliteTable, sqliteView, text } from "drizzle-orm/sqlite-core";
import { TAKEN } from "./axes.ts";
import { COORDINATE_MODULES } from "./coordinates.ts";

export const RUN_STATES = [
  "pending",
  "queued",
  "running",
  "finished",
  "diverged",
  "failed",
  "cancelled",
] as const;
export type RunState = (typeof RUN_STATES)[number];

const PHASE_STATES = ["waiting", "active", "complete", "stopped"] as const;
export type PhaseState = (typeof PHASE_STATES)[number];

export const sweeps = sqliteTable("sweeps", {
  id: integer("id").primaryKey(),
  name: text("name").notNull(),
  file: text("file").notNull(),
  revision: integer("revision").notNull().default(1),
  data_hash: text("data_hash").notNull(),
  state: text("state", { enum: ["active", "cancelled"] })
    .notNull()
    .default("active"),
  submitted_at: integer("submitted_at").notNull(),
});

export const phases = sqliteTable("phases", {
  id: integer("id").primaryKey(),
  sweep_id: integer("sweep_id").notNull(),
  name: text("name").notNull(),
  position: integer("position").notNull(),
  state: text("state", { enum: PHASE_STATES }).notNull().default("active"),
  reason: text("reason"),
  definition: text("definition").notNull().default("{}"),
  taken: text("taken").notNull().default("[]"),
  due: integer("due").notNull().default(1),
  tuned: text("tuned", { enum: TAKEN }).notNull().default("learning_rate"),
  kind: text("kind", { enum: ["grid", "coordinate-check"] })
    .notNull()
    .default("grid"),
});

export const runs = sqliteTable("runs", {
  id: text("id").primaryKey(),
  capability: text("capability", { enum: ["cpu", "cuda"] }).notNull(),
  state: text("state", { enum: RUN_STATES }).notNull().default("pending"),
  ordinal: integer("ordinal").notNull(),
  keep_weights: integer("keep_weights", { mode: "boolean" }).notNull().default(false),
  on_queue: integer("on_queue", { mode: "boolean" }).notNull().default(false),
  dispatch: integer("dispatch").notNull().default(0),
  attempt: integer("attempt").notNull().default(0),
  step: integer("step").notNull().default(0),
  steps: integer("steps").notNull(),
  planned_flops: real("planned_flops").notNull(),
  train_loss: real("train_loss"),
  validation_loss: real("validation_loss"),
  last_finite_loss: real("last_finite_loss"),
  divergence: text("divergence", { enum: ["non-finite", "above-initial"] }),
  tokens: integer("tokens"),
  flops: real("flops"),
  seconds: real("seconds"),
  parameters: integer("parameters"),
  nonzero_parameters: integer("nonzero_parameters"),
  host: text("host"),
  engine: text("engine"),
  error: text("error"),
  weights_path: text("weights_path"),
  created_at: integer("created_at").notNull(),
  updated_at: integer("updated_at").notNull(),
});

export const plans = sqliteTable("plans", {
  run_id: text("run_id").primaryKey(),
  plan: text("plan").notNull(),
});

export const cells = sqliteTable("cells", {
  id: integer("id").primaryKey(),
  phase_id: integer("phase_id").notNull(),
  run_id: text("run_id").notNull(),
  position: integer("position").notNull(),
  curve: text("curve").notNull(),
  parameterization: text("parameterization").notNull(),
  width: integer("width").notNull(),
  layers: integer("layers").notNull(),
  sparsity: real("sparsity").notNull(),
  learning_rate: real("learning_rate").notNull(),
  seed: integer("seed").notNull(),
  coordinates: text("coordinates").notNull(),
  reason: text("reason").notNull().default("grid"),
  tuned_value: real("tuned_value").notNull(),
});

export const sweepRuns = sqliteTable(
  "sweep_runs",
  {
    sweep_id: integer("sweep_id").notNull(),
    run_id: text("run_id").notNull(),
    points: integer("points").notNull(),
  },
  (t) => [primaryKey({ columns: [t.sweep_id, t.run_id] })],
);

export const sweepCounts = sqliteTable(
  "sweep_counts",
  {
    sweep_id: integer("sweep_id").notNull(),
    state: text("state", { enum: RUN_STATES }).notNull(),
    runs: integer("runs").notNull(),
    points: integer("points").notNull(),
    planned_flops: real("planned_flops").notNull(),
    changed_at: integer("changed_at").notNull(),
  },
  (t) => [primaryKey({ columns: [t.sweep_id, t.state] })],
);

export const attempts = sqliteTable(
  "attempts",
  {
    run_id: text("run_id").notNull(),
    attempt: integer("attempt").notNull(),
    token: text("token").notNull(),
    sequence: integer("sequence").notNull(),
    worker: text("worker").notNull(),
    host: text("host").notNull(),
    engine: text("engine"),
    device: text("device"),
    started_at: integer("started_at").notNull(),
    ended_at: integer("ended_at"),
    outcome: text("outcome", { enum: ["finished", "diverged", "failed", "released", "cancelled", "lost"] }),
    resumed_from_step: integer("resumed_from_step"),
    code: text("code"),
    error: text("error"),
    notes: text("notes"),
    log_tail: text("log_tail"),
    checkpoint: text("checkpoint"),
  },
  (t) => [primaryKey({ columns: [t.run_id, t.attempt] })],
);

export const metrics = sqliteTable(
  "metrics",
  {
    run_id: text("run_id").notNull(),
    step: integer("step").notNull(),
    attempt: integer("attempt").notNull(),
    train_loss: real("train_loss"),
    validation_loss: real("validation_loss"),
    gradient_norm: real("gradient_norm"),
    tokens_per_second: real("tokens_per_second"),
  },
  (t) => [primaryKey({ columns: [t.run_id, t.step] })],
);

export const curveOptima = sqliteTable(
  "curve_optima",
  {
    phase_id: integer("phase_id").notNull(),
    curve: text("curve").notNull(),
    parameterization: text("parameterization").notNull(),
    width: integer("width").notNull(),
    layers: integer("layers").notNull(),
    sparsity: real("sparsity").notNull(),
    position: integer("position").notNull(),
    flag: text("flag").notNull(),
    log2_lr: real("log2_lr"),
    log2_lr_low: real("log2_lr_low"),
    log2_lr_high: real("log2_lr_high"),
    log2_lr_low_90: real("log2_lr_low_90"),
    log2_lr_high_90: real("log2_lr_high_90"),
    loss: real("loss"),
    loss_low: real("loss_low"),
    loss_high: real("loss_high"),
    valley_low: real("valley_low"),
    valley_high: real("valley_high"),
    stability_edge: real("stability_edge"),
    grid_log2_lr: real("grid_log2_lr"),
    grid_loss: real("grid_loss"),
    points: integer("points").notNull(),
    seeds: integer("seeds").notNull(),
    missing: integer("missing").notNull(),
    per_cent_above_best: real("per_cent_above_best"),
    open: integer("open").notNull(),
    basis: text("basis").notNull(),
    residual_ss: real("residual_ss").notNull(),
    residual_df: integer("residual_df").notNull(),
    others_sd: real("others_sd"),
    others_df: integer("others_df"),
  },
  (t) => [primaryKey({ columns: [t.phase_id, t.curve] })],
);

const AXES = ["density", "width", "layers"] as const;
const VERDICTS = ["transfers", "drifts", "inconclusive"] as const;
const REGRET_STATES = ["known", "diverges", "outside", "unknown"] as const;

const driftColumns = {
  drift: real("drift"),
  drift_low: real("drift_low"),
  drift_high: real("drift_high"),
  drift_low_90: real("drift_low_90"),
  drift_high_90: real("drift_high_90"),
  verdict: text("verdict", { enum: VERDICTS }).notNull(),
  regret_state: text("regret_state", { enum: REGRET_STATES }).notNull(),
  regret_nats: real("regret_nats"),
  regret_nats_low: real("regret_nats_low"),
  regret_nats_high: real("regret_nats_high"),
  regret_per_cent: real("regret_per_cent"),
  regret_per_cent_low: real("regret_per_cent_low"),
  regret_per_cent_high: real("regret_per_cent_high"),
};

const exponentColumns = {
  intercept: real("intercept"),
  intercept_low: real("intercept_low"),
  intercept_high: real("intercept_high"),
  width: real("width"),
  width_low: real("width_low"),
  width_high: real("width_high"),
  width_theory: real("width_theory"),
  density: real("density"),
  density_low: real("density_low"),
  density_high: real("density_high"),
  density_theory: real("density_theory"),
  used: integer("used").notNull(),
  left_out: integer("left_out").notNull(),
};

export const curveTransfer = sqliteTable(
  "curve_transfer",
  {
    phase_id: integer("phase_id").notNull(),
    axis: text("axis", { enum: AXES }).notNull(),
    curve: text("curve").notNull(),
    base: text("base").notNull(),
    ...driftColumns,
  },
  (t) => [primaryKey({ columns: [t.phase_id, t.axis, t.curve] })],
);

export const verdicts = sqliteTable(
  "verdicts",
  {
    phase_id: integer("phase_id").notNull(),
    axis: text("axis", { enum: AXES }).notNull(),
    base: text("base").notNull(),
    parameterization: text("parameterization").notNull(),
    place: text("place").notNull(),
    verdict: text("verdict", { enum: VERDICTS }).notNull(),
    margin: real("margin").notNull(),
    within: real("within"),
    more_seeds: integer("more_seeds"),
    open: integer("open").notNull(),
    sentence: text("sentence").notNull(),
  },
  (t) => [primaryKey({ columns: [t.phase_id, t.axis, t.base] })],
);

export const phaseExponents = sqliteTable(
  "phase_exponents",
  {
    phase_id: integer("phase_id").notNull(),
    parameterization: text("parameterization").notNull(),
    place: text("place").notNull(),
    ...exponentColumns,
  },
  (t) => [primaryKey({ columns: [t.phase_id, t.parameterization, t.place] })],
);

export const activationSizes = sqliteTable(
  "activation_sizes",
  {
    run_id: text("run_id").notNull(),
    step: integer("step").notNull(),
    module: text("module", { enum: COORDINATE_MODULES }).notNull(),
    layer: integer("layer").notNull(),
    attempt: integer("attempt").notNull(),
    size: real("size"),
    change: real("change"),
  },
  (t) => [primaryKey({ columns: [t.run_id, t.step, t.module, t.layer] })],
);

export const coordinateFits = sqliteTable(
  "coordinate_fits",
  {
    phase_id: integer("phase_id").notNull(),
    position: integer("position").notNull(),
    parameterization: text("parameterization").notNull(),
    axis: text("axis").notNull(),
    at: text("at").notNull(),
    claimed: integer("claimed").notNull(),
    module: text("module", { enum: COORDINATE_MODULES }).notNull(),
    layer: integer("layer"),
    quantity: text("quantity").notNull(),
    step: integer("step"),
    slope: real("slope"),
    slope_low: real("slope_low"),
    slope_high: real("slope_high"),
    allowed_low: real("allowed_low").notNull(),
    allowed_high: real("allowed_high").notNull(),
    verdict: text("verdict"),
    points: integer("points").notNull(),
    seeds: integer("seeds").notNull(),
  },
  (t) => [primaryKey({ columns: [t.phase_id, t.position] })],
);

export const settings = sqliteTable("settings", {
  key: text("key").primaryKey(),
  value: text("value").notNull(),
});

export const runResults = sqliteView("run_results", {
  sweep: text("sweep").notNull(),
  phase: text("phase").notNull(),
  parameterization: text("parameterization").notNull(),
  width: integer("width").notNull(),
  layers: integer("layers").notNull(),
  sparsity: real("sparsity").notNull(),
  density: real("density").notNull(),
  learning_rate: real("learning_rate").notNull(),
  log2_lr: real("log2_lr").notNull(),
  seed: integer("seed").notNull(),
  outcome: text("outcome", { enum: RUN_STATES }).notNull(),
  val_loss: real("val_loss"),
  train_loss: real("train_loss"),
  last_finite_loss: real("last_finite_loss"),
  step: integer("step").notNull(),
  tokens: integer("tokens"),
  flops: real("flops"),
  seconds: real("seconds"),
  host: text("host"),
  engine: text("engine"),
  attempts: integer("attempts").notNull(),
  parameters: integer("parameters"),
  nonzero_parameters: integer("nonzero_parameters"),
  error: text("error"),
  run: text("run").notNull(),
  curve: text("curve").notNull(),
  coordinates: text("coordinates").notNull(),
  reason: text("reason").notNull(),
}).existing();

export const optima = sqliteView("optima", {
  sweep: text("sweep").notNull(),
  phase: text("phase").notNull(),
  parameterization: text("parameterization").notNull(),
  width: integer("width").notNull(),
  layers: integer("layers").notNull(),
  sparsity: real("sparsity").notNull(),
  density: real("density").notNull(),
  flag: text("flag").notNull(),
  log2_lr: real("log2_lr"),
  log2_lr_low: real("log2_lr_low"),
  log2_lr_high: real("log2_lr_high"),
  log2_lr_low_90: real("log2_lr_low_90"),
  log2_lr_high_90: real("log2_lr_high_90"),
  loss: real("loss"),
  loss_low: real("loss_low"),
  loss_high: real("loss_high"),
  valley_low: real("valley_low"),
  valley_high: real("valley_high"),
  stability_edge: real("stability_edge"),
  grid_log2_lr: real("grid_log2_lr"),
  grid_loss: real("grid_loss"),
  points: integer("points").notNull(),
  seeds: integer("seeds").notNull(),
  missing: integer("missing").notNull(),
  curve: text("curve").notNull(),
  tuned: text("tuned", { enum: TAKEN }).notNull(),
  log2_tuned: real("log2_tuned"),
  log2_tuned_low: real("log2_tuned_low"),
  log2_tuned_high: real("log2_tuned_high"),
  log2_tuned_low_90: real("log2_tuned_low_90"),
  log2_tuned_high_90: real("log2_tuned_high_90"),
  grid_log2_tuned: real("grid_log2_tuned"),
}).existing();

export const transfer = sqliteView("transfer", {
  sweep: text("sweep").notNull(),
  phase: text("phase").notNull(),
  parameterization: text("parameterization").notNull(),
  axis: text("axis", { enum: AXES }).notNull(),
  width: integer("width").notNull(),
  layers: integer("layers").notNull(),
  sparsity: real("sparsity").notNull(),
  density: real("density").notNull(),
  base_width: integer("base_width").notNull(),
  base_layers: integer("base_layers").notNull(),
  base_sparsity: real("base_sparsity").notNull(),
  ...driftColumns,
  axis_verdict: text("axis_verdict", { enum: VERDICTS }).notNull(),
  margin: real("margin").notNull(),
  within: real("within"),
  more_seeds: integer("more_seeds"),
  still_to_train: integer("still_to_train").notNull(),
  sentence: text("sentence").notNull(),
  place: text("place").notNull(),
  tuned: text("tuned", { enum: TAKEN }).notNull(),
  curve: text("curve").notNull(),
  base_curve: text("base_curve").notNull(),
}).existing();

export const exponents = sqliteView("exponents", {
  sweep: text("sweep").notNull(),
  phase: text("phase").notNull(),
  parameterization: text("parameterization").notNull(),
  ...exponentColumns,
  place: text("place").notNull(),
  tuned: text("tuned", { enum: TAKEN }).notNull(),
}).existing();

export const level = sqliteView("level", {
  sweep: text("sweep").notNull(),
  phase: text("phase").notNull(),
  parameterization: text("parameterization").notNull(),
  width: integer("width").notNull(),
  layers: integer("layers").notNull(),
  sparsity: real("sparsity").notNull(),
  density: real("density").notNull(),
  loss: real("loss"),
  loss_low: real("loss_low"),
  loss_high: real("loss_high"),
  per_cent_above_best: real("per_cent_above_best").notNull(),
  curve: text("curve").notNull(),
}).existing();
