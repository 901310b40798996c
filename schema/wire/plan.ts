/**
 * The plan: everything a trainer has to know about one run, as explicit numbers. A trainer knows no parameterization; it
 * applies these init standard deviations, learning rates, decays, densities and multipliers as they are.
 *
 * A run's id is the hash of its plan, so two grid points that mean the same training (SμPar and μP at density 1) are one
 * run, trained once.
 */
import { createHash } from "node:crypto";
import { configure } from "safe-stable-stringify";
import { z } from "zod";

/**
 * The largest of what a plan may ask for: beyond anything that is trained, and small enough that its parameters, tokens and memory
 * can be counted, and refused, before anything is allocated. The parameters of the largest model are still an exact whole number.
 */
export const LIMITS = {
  layers: 1000,
  width: 2 ** 17,
  ffn_width: 2 ** 20,
  vocab_size: 2 ** 24,
  sequence_length: 2 ** 20,
  batch_size: 2 ** 20,
  steps: 10 ** 8,
  /** Of a run: steps × batch_size × sequence_length. */
  tokens: 10 ** 15,
  evaluation_sequences: 2 ** 20,
  coordinate_steps: 1000,
} as const;

const positive = z.number().positive();
const count = (most: number) => z.int().positive().max(most);
/** A side of a matrix. */
const side = count(LIMITS.vocab_size);

/** What a plan may say, each declared here alone: a sweep file offers the same words. */
export const NORMS = ["rmsnorm", "layernorm"] as const;
export const POSITIONS = ["alibi", "none"] as const;
export const MASKS = ["exact", "bernoulli"] as const;
export const SCHEDULES = ["linear", "cosine", "constant"] as const;
export const OPTIMIZERS = ["adamw"] as const;
export type Optimizer = (typeof OPTIMIZERS)[number];
/** bfloat16: products in bfloat16, weights and moments in float32. A trainer that lacks it refuses the run. */
export const PRECISIONS = ["float32", "bfloat16"] as const;

/** A name that people give: a trainer's, say. It stands in tables and titles, never in a path or a command. */
export const trainerNameSchema = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, {
  error: "expected a trainer's name: up to 64 lower-case letters, digits, '.', '_' or '-'",
});
export const revisionSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, {
  error: "expected a revision: up to 64 letters, digits, '.', '_' or '-'",
});
/** The trainer that ships with musweep, on whichever engine. */
export const BUILT_IN_TRAINER = "musweep";

/** Every parameter tensor of the model belongs to exactly one of these groups. */
const TENSOR_GROUPS = [
  "embedding",
  "attention_norm",
  "attention_query",
  "attention_key",
  "attention_value",
  "attention_output",
  "ffn_norm",
  "ffn_gate",
  "ffn_up",
  "ffn_down",
  "final_norm",
  "unembedding",
] as const;
export type TensorGroup = (typeof TENSOR_GROUPS)[number];

const groupSchema = z.strictObject({
  name: z.enum(TENSOR_GROUPS),
  /** Inputs of each neuron. Matrices are stored [fan_in, fan_out] and used as x·W; the embedding and unembedding [vocab_size, d_model]. */
  fan_in: side,
  fan_out: side,
  /** Standard deviation of the normal initial weights. Norm gains start at 1 and have null here. */
  init_std: z.number().nonnegative().nullable(),
  /** Peak learning rate, every multiplier applied; the schedule's factor multiplies it. */
  learning_rate: positive,
  /** Fraction of the weight removed per step at the schedule's peak; the schedule's factor multiplies it. */
  decay_per_step: z.number().nonnegative(),
  /** Adam's ε, every multiplier applied. */
  eps: positive,
  /** Fraction of weights that exist; 1 means no mask. */
  density: z.number().gt(0).max(1),
});
export type PlanGroup = z.infer<typeof groupSchema>;

const weightsIn = (groups: readonly PlanGroup[]): number =>
  groups.reduce((sum, { fan_in, fan_out }) => sum + fan_in * fan_out, 0);

