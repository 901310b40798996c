/** A recommendation as text, and as PyTorch parameter groups to paste. */
import { quantity } from "../terminal/format.ts";
import type { Recommendation } from "./recommend.ts";

const number = (value: number): string => String(Number(value.toPrecision(5)));

export function recommendationText(r: Recommendation): string {
  const { source, target, optimum } = r;
  const layers = target.layers === source.layers ? "" : `, ${target.layers} layers`;
  return [
    `${r.title}, width ${target.width}, sparsity ${target.sparsity}${layers}: ${quantity(r.parameters)} parameters, ${quantity(r.nonzero_parameters)} non-zero`,
    "",
    `Base learning rate ${number(r.learning_rate)} = 2^${optimum.log2_lr!.toFixed(2)}, 95% interval ${number(r.learning_rate_low)} to ${number(r.learning_rate_high)}`,
    `(the optimum at width ${source.width}, sparsity ${source.sparsity} of sweep ${r.sweep}; every rate below scales with it)`,
    "",
    r.resolved.text,
    "",
    ...r.verdicts.map((sentence) => `The sweep: ${sentence}`),
    ...r.cautions.map((note) => `Caution: ${note}.`),
    "",
    pytorchSnippet(r),
  ].join("\n");
}

/** Python: groups by tensor group, with AdamW's weight_decay such that lr × weight_decay is the plan's decay per step. */
export function pytorchSnippet(r: Recommendation): string {
  const { plan } = r;
  const rows = plan.groups.map((group) => {
    const decay = group.decay_per_step / group.learning_rate;
    const std = group.init_std === null ? "None" : number(group.init_std);
    return `    ${JSON.stringify(group.name)}: dict(lr=${number(group.learning_rate)}, weight_decay=${number(decay)}, init_std=${std}, density=${group.density}),`;
  });
  const { embedding_multiplier, attention_scale, logits_multiplier } = plan.forward;
  const { beta1, beta2, eps } = plan.optimizer;
  return [
    "# PyTorch. Matrices: normal_(0, init_std), then the mask; norm gains: 1. lr is the schedule's peak.",
    `# Forward: x = ${number(embedding_multiplier)} * embedding(tokens); scores = ${number(attention_scale)} * q @ k.T; logits = ${number(logits_multiplier)} * x @ W_unembedding.T`,
    "GROUPS = {",
    ...rows,
    "}",
    "optimizer = torch.optim.AdamW(",
    `    [dict(params=params_of(model, name), lr=g["lr"], weight_decay=g["weight_decay"]) for name, g in GROUPS.items()],`,
    `    betas=(${beta1}, ${beta2}), eps=${number(eps)},`,
    ")  # params_of: your model's tensors of that group",
  ].join("\n");
}
