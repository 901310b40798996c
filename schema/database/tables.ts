/**
 * The tables and views of schema/database/migrations/ as drizzle sees them. The SQL files are the truth (they carry the checks,
 * indexes and comments); a test holds a freshly migrated database against these declarations.
 */
import { integer, primaryKey, real, sqliteTable, sqliteView, text } from "drizzle-orm/sqlite-core";
import { TAKEN } from "../sweep/hyperparameters.ts";
import { CRITERIA, POOLINGS } from "../sweep/question.ts";
import type { Parameterization } from "../sweep/rules.ts";
import { DIVERGENCE_REASONS } from "../wire/outcomes.ts";
import {
  ATTEMPT_OUTCOMES,
  type Axis,
  COORDINATE_AXES,
  COST_VERDICTS,
  DRIFT_VERDICTS,
  FLAT_VERDICTS,
  PHASE_KINDS,
  PHASE_STATES,
  QUANTITIES,
  REGRET_STATES,
  RUN_STATES,
  SWEEP_STATES,
  VERDICTS,
} from "./states.ts";

export const sweeps = sqliteTable("sweeps", {
  id: integer("id").primaryKey(),
  name: text("name").notNull(),
  file: text("file").notNull(),
  revision: integer("revision").notNull().default(1),
  data_hash: text("data_hash").notNull(),
  state: text("state", { enum: SWEEP_STATES }).notNull().default("active"),
  submitted_at: integer("submitted_at").notNull(),
  priority: real("priority").notNull().default(1),
  note: text("note"),
  archived_at: integer("archived_at"),
  file_name: text("file_name"),
});

export const sweepTags = sqliteTable(
  "sweep_tags",
  { sweep_id: integer("sweep_id").notNull(), tag: text("tag").notNull() },
  (t) => [primaryKey({ columns: [t.sweep_id, t.tag] })],
);

export const phases = sqliteTable("phases", {
  id: integer("id").primaryKey(),
  sweep_id: integer("sweep_id").notNull(),
  name: text("name").notNull(),
  position: integer("position").notNull(),
  state: text("state", { enum: PHASE_STATES }).notNull().default("active"),
  reason: text("reason"),
  definition: text("definition").notNull(),
  taken: text("taken").notNull().default("[]"),
  due: integer("due").notNull().default(1),
  tuned: text("tuned", { enum: TAKEN }).notNull(),
  kind: text("kind", { enum: PHASE_KINDS }).notNull(),
  search: text("search"),
});

export const runs = sqliteTable("runs", {
  id: text("id").primaryKey(),
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
  divergence: text("divergence", { enum: DIVERGENCE_REASONS }),
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
  need: text("need").notNull().default("musweep"),
  kept_step: integer("kept_step").notNull().default(0),
  setbacks: integer("setbacks").notNull().default(0),
  own_metrics: text("own_metrics"),
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
  parameterization: text("parameterization").$type<Parameterization>().notNull(),
  width: integer("width").notNull(),
  layers: integer("layers").notNull(),
  sparsity: real("sparsity").notNull(),
  learning_rate: real("learning_rate").notNull(),
  seed: integer("seed").notNull(),
  coordinates: text("coordinates").notNull(),
  reason: text("reason").notNull(),
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
    outcome: text("outcome", { enum: ATTEMPT_OUTCOMES }),
    resumed_from_step: integer("resumed_from_step"),
    code: text("code"),
    error: text("error"),
    notes: text("notes"),
    log_tail: text("log_tail"),
    checkpoint: text("checkpoint"),
    step: integer("step"),
    train_loss: real("train_loss"),
    validation_loss: real("validation_loss"),
    seconds: real("seconds"),
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
    own_metrics: text("own_metrics"),
  },
  (t) => [primaryKey({ columns: [t.run_id, t.step] })],
);