const planShape = z.strictObject({
  version: z.literal(2),
  /** Who trains it: another trainer, or another revision of it, is another run. The numbers below are all it obeys. */
  trainer: z.strictObject({ name: trainerNameSchema, revision: revisionSchema }),
  precision: z.enum(PRECISIONS),
  /** Keys every random draw: initial weights, masks, data order. */
  seed: z.int().nonnegative().max(0xffffffff),
  data: z.strictObject({
    /** Content hash of the tokenized data set; the trainer finds it as <data directory>/<hash>/. */
    hash: z.string().regex(/^[0-9a-f]{16,64}$/),
    vocab_size: side,
  }),
  shape: z.strictObject({
    layers: count(LIMITS.layers),
    d_model: count(LIMITS.width),
    d_head: count(LIMITS.width),
    d_ffn: count(LIMITS.ffn_width),
    sequence_length: count(LIMITS.sequence_length),
    norm: z.enum(NORMS),
    norm_eps: positive,
    positions: z.enum(POSITIONS),
    tied_embeddings: z.boolean(),
  }),
  forward: z.strictObject({
    /** x = embedding_multiplier · W_emb[token] */
    embedding_multiplier: positive,
    /** x + residual_multiplier · block(norm(x)), in both blocks of every layer */
    residual_multiplier: positive,
    /** softmax(attention_scale · q·k + bias) */
    attention_scale: positive,
    /** logits = logits_multiplier · x W_unembᵀ */
    logits_multiplier: positive,
  }),
  groups: z.array(groupSchema).max(TENSOR_GROUPS.length),
  /** exact: round(density · fan_in · fan_out) weights of each matrix; bernoulli: each weight with probability density. */
  mask: z.enum(MASKS),
  optimizer: z.strictObject({
    name: z.enum(OPTIMIZERS),
    beta1: z.number().min(0).lt(1),
    beta2: z.number().min(0).lt(1),
  }),
  /** Global-norm gradient clip over the unmasked gradient entries; null for none. */
  clip_norm: positive.nullable(),
  schedule: z.strictObject({
    warmup_steps: z.int().nonnegative().max(LIMITS.steps),
    decay: z.enum(SCHEDULES),
    /** Factor at the last step, as a fraction of the peak. */
    final_fraction: z.number().min(0).max(1),
  }),
  steps: count(LIMITS.steps),
  /** Sequences per optimizer step. */
  batch_size: count(LIMITS.batch_size),
  /** Sequences per forward and backward pass; null lets the engine choose. Divides batch_size. */
  micro_batch_size: count(LIMITS.batch_size).nullable(),
  evaluation: z.strictObject({
    /** Validation loss every so many steps, and always after the last; null: only after the last. */
    every_steps: count(LIMITS.steps).nullable(),
    /** Validation sequences, evenly spaced over the held-out split. */
    sequences: count(LIMITS.evaluation_sequences),
  }),
  divergence: z.strictObject({
    /** Training loss above its value at step 1 for this many steps in a row ends the run as diverged. */
    patience_steps: count(LIMITS.steps),
  }),
  /** Sizes of activations on the evaluation sequences, before and after each of the first `steps` updates; absent: none. */
  coordinates: z.strictObject({ steps: count(LIMITS.coordinate_steps) }).optional(),
});
/** A plan for the trainer that ships, or for another one of the same model: numbers for every tensor group. */
export const planSchema = planShape
  .refine(({ steps, batch_size, shape }) => steps * batch_size * shape.sequence_length <= LIMITS.tokens, {
    error: `expected at most ${LIMITS.tokens} tokens: steps × batch_size × sequence_length`,
  })
  .refine(({ groups, shape }) => weightsIn(groups) * shape.layers <= Number.MAX_SAFE_INTEGER, {
    error: "expected groups of fewer weights: more than the largest model has",
  });
export type Plan = z.infer<typeof planSchema>;

/** A value that a sweep file hands on to a script as it is. */
export const settingSchema = z.union([z.number(), z.boolean(), z.string().max(1000)], {
  error: "a number, true, false, or a text of up to 1000 characters",
});
export type Setting = z.infer<typeof settingSchema>;
export const settingNameSchema = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/, {
  error: "expected a name of up to 64 letters, digits or '_', not beginning with a digit",
});

