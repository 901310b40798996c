/**
 * The language model and its tapes: pre-norm decoder blocks with causal attention and SwiGLU, forward and backward on one
 * tape. Which tape a plan needs follows from shapes and forward multipliers alone; learning rates and schedules are the
 * optimizer's.
 */
import type { CoordinateModule } from "../../../schema/wire/coordinates.ts";
import type { Plan } from "../../../schema/wire/plan.ts";
import { attention } from "./operations/attention.ts";
import { crossEntropy } from "./operations/cross-entropy.ts";
import { embed } from "./operations/embedding.ts";
import { layerNorm, rmsNorm } from "./operations/norm.ts";
import type { Sum } from "./operations/operation.ts";
import { type Back, type Projection, project, projectBack, type Weight } from "./operations/projection.ts";
import { Rows } from "./operations/rows.ts";
import { swiglu } from "./operations/swiglu.ts";
import { unembed } from "./operations/unembedding.ts";
import { type KeptTensor, patternValues } from "./sparse-matrix.ts";
import { type Program, sizeOf, Tape, type Value } from "./tape.ts";

/** Names of a run's memory, as tapes ask for it. */
export const names = {
  inputs: "inputs",
  targets: "targets",
  /** Of each token, the loss. */
  nats: "nats",
  slopes: "slopes",
  weight: (tensor: string): string => `weight/${tensor}`,
  sum: (tensor: string): string => `sum/${tensor}`,
};

/** What the coordinate check looks at: one module's output, sequences along its first axis. */
interface Activation {
  readonly module: CoordinateModule;
  readonly layer: number | null;
  readonly value: Value;
}

interface Model {
  readonly logits: Value;
  readonly targets: Value;
  readonly nats: Value;
  /** In the order of the forward pass; kept where they are wanted. */
  readonly activations: readonly Activation[];
  /** From the gradient of the loss, summed over all tokens, with respect to the logits to those of all tensors. */
  backward(dLogits: Value, sumOf: (tensor: string) => Sum): void;
}

