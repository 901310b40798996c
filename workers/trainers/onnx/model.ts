/**
 * The language model and its graphs: pre-norm decoder blocks with causal attention and SwiGLU, forward and backward in one
 * graph. Which graph a plan needs follows from shapes and forward multipliers alone; masks, learning rates and schedules are
 * the optimizer's.
 */
import type { CoordinateModule } from "../../../schema/coordinates.ts";
import type { Plan } from "../../../schema/plan.ts";
import { type TensorSpec, tensorSpecs } from "../tensors.ts";
import { GraphBuilder, type Value } from "./graph.ts";
import { alibiSlopes, attention, queryBlocks } from "./operations/attention.ts";
import { crossEntropy } from "./operations/cross_entropy.ts";
import { embed } from "./operations/embedding.ts";
import { linear, unembed } from "./operations/linear.ts";
import { layerNorm, type Norm, rmsNorm } from "./operations/norm.ts";
import type { Operation } from "./operations/operation.ts";
import { swiglu } from "./operations/swiglu.ts";

/** Names of graph inputs and outputs, and of a run's arrays. A "new" output may be written over the input it replaces. */
export const names = {
  inputs: "inputs",
  targets: "targets",
  loss: "loss",
  weight: (tensor: string): string => `weight/${tensor}`,
  first: (tensor: string): string => `first/${tensor}`,
  second: (tensor: string): string => `second/${tensor}`,
  mask: (tensor: string): string => `mask/${tensor}`,
  sum: (tensor: string): string => `gradient_sum/${tensor}`,
  laneSum: (lane: number, tensor: string): string => `gradient_sum/${lane}/${tensor}`,
  updated: (input: string): string => `new/${input}`,
  activation: (module: string, layer: number | null, part: number): string =>
    `activation/${module}/${layer ?? ""}/${part}`,
};

interface Model {
  /** Mean nats per token of each sequence, [B]. */
  readonly loss: Value;
  /** Gradients by tensor name, of the loss summed over all B·T tokens; masks not applied. */
  backward(): Map<string, Value>;
  /** What the coordinate check looks at, in the order of the forward pass. */
  readonly activations: readonly Activation[];
}

/** One module's output; attention scores come in parts, one per query block. Sequences are along the first axis of each. */
interface Activation {
  readonly module: CoordinateModule;
  readonly layer: number | null;
  readonly parts: readonly Value[];
}

