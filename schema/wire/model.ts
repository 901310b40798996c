/** The language model's tensor groups and their sizes: what a plan gives numbers for, in the order of the model. */
import type { Plan, TensorGroup } from "./plan.ts";

/**
 * embedding, unembedding: one side is the vocabulary; hidden: a masked matrix of the blocks; norm: gains (and biases), a vector per
 * tensor.
 */
type GroupKind = "embedding" | "norm" | "hidden" | "unembedding";

export interface ModelGroup {
  name: TensorGroup;
  kind: GroupKind;
  /** As the plan has them: 1 × d_model for a norm. */
  fan_in: number;
  fan_out: number;
}

export function modelGroups(
  { d_model, d_ffn, tied_embeddings }: Pick<Plan["shape"], "d_model" | "d_ffn" | "tied_embeddings">,
  vocabSize: number,
): ModelGroup[] {
  const norm = (name: TensorGroup): ModelGroup => ({ name, kind: "norm", fan_in: 1, fan_out: d_model });
  const hidden = (name: TensorGroup, fan_in: number, fan_out: number): ModelGroup => ({
    name,
    kind: "hidden",
    fan_in,
    fan_out,
  });
  return [
    { name: "embedding", kind: "embedding", fan_in: vocabSize, fan_out: d_model },
    norm("attention_norm"),
    hidden("attention_query", d_model, d_model),
    hidden("attention_key", d_model, d_model),
    hidden("attention_value", d_model, d_model),
    hidden("attention_output", d_model, d_model),
    norm("ffn_norm"),
    hidden("ffn_gate", d_model, d_ffn),
    hidden("ffn_up", d_model, d_ffn),
    hidden("ffn_down", d_ffn, d_model),
    norm("final_norm"),
    ...(tied_embeddings
      ? []
      : [{ name: "unembedding", kind: "unembedding", fan_in: d_model, fan_out: vocabSize } as const]),
  ];
}