/** The model on B sequences. @param keep keeps the activations to the end of the tape */
function model(t: Tape, plan: Plan, tensors: readonly KeptTensor[], sequences: number, keep = false): Model {
  const { layers, d_model, d_head, sequence_length: length, norm_eps, tied_embeddings } = plan.shape;
  const { embedding_multiplier, residual_multiplier, attention_scale, logits_multiplier } = plan.forward;
  const heads = d_model / d_head;
  const n = sequences * length;
  const inputs = t.outside(names.inputs, [n]);
  const targets = t.outside(names.targets, [n]);
  const slopes = t.outside(names.slopes, [heads]);
  const byName = new Map(tensors.map((s) => [s.name, s]));
  /** Norms, embedding and unembedding. */
  const table = (name: string): Value => t.outside(names.weight(name), byName.get(name)!.shape);
  /** A matrix of the blocks. */
  const weight = (name: string): Weight => {
    const { sparse, shape } = byName.get(name)!;
    if (sparse === null) return { kind: "dense", value: t.outside(names.weight(name), shape) };
    const weights = t.outside(names.weight(name), [sparse.count]);
    return { kind: "sparse", patterns: patternValues(t, sparse, weights) };
  };

  type SumOf = (tensor: string) => Sum;
  const activations: Activation[] = [];
  const note = (module: CoordinateModule, layer: number | null, value: Value | null): void => {
    if (keep && value !== null) activations.push({ module, layer, value: t.pin(value) });
  };

  const norm = (x: Value, name: string) => {
    if (plan.shape.norm === "rmsnorm") {
      const op = rmsNorm(t, x, table(`${name}.gain`), norm_eps);
      return {
        out: op.out,
        backward: (dy: Value, residual: Value | null, sumOf: SumOf): Value =>
          op.backward(dy, residual, sumOf(`${name}.gain`)),
      };
    }
    const op = layerNorm(t, x, table(`${name}.gain`), table(`${name}.bias`), norm_eps);
    return {
      out: op.out,
      backward: (dy: Value, residual: Value | null, sumOf: SumOf): Value =>
        op.backward(dy, residual, sumOf(`${name}.gain`), sumOf(`${name}.bias`)),
    };
  };

  /** A block's last projection times the residual multiplier, added to what goes past the block. */
  const projectOnto = (residual: Value, x: Rows, name: string, module: CoordinateModule, layer: number) => {
    if (!keep) return project(t, x, weight(name), "tokens", { multiplier: residual_multiplier, residual });
    // The block's output is looked at, so it has to be on its own; there is no way back on such a tape.
    const alone = project(t, x, weight(name), "tokens");
    note(module, layer, alone.out.tokens());
    const out = t.value(residual.shape);
    t.call("add", [residual, alone.out.tokens(), out], [sizeOf(out.shape)], [residual_multiplier]);
    return { ...alone, out: Rows.tokens(t, out) };
  };

  type Block = { readonly out: Value; backward(dOut: Value, sumOf: SumOf): Value };

  /** x + r · attention(norm(x)) */
  const attentionBlock = (x: Value, layer: number): Block => {
    const prefix = `blocks.${layer}.attention_`;
    const normed = norm(x, `${prefix}norm`);
    const h = Rows.tokens(t, normed.out);
    const q = project(t, h, weight(`${prefix}query`), "tokens");
    const k = project(t, h, weight(`${prefix}key`), "tokens");
    const v = project(t, h, weight(`${prefix}value`), "tokens");
    const shape = { sequences, length, heads, scale: attention_scale };
    const heads3 = [q.out.tokens(), k.out.tokens(), v.out.tokens()] as const;
    const mixed = attention(t, heads3, slopes, shape, keep);
    note("attention_scores", layer, mixed.scores);
    const output = projectOnto(x, Rows.tokens(t, mixed.out), `${prefix}output`, "attention", layer);
    return {
      out: output.out.tokens(),
      backward: (dOut, sumOf) => {
        const back = (projection: Projection, dy: Value, name: string): Back => ({
          projection,
          dy: Rows.tokens(t, dy),
          dw: sumOf(prefix + name),
        });
        const dMixed = projectBack(t, [back(output, dOut, "output")], "tokens");
        const { dq, dk, dv } = mixed.backward(dMixed.tokens());
        const backs = [back(q, dq, "query"), back(k, dk, "key"), back(v, dv, "value")];
        return normed.backward(projectBack(t, backs, "tokens").tokens(), dOut, sumOf);
      },
    };
  };

  /** x + r · down(silu(gate(norm(x))) ∘ up(norm(x))) */
  const feedForwardBlock = (x: Value, layer: number): Block => {
    const prefix = `blocks.${layer}.ffn_`;
    const normed = norm(x, `${prefix}norm`);
    const h = Rows.tokens(t, normed.out);
    const gate = project(t, h, weight(`${prefix}gate`), "panels");
    const up = project(t, h, weight(`${prefix}up`), "panels");
    const gated = swiglu(t, gate.out, up.out);
    const down = projectOnto(x, gated.out, `${prefix}down`, "ffn", layer);
    return {
      out: down.out.tokens(),
      backward: (dOut, sumOf) => {
        const dDown = { projection: down, dy: Rows.tokens(t, dOut), dw: sumOf(`${prefix}down`) };
        const { dGate, dUp } = gated.backward(projectBack(t, [dDown], "panels"));
        const backs = [
          { projection: gate, dy: dGate, dw: sumOf(`${prefix}gate`) },
          { projection: up, dy: dUp, dw: sumOf(`${prefix}up`) },
        ];
        return normed.backward(projectBack(t, backs, "tokens").tokens(), dOut, sumOf);
      },
    };
  };

  const embedded = embed(t, inputs, table("embedding"), embedding_multiplier);
  note("embedding", null, embedded.out);
  const chain: Block[] = [];
  const push = (block: Block): Value => {
    chain.push(block);
    return block.out;
  };
  let x = embedded.out; // [N, C]
  for (let l = 0; l < layers; l++) {
    x = push(attentionBlock(x, l));
    x = push(feedForwardBlock(x, l));
  }
  const normed = norm(x, "final_norm");
  const output = tied_embeddings ? "embedding" : "unembedding";
  const logits = unembed(t, normed.out, table(output), logits_multiplier); // [N, V]
  note("logits", null, logits.out);
  return {
    logits: logits.out,
    targets,
    nats: t.outside(names.nats, [n]),
    activations,
    backward: (dLogits, sumOf) => {
      let dOut = normed.backward(logits.backward(dLogits, sumOf(output)), null, sumOf);
      for (const block of chain.toReversed()) dOut = block.backward(dOut, sumOf);
      const { value, add } = sumOf("embedding");
      // The gradient of a table that both ends share has the unembedding's part by now.
      embedded.backward(dOut, { value, add: add || tied_embeddings });
    },
  };
}

/** Losses of `sequences` sequences. @param members threads that share every call */
export function evaluationTape(
  plan: Plan,
  tensors: readonly KeptTensor[],
  sequences: number,
  members: number,
): Program {
  const t = new Tape(members);
  const { logits, targets, nats } = model(t, plan, tensors, sequences);
  crossEntropy(t, logits, targets, nats, false);
  return t.finish();
}

/** Every activation that the coordinate check looks at, on `sequences` sequences. */
export function activationsTape(
  plan: Plan,
  tensors: readonly KeptTensor[],
  sequences: number,
  members: number,
): { readonly program: Program; readonly activations: readonly Activation[] } {
  const t = new Tape(members);
  const { activations } = model(t, plan, tensors, sequences, true);
  return { program: t.finish(), activations };
}

/**
 * One pass over a part of a batch: losses, and gradients of their sum; masks are not applied.
 * @param add the gradients are added to what is in their places
 */
export function gradientTape(
  plan: Plan,
  tensors: readonly KeptTensor[],
  sequences: number,
  add: boolean,
  members: number,
): Program {
  const t = new Tape(members);
  const { logits, targets, nats, backward } = model(t, plan, tensors, sequences);
  crossEntropy(t, logits, targets, nats, true);
  const shapes = new Map(tensors.map((s) => [s.name, s.sparse === null ? s.shape : [s.kept]]));
  backward(logits, (tensor) => ({ value: t.outside(names.sum(tensor), shapes.get(tensor)!), add }));
  return t.finish();
}
