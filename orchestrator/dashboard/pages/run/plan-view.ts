/** The explicit numbers that a trainer is given for a run. */
import { isScriptPlan, type Plan, type RunPlan, type ScriptPlan } from "../../../../schema/wire/plan.ts";
import type { Run } from "../../../database/read-run.ts";
import { describePlan } from "../../../parameterization/describe-plan.ts";
import { short } from "../../../terminal/format.ts";
import { type Column, dataTable } from "../../components.ts";
import { type Html, html } from "../../html.ts";

export function planContent(plan: RunPlan, coordinates: Run["coordinates"]): Html {
  const base = coordinates?.learning_rate ?? null;
  const { rows, forward } = describePlan(plan, base ?? Number.NaN);
  type Row = (typeof rows)[number];
  const number = (name: string, value: (row: Row) => string): Column<Row> => ({
    name,
    kind: "number",
    value,
  });
  const isScripts = isScriptPlan(plan);
  return html`${dataTable(
    "plan",
    `What the trainer is told for every ${isScripts ? "role" : "tensor group"}. WPN: weights that exist per neuron; peak LR: the schedule's highest${base === null ? "" : `, and how many times the base rate of ${short(base)} it is`}.`,
    [
      { name: isScripts ? "role" : "tensor group", kind: "heading", value: (row: Row) => row.group },
      ...(isScripts ? [] : [number("fan-in × fan-out", (row) => row.shape!)]),
      number("density", (row) => short(row.density)),
      ...(isScripts
        ? []
        : [number("WPN", (row) => (row.weights_per_neuron === null ? "–" : short(row.weights_per_neuron)))]),
      number("init std", (row) => initialText(row.init_std, isScripts)),
      number("peak LR", (row) => short(row.learning_rate)),
      number("log₂", (row) => row.log2_learning_rate.toFixed(2).replace("-", "−")),
      ...(base === null ? [] : [number("LR ×", (row) => short(row.multiplier))]),
      number("decay per step", (row) => short(row.decay_per_step)),
      number("ε", (row) => short(row.eps)),
    ],
    rows,
  )}
<ul class="points">
${isScripts ? scriptPoints(plan) : modelPoints(plan)}
<li>Forward: ${forward.map(({ name, value }) => `${name} ${short(value)}`).join(", ")}.</li>
${plan.schedule === null ? html`<li>Learning rate: the script's own schedule.</li>` : html`<li>Learning rate: ${scheduleText(plan.schedule, plan.steps)}.</li>`}
<li>AdamW β ${plan.optimizer.beta1}, ${plan.optimizer.beta2}; gradients ${plan.clip_norm === null ? "not clipped" : `clipped at norm ${short(plan.clip_norm)}`}.</li>
<li>Seed ${plan.seed}: initial weights, masks (${plan.mask}) and the order of the data follow from it.</li>
</ul>`;
}

const initialText = (std: number | null, isScripts: boolean): string =>
  std === null ? (isScripts ? "its own" : "gain 1") : short(std);

const modelPoints = ({ shape, data, batch_size }: Plan): Html =>
  html`<li>Model: ${shape.layers} layers of width ${shape.d_model}, ${shape.d_model / shape.d_head} heads, feed-forward ${shape.d_ffn}, ${shape.norm}, positions by ${shape.positions}, ${shape.tied_embeddings ? "tied" : "untied"} embeddings, ${data.vocab_size.toLocaleString("en-US")} tokens in the vocabulary.</li>
<li>Batches: ${batch_size} sequences of ${shape.sequence_length} tokens.</li>`;

const scriptPoints = ({ settings, data_version }: ScriptPlan): Html =>
  html`<li>Settings: ${Object.entries(settings)
    .map(([name, value]) => `${name} ${value}`)
    .join(", ")}.</li>
${data_version === null ? "" : html`<li>Data: ${data_version}.</li>`}`;

function scheduleText(
  { warmup_steps, decay, final_fraction }: Plan["schedule"],
  steps: number | null,
): string {
  const warmup = warmup_steps > 0 ? `${warmup_steps} steps of warm-up, then ` : "";
  const shape = decay === "constant" ? "constant" : `${decay} down to ${short(final_fraction)} of the peak`;
  return `${warmup}${shape}${steps === null ? "" : `, ${steps.toLocaleString("en-US")} steps in all`}`;
}
