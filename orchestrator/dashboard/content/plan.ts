/** The explicit numbers that a trainer is given for a run. */
import type { Run } from "../../database/read-run.ts";
import { describePlan } from "../../parameterization/describe-plan.ts";
import { type Column, dataTable } from "../components.ts";
import { type Html, html } from "../html.ts";

/** Four significant digits. */
export const short = (value: number): string => String(Number(value.toPrecision(4)));

export function planContent({ plan, coordinates }: Run): Html {
  const base = coordinates?.learning_rate ?? null;
  const { rows, forward } = describePlan(plan, base ?? Number.NaN);
  type Row = (typeof rows)[number];
  const number = (name: string, value: (row: Row) => string): Column<Row> => ({
    name,
    kind: "number",
    value,
  });
  const { shape } = plan;
  return html`${dataTable(
    "plan",
    `What the trainer is told for every tensor group. WPN: weights that exist per neuron; peak LR: the schedule's highest${base === null ? "" : `, and how many times the base rate of ${short(base)} it is`}.`,
    [
      { name: "tensor group", kind: "heading", value: (row: Row) => row.group },
      number("fan-in × fan-out", (row) => row.shape),
      number("density", (row) => short(row.density)),
      number("WPN", (row) => (row.weights_per_neuron === null ? "–" : short(row.weights_per_neuron))),
      number("init std", (row) => (row.init_std === null ? "gain 1" : short(row.init_std))),
      number("peak LR", (row) => short(row.learning_rate)),
      number("log₂", (row) => row.log2_learning_rate.toFixed(2).replace("-", "−")),
      ...(base === null ? [] : [number("LR ×", (row) => short(row.multiplier))]),
      number("decay per step", (row) => short(row.decay_per_step)),
    ],
    rows,
  )}
<ul class="points">
<li>Model: ${shape.layers} layers of width ${shape.d_model}, ${shape.d_model / shape.d_head} heads, feed-forward ${shape.d_ffn}, ${shape.norm}, positions by ${shape.positions}, ${shape.tied_embeddings ? "tied" : "untied"} embeddings, ${plan.data.vocab_size.toLocaleString("en-US")} tokens in the vocabulary.</li>
<li>Forward: embedding output × ${short(forward.embedding_multiplier)}, attention logits × ${short(forward.attention_scale)}, logits × ${short(forward.logits_multiplier)}.</li>
<li>Learning rate: ${scheduleText(plan)}.</li>
<li>Batches: ${plan.batch_size} sequences of ${shape.sequence_length} tokens; AdamW β ${plan.optimizer.beta1}, ${plan.optimizer.beta2}, ε ${plan.optimizer.eps}; gradients ${plan.clip_norm === null ? "not clipped" : `clipped at norm ${short(plan.clip_norm)}`}.</li>
<li>Seed ${plan.seed}: initial weights, masks (${plan.mask}) and the order of the data follow from it.</li>
</ul>`;
}

function scheduleText({ schedule, steps }: Run["plan"]): string {
  const { warmup_steps, decay, final_fraction } = schedule;
  const warmup = warmup_steps > 0 ? `${warmup_steps} steps of warm-up, then ` : "";
  const shape = decay === "constant" ? "constant" : `${decay} down to ${short(final_fraction)} of the peak`;
  return `${warmup}${shape}, ${steps.toLocaleString("en-US")} steps in all`;
}
