/**
 * The model's tensors: canonical names, shapes, masks and initial values, all pure functions of the plan. Names and shapes
 * are part of the trainer protocol (docs/trainer-protocol.md): checkpoints, weight files and random streams use them.
 */
import { keptCount } from "../../../schema/wire/cost.ts";
import { MusweepError } from "../../../schema/wire/errors.ts";
import type { Plan, PlanGroup, TensorGroup } from "../../../schema/wire/plan.ts";
import { native } from "./native.ts";
import { RandomStream } from "./philox.ts";

export interface TensorSpec {
  /** "embedding", "blocks.3.ffn_down", "blocks.0.attention_norm.gain", "final_norm.bias", … */
  readonly name: string;
  readonly group: TensorGroup;
  readonly kind: "matrix" | "gain" | "bias";
  /** [fan_in, fan_out] of a matrix used as x·W; [vocab_size, d_model] of the embedding and unembedding; [d_model] of a norm. */
  readonly shape: readonly number[];
  readonly size: number;
  readonly masked: boolean;
}

const unsupported = (message: string): MusweepError =>
  new MusweepError("unsupported", message, { kind: "usage" });

const BLOCK_GROUPS = [
  "attention_norm",
  "attention_query",
  "attention_key",
  "attention_value",
  "attention_output",
  "ffn_norm",
  "ffn_gate",
  "ffn_up",
  "ffn_down",
] as const satisfies readonly TensorGroup[];

const NORMS: readonly TensorGroup[] = ["attention_norm", "ffn_norm", "final_norm"];

function matrixShape(plan: Plan, group: TensorGroup): [rows: number, columns: number] {
  const { d_model, d_ffn } = plan.shape;
  switch (group) {
    case "embedding":
    case "unembedding":
      return [plan.data.vocab_size, d_model];
    case "ffn_gate":
    case "ffn_up":
      return [d_model, d_ffn];
    case "ffn_down":
      return [d_ffn, d_model];
    default:
      return [d_model, d_model];
  }
}

/** The plan's entry of every group the model has, exactly once. */
function groupsByName(plan: Plan): Map<TensorGroup, PlanGroup> {
  const groups = new Map(plan.groups.map((g) => [g.name, g]));
  if (groups.size !== plan.groups.length) throw unsupported("The plan names a tensor group twice.");
  return groups;
}

/**
 * Every tensor of the model in canonical order.
 * @throws MusweepError "unsupported" when the plan's groups and shapes do not describe one model
 */
export function tensorSpecs(plan: Plan): TensorSpec[] {
  const { d_model, d_head, layers, norm, tied_embeddings } = plan.shape;
  if (d_model % d_head !== 0) throw unsupported(`d_model ${d_model} is not a multiple of d_head ${d_head}.`);
  if (plan.micro_batch_size !== null && plan.batch_size % plan.micro_batch_size !== 0)
    throw unsupported(
      `micro_batch_size ${plan.micro_batch_size} does not divide batch_size ${plan.batch_size}.`,
    );
  if (plan.precision !== "float32")
    throw unsupported(`This engine trains in float32 alone; the plan asks for ${plan.precision}.`);
  const groups = groupsByName(plan);
  const used = new Set<TensorGroup>();
  const tensors = (group: TensorGroup, prefix: string): TensorSpec[] => {
    const planned = groups.get(group);
    if (planned === undefined) throw unsupported(`The plan has no tensor group ${group}.`);
    used.add(group);
    if (NORMS.includes(group)) {
      if (planned.density !== 1)
        throw unsupported(`Tensor group ${group} has a density below 1; a norm cannot.`);
      const kinds = norm === "layernorm" ? (["gain", "bias"] as const) : (["gain"] as const);
      return kinds.map((kind) => ({
        name: `${prefix}${group}.${kind}`,
        group,
        kind,
        shape: [d_model],
        size: d_model,
        masked: false,
      }));
    }
    const shape = matrixShape(plan, group);
    const size = shape[0] * shape[1];
    if (planned.fan_in * planned.fan_out !== size)
      throw unsupported(
        `Tensor group ${group} is ${planned.fan_in} × ${planned.fan_out} in the plan; the model's shape makes it ${shape[0]} × ${shape[1]}.`,
      );
    if (planned.init_std === null) throw unsupported(`Tensor group ${group} has no init_std.`);
    return [{ name: prefix + group, group, kind: "matrix", shape, size, masked: planned.density < 1 }];
  };
  const specs = [
    ...tensors("embedding", ""),
    ...Array.from({ length: layers }, (_, l) =>
      BLOCK_GROUPS.flatMap((g) => tensors(g, `blocks.${l}.`)),
    ).flat(),
    ...tensors("final_norm", ""),
    ...(tied_embeddings ? [] : tensors("unembedding", "")),
  ];
  const unknown = [...groups.keys()].filter((name) => !used.has(name));
  if (unknown.length > 0) throw unsupported(`The model has no tensor group ${unknown.join(", ")}.`);
  return specs;
}

const exactMask = native.func("void exact_mask(void*, void*, int64_t, int64_t)");
const bernoulliMask = native.func("void bernoulli_mask(void*, void*, int64_t, double)");

/**
 * Writes the mask of a tensor with density below 1: 1 where a weight exists and 0 elsewhere. Drawn from stream `mask/<name>`,
 * one 32-bit word per element. exact: the round(density·size) elements with the smallest words exist, equal words in index
 * order. bernoulli: an element exists when its word is below density·2³².
 * @param words room for as many words as the tensor has numbers
 */
export function fillMask(plan: Plan, spec: TensorSpec, out: Float32Array, words: Uint32Array): void {
  const { density } = groupsByName(plan).get(spec.group)!;
  new RandomStream(plan.seed, `mask/${spec.name}`).fillWords(words);
  if (plan.mask === "bernoulli") bernoulliMask(out, words, spec.size, density);
  else exactMask(out, words, spec.size, keptCount(density, spec.size));
}

/**
 * Writes a tensor's initial values: normal numbers of stream `init/<name>` times the group's init_std where the mask is 1, 0
 * elsewhere; gains are 1, biases 0.
 * @param mask as fillMask makes it; null for none
 */
export function fillInitial(
  plan: Plan,
  spec: TensorSpec,
  mask: Float32Array | null,
  out: Float32Array,
): void {
  if (spec.kind !== "matrix") {
    out.fill(spec.kind === "gain" ? 1 : 0);
    return;
  }
  const std = groupsByName(plan).get(spec.group)!.init_std!;
  new RandomStream(plan.seed, `init/${spec.name}`).fillNormal(out, std);
  if (mask !== null) for (let i = 0; i < out.length; i++) if (mask[i] === 0) out[i] = 0;
}

export interface InitialTensors {
  /** By canonical name, in canonical order; row-major; masked entries are 0. */
  readonly weights: Map<string, Float32Array>;
  /** By canonical name; only tensors with density below 1. */
  readonly masks: Map<string, Float32Array>;
}

/** The model before its first step. */
export function initialTensors(plan: Plan): InitialTensors {
  const weights = new Map<string, Float32Array>();
  const masks = new Map<string, Float32Array>();
  for (const spec of tensorSpecs(plan)) {
    const mask = spec.masked ? new Float32Array(spec.size) : null;
    if (mask !== null) {
      fillMask(plan, spec, mask, new Uint32Array(spec.size));
      masks.set(spec.name, mask);
    }
    const weight = new Float32Array(spec.size);
    fillInitial(plan, spec, mask, weight);
    weights.set(spec.name, weight);
  }
  return { weights, masks };
}