/** The model on B sequences, with its weights and tokens as graph inputs. */
function model(g: GraphBuilder, plan: Plan, sequences: number, weights: ReadonlyMap<string, Value>): Model {
  const { layers, d_model, d_head, sequence_length: t, norm_eps, tied_embeddings } = plan.shape;
  const { embedding_multiplier, attention_scale, logits_multiplier } = plan.forward;
  const heads = d_model / d_head;
  const n = sequences * t;
  const inputs = g.input(names.inputs, [n], "int32");
  const targets = g.input(names.targets, [n], "int32");
  const slopes = plan.shape.positions === "alibi" ? alibiSlopes(heads) : new Array<number>(heads).fill(0);
  const shape = { sequences, length: t, slopes, scale: attention_scale, blocks: queryBlocks(t) };

  const weight = (name: string): Value => weights.get(name)!;
  const gradients = new Map<string, Value>();
  const activations: Activation[] = [];
  const note = (module: CoordinateModule, layer: number | null, ...parts: Value[]): void => {
    activations.push({ module, layer, parts });
  };

  const norm = (x: Value, name: string): Norm<Value> => {
    const gain = weight(`${name}.gain`);
    if (plan.shape.norm === "rmsnorm") {
      const op = rmsNorm(g, x, gain, norm_eps);
      return {
        out: op.out,
        backward: (dy, residual) => {
          const { dx, dGain } = op.backward(dy, residual);
          gradients.set(`${name}.gain`, dGain);
          return dx;
        },
      };
    }
    const op = layerNorm(g, x, gain, weight(`${name}.bias`), norm_eps);
    return {
      out: op.out,
      backward: (dy, residual) => {
        const { dx, dGain, dBias } = op.backward(dy, residual);
        gradients.set(`${name}.gain`, dGain);
        gradients.set(`${name}.bias`, dBias);
        return dx;
      },
    };
  };

  const project = (x: Value, name: string) => {
    const op = linear(g, x, weight(name));
    return {
      out: op.out,
      /** @param onto what dx is added to */
      backward: (dy: Value, onto?: Value): Value => {
        const { dx, dw } = op.backward(dy, onto);
        gradients.set(name, dw);
        return dx;
      },
    };
  };

  /** x + attention(norm(x)) */
  const attentionBlock = (x: Value, layer: number): Operation<Value> => {
    const prefix = `blocks.${layer}.`;
    const normed = norm(x, `${prefix}attention_norm`);
    const q = project(normed.out, `${prefix}attention_query`);
    const k = project(normed.out, `${prefix}attention_key`);
    const v = project(normed.out, `${prefix}attention_value`);
    const mixed = attention(g, q.out, k.out, v.out, shape);
    const projected = project(mixed.out, `${prefix}attention_output`);
    note("attention_scores", layer, ...mixed.scores);
    note("attention", layer, projected.out);
    return {
      out: g.add(x, projected.out),
      backward: (dOut) => {
        const { dq, dk, dv } = mixed.backward(projected.backward(dOut));
        return normed.backward(v.backward(dv, k.backward(dk, q.backward(dq))), dOut);
      },
    };
  };

  /** x + down(silu(gate(norm(x))) ∘ up(norm(x))) */
  const feedForwardBlock = (x: Value, layer: number): Operation<Value> => {
    const prefix = `blocks.${layer}.`;
    const normed = norm(x, `${prefix}ffn_norm`);
    const gate = project(normed.out, `${prefix}ffn_gate`);
    const up = project(normed.out, `${prefix}ffn_up`);
    const gated = swiglu(g, gate.out, up.out);
    const down = project(gated.out, `${prefix}ffn_down`);
    note("ffn", layer, down.out);
    return {
      out: g.add(x, down.out),
      backward: (dOut) => {
        const { dGate, dUp } = gated.backward(down.backward(dOut));
        return normed.backward(up.backward(dUp, gate.backward(dGate)), dOut);
      },
    };
  };

  const embedded = embed(g, inputs, weight("embedding"), embedding_multiplier);
  note("embedding", null, embedded.out);
  const chain: Operation<Value>[] = [];
  const push = (op: Operation<Value>): Value => {
    chain.push(op);
    return op.out;
  };
  let x = embedded.out; // [N, C]
  for (let l = 0; l < layers; l++) {
    x = push(attentionBlock(x, l));
    x = push(feedForwardBlock(x, l));
  }
  const normed = norm(x, "final_norm");
  const output = tied_embeddings ? "embedding" : "unembedding";
  const logits = unembed(g, normed.out, weight(output), logits_multiplier); // [N, V]
  note("logits", null, logits.out);
  const nats = crossEntropy(g, logits.out, targets);
  const perSequence = g.mean(g.reshape(nats.out, [sequences, t]));
  return {
    activations,
    loss: g.reshape(perSequence, [sequences]),
    backward: () => {
      const { dx, dw } = logits.backward(nats.backward());
      let dOut = normed.backward(dx, null);
      for (const op of chain.toReversed()) dOut = op.backward(dOut);
      gradients.set("embedding", embedded.backward(dOut, tied_embeddings ? dw : null));
      if (!tied_embeddings) gradients.set("unembedding", dw(null));
      return gradients;
    },
  };
}

const weightInputs = (g: GraphBuilder, specs: readonly TensorSpec[]): Map<string, Value> =>
  new Map(specs.map((s) => [s.name, g.input(names.weight(s.name), s.shape)]));

/** Validation loss of `sequences` sequences. */
export function evaluationGraph(plan: Plan, sequences: number): GraphBuilder {
  const g = new GraphBuilder();
  g.output(names.loss, model(g, plan, sequences, weightInputs(g, tensorSpecs(plan))).loss);
  return g;
}

/** Every activation that the coordinate check looks at, on `sequences` sequences. */
export function activationsGraph(
  plan: Plan,
  sequences: number,
): { graph: GraphBuilder; activations: readonly Activation[] } {
  const g = new GraphBuilder();
  const { activations } = model(g, plan, sequences, weightInputs(g, tensorSpecs(plan)));
  for (const { module, layer, parts } of activations)
    parts.forEach((part, i) => {
      g.output(names.activation(module, layer, i), part);
    });
  return { graph: g, activations };
}

/**
 * One pass over a part of a batch: loss, and gradients added to the sums so far.
 * @param only no pass was summed before it, the sums are its gradients
 */
export function gradientGraph(plan: Plan, sequences: number, only: boolean): GraphBuilder {
  const g = new GraphBuilder();
  const specs = tensorSpecs(plan);
  const { loss, backward } = model(g, plan, sequences, weightInputs(g, specs));
  g.output(names.loss, loss);
  const gradients = backward();
  for (const s of specs) {
    const name = names.sum(s.name);
    const gradient = gradients.get(s.name)!;
    g.output(names.updated(name), only ? gradient : g.add(g.input(name, s.shape), gradient));
  }
  return g;
}