export const curveOptima = sqliteTable(
  "curve_optima",
  {
    phase_id: integer("phase_id").notNull(),
    curve: text("curve").notNull(),
    parameterization: text("parameterization").$type<Parameterization>().notNull(),
    width: integer("width").notNull(),
    layers: integer("layers").notNull(),
    sparsity: real("sparsity").notNull(),
    position: integer("position").notNull(),
    flag: text("flag").notNull(),
    log2_tuned: real("log2_tuned"),
    log2_tuned_low: real("log2_tuned_low"),
    log2_tuned_high: real("log2_tuned_high"),
    log2_tuned_low_90: real("log2_tuned_low_90"),
    log2_tuned_high_90: real("log2_tuned_high_90"),
    loss: real("loss"),
    loss_low: real("loss_low"),
    loss_high: real("loss_high"),
    valley_low: real("valley_low"),
    valley_high: real("valley_high"),
    stability_edge: real("stability_edge"),
    places: text("places").notNull(),
    grid_log2_tuned: real("grid_log2_tuned"),
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

const driftColumns = {
  drift: real("drift"),
  drift_low: real("drift_low"),
  drift_high: real("drift_high"),
  drift_low_90: real("drift_low_90"),
  drift_high_90: real("drift_high_90"),
  drift_verdict: text("drift_verdict", { enum: DRIFT_VERDICTS }).notNull(),
  regret_state: text("regret_state", { enum: REGRET_STATES }).notNull(),
  regret_nats: real("regret_nats"),
  regret_nats_low: real("regret_nats_low"),
  regret_nats_high: real("regret_nats_high"),
  regret_per_cent: real("regret_per_cent"),
  regret_per_cent_low: real("regret_per_cent_low"),
  regret_per_cent_high: real("regret_per_cent_high"),
  regret_per_cent_low_90: real("regret_per_cent_low_90"),
  regret_per_cent_high_90: real("regret_per_cent_high_90"),
  cost_verdict: text("cost_verdict", { enum: COST_VERDICTS }).notNull(),
  verdict: text("verdict", { enum: VERDICTS }).notNull(),
};

/** Of all cells of an axis together. */
const questionColumns = {
  criterion: text("criterion", { enum: CRITERIA }).notNull(),
  margin_octaves: real("margin_octaves").notNull(),
  margin_cost: real("margin_cost").notNull(),
  pooling: text("pooling", { enum: POOLINGS }).notNull(),
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

/** Of the optimum along an axis; theory: a JSON list of what it may be. */
const axisExponentColumns = {
  exponent: real("exponent"),
  exponent_low: real("exponent_low"),
  exponent_high: real("exponent_high"),
  exponent_theory: text("exponent_theory").notNull(),
};

export const curveTransfer = sqliteTable(
  "curve_transfer",
  {
    phase_id: integer("phase_id").notNull(),
    axis: text("axis").$type<Axis>().notNull(),
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
    axis: text("axis").$type<Axis>().notNull(),
    base: text("base").notNull(),
    parameterization: text("parameterization").$type<Parameterization>().notNull(),
    place: text("place").notNull(),
    ...questionColumns,
    verdict: text("verdict", { enum: VERDICTS }).notNull(),
    drift_verdict: text("drift_verdict", { enum: DRIFT_VERDICTS }).notNull(),
    cost_verdict: text("cost_verdict", { enum: COST_VERDICTS }).notNull(),
    within: real("within"),
    costs_at_most: real("costs_at_most"),
    costs_at_least: real("costs_at_least"),
    more_seeds: integer("more_seeds"),
    open: integer("open").notNull(),
    sentence: text("sentence").notNull(),
    ...axisExponentColumns,
  },
  (t) => [primaryKey({ columns: [t.phase_id, t.axis, t.base] })],
);

export const phaseExponents = sqliteTable(
  "phase_exponents",
  {
    phase_id: integer("phase_id").notNull(),
    parameterization: text("parameterization").$type<Parameterization>().notNull(),
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
    module: text("module").notNull(),
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
    parameterization: text("parameterization").$type<Parameterization>().notNull(),
    axis: text("axis", { enum: COORDINATE_AXES }).notNull(),
    at: text("at").notNull(),
    claimed: integer("claimed").notNull(),
    module: text("module").notNull(),
    layer: integer("layer"),
    quantity: text("quantity", { enum: QUANTITIES }).notNull(),
    step: integer("step"),
    slope: real("slope"),
    slope_low: real("slope_low"),
    slope_high: real("slope_high"),
    allowed_low: real("allowed_low").notNull(),
    allowed_high: real("allowed_high").notNull(),
    verdict: text("verdict", { enum: FLAT_VERDICTS }),
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
  parameterization: text("parameterization").$type<Parameterization>().notNull(),
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
  own_metrics: text("own_metrics"),
  reason: text("reason").notNull(),
}).existing();

export const optima = sqliteView("optima", {
  sweep: text("sweep").notNull(),
  phase: text("phase").notNull(),
  parameterization: text("parameterization").$type<Parameterization>().notNull(),
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
  places: text("places").notNull(),
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
  parameterization: text("parameterization").$type<Parameterization>().notNull(),
  axis: text("axis").$type<Axis>().notNull(),
  base_value: real("base_value").notNull(),
  value: real("value").notNull(),
  width: integer("width").notNull(),
  layers: integer("layers").notNull(),
  sparsity: real("sparsity").notNull(),
  density: real("density").notNull(),
  base_width: integer("base_width").notNull(),
  base_layers: integer("base_layers").notNull(),
  base_sparsity: real("base_sparsity").notNull(),
  ...driftColumns,
  axis_verdict: text("axis_verdict", { enum: VERDICTS }).notNull(),
  axis_drift_verdict: text("axis_drift_verdict", { enum: DRIFT_VERDICTS }).notNull(),
  axis_cost_verdict: text("axis_cost_verdict", { enum: COST_VERDICTS }).notNull(),
  ...questionColumns,
  within: real("within"),
  costs_at_most: real("costs_at_most"),
  costs_at_least: real("costs_at_least"),
  more_seeds: integer("more_seeds"),
  still_to_train: integer("still_to_train").notNull(),
  sentence: text("sentence").notNull(),
  ...axisExponentColumns,
  place: text("place").notNull(),
  tuned: text("tuned", { enum: TAKEN }).notNull(),
  curve: text("curve").notNull(),
  base_curve: text("base_curve").notNull(),
}).existing();

export const exponents = sqliteView("exponents", {
  sweep: text("sweep").notNull(),
  phase: text("phase").notNull(),
  parameterization: text("parameterization").$type<Parameterization>().notNull(),
  ...exponentColumns,
  place: text("place").notNull(),
  tuned: text("tuned", { enum: TAKEN }).notNull(),
}).existing();

export const level = sqliteView("level", {
  sweep: text("sweep").notNull(),
  phase: text("phase").notNull(),
  parameterization: text("parameterization").$type<Parameterization>().notNull(),
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