/** What a parameter of somebody's own model is (docs/own-model.md): each has exactly one role. */
export const ROLES = [
  "embedding",
  "hidden",
  "residual_output",
  "unembedding",
  "vector",
  "final_vector",
] as const;
type Role = (typeof ROLES)[number];

const roleSchema = z.strictObject({
  /** Null: the script's own initial values. */
  init_std: z.number().nonnegative().nullable(),
  learning_rate: positive,
  decay_per_step: z.number().nonnegative(),
  eps: positive,
  density: z.number().gt(0).max(1),
  /** Of what has a fan-in that grows: the powers with which these follow a width multiplier of a matrix's own. */
  width: z
    .strictObject({ init_std: z.number(), learning_rate: z.number(), decay_per_step: z.number() })
    .optional(),
});
export type PlanRole = z.infer<typeof roleSchema>;

/** A plan for a script with a model and data of its own: numbers for every role, and whatever the sweep file says to it. */
const scriptPlanSchema = z.strictObject({
  version: planShape.shape.version,
  trainer: planShape.shape.trainer,
  precision: planShape.shape.precision,
  seed: planShape.shape.seed,
  /** The sweep file's word for the script's data: other words, other runs. */
  data_version: z.string().max(200).nullable(),
  settings: z.record(settingNameSchema, settingSchema.nullable()),
  model: z.strictObject({
    width: count(LIMITS.width),
    layers: count(LIMITS.layers),
    density: z.number().gt(0).max(1),
    width_multiplier: positive,
    density_multiplier: positive,
    layers_multiplier: positive,
  }),
  roles: z.strictObject(
    Object.fromEntries(ROLES.map((role) => [role, roleSchema])) as Record<Role, typeof roleSchema>,
  ),
  forward: z.strictObject({
    embedding_multiplier: positive,
    residual_multiplier: positive,
    logits_multiplier: positive,
    /** softmax(d_head^power · q·k) */
    attention_scale_power: z.number(),
  }),
  mask: planShape.shape.mask,
  optimizer: planShape.shape.optimizer,
  clip_norm: planShape.shape.clip_norm,
  /** Null: the script's own. */
  schedule: planShape.shape.schedule.nullable(),
  /** Null: as many as the script says. */
  steps: count(LIMITS.steps).nullable(),
  divergence: planShape.shape.divergence.optional(),
  coordinates: planShape.shape.coordinates,
});
export type ScriptPlan = z.infer<typeof scriptPlanSchema>;

/** What a run tells its trainer, whichever that is. */
export type RunPlan = Plan | ScriptPlan;
export const isScriptPlan = (plan: RunPlan): plan is ScriptPlan => "roles" in plan;

/** A plan of a sweep that trains the model that ships. */
export function modelPlan(plan: RunPlan): Plan {
  if (!isScriptPlan(plan)) return plan;
  throw new Error(`the plan is one for a script, ${plan.trainer.name}`);
}

/** By what it is, so that a mistake is told as one of that kind. */
export const runPlanSchema = z.unknown().transform((value, context): RunPlan => {
  const isScripts = typeof value === "object" && value !== null && "roles" in value;
  const parsed = (isScripts ? scriptPlanSchema : planSchema).safeParse(value);
  if (parsed.success) return parsed.data;
  for (const { code: _code, message, path } of parsed.error.issues)
    context.issues.push({ code: "custom", message, path, input: value });
  return z.NEVER;
});

const sorted = configure({ circularValue: TypeError });

/** JSON with sorted keys: equal values give equal text, whatever order they were built in. */
export const canonicalJson = (value: unknown): string => sorted(value)!;

/** The shape of a run's id. It names directories and files, so it is checked wherever one is read. */
export const runIdSchema = z
  .string()
  .regex(/^r[0-9a-f]{20}$/, { error: "expected a run's id: r and 20 hexadecimal digits" });

/** The run's id: "r" and 20 hex digits of SHA-256 over the plan. The letter keeps it from being a number to the queue. */
export function runIdOf(plan: RunPlan): string {
  return `r${createHash("sha256").update(canonicalJson(plan)).digest("hex").slice(0, 20)}`;
}
