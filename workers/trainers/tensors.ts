/**
 * The model's tensors: canonical names, shapes, masks and initial values, all pure functions of the plan. Names and shapes
 * are part of the trainer protocol (docs/trainer-protocol.md): checkpoints, weight files and random streams use them.
 */
import { keptCount } from "../../schema/cost.ts";
import { MusweepError } from "../../schema/errors.ts";
import type { Plan, PlanGroup, TensorGroup } from "../../schema/plan.ts";
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

/**
 * The mask of a tensor, 1 where a weight exists and 0 elsewhere; null when it has none. Drawn from stream `mask/<name>`,
 * one 32-bit word per element. exact: the round(density·size) elements with the smallest words exist, equal words in index
 * order. bernoulli: an element exists when its word is below density·2³².
 */
export function tensorMask(plan: Plan, spec: TensorSpec): Float32Array | null {
  if (!spec.masked) return null;
  const { density } = groupsByName(plan).get(spec.group)!;
  const words = new RandomStream(plan.seed, `mask/${spec.name}`).words(spec.size);
  const mask = new Float32Array(spec.size);
  if (plan.mask === "bernoulli") {
    for (let i = 0; i < words.length; i++) mask[i] = words[i]! < density * 0x100000000 ? 1 : 0;
    return mask;
  }
  const kept = keptCount(density, spec.size);
  if (kept === 0) return mask;
  const { threshold, below } = smallest(words, kept);
  let ties = kept - below;
  for (let i = 0; i < words.length; i++) {
    if (words[i]! < threshold) mask[i] = 1;
    else if (words[i] === threshold && ties > 0) {
      mask[i] = 1;
      ties--;
    }
  }
  return mask;
}

/** The n-th smallest word, n ≥ 1, and how many are smaller. By counting upper halves: sorting them all takes far longer. */
function smallest(words: Uint32Array, n: number): { threshold: number; below: number } {
  const counts = new Uint32Array(0x10000);
  for (let i = 0; i < words.length; i++) counts[words[i]! >>> 16]!++;
  let half = 0;
  let below = 0;
  while (below + counts[half]! < n) below += counts[half++]!;
  const sharing = new Uint32Array(counts[half]!);
  for (let i = 0, found = 0; i < words.length; i++)
    if (words[i]! >>> 16 === half) sharing[found++] = words[i]!;
  sharing.sort();
  const threshold = sharing[n - below - 1]!;
  return { threshold, below: below + sharing.indexOf(threshold) };
}

/**
 * Writes a tensor's initial values: normal numbers of stream `init/<name>` times the group's init_std where the mask is 1, 0
 * elsewhere; gains are 1, biases 0.
 * @param mask tensorMask(plan, spec)
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
    const mask = tensorMask(plan, spec);
    if (mask !== null) masks.set(spec.name, mask);
    const weight = new Float32Array(spec.size);
    fillInitial(plan, spec, mask, weight);
    weights.set(spec.name, weight);
  }
  return { weights, masks };
}
