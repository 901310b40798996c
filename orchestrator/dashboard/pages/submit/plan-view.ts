/** What a sweep would train, as the page shows it before anything is queued. */
import { type PlanSummary, repeatsSentence } from "../../../submission/plan-summary.ts";
import { amount, duration, plural, quantity } from "../../../terminal/format.ts";
import { dataTable } from "../../components.ts";
import { type Html, html } from "../../html.ts";

/** @param known whether a sweep of this name is there already */
export function planView(plan: PlanSummary, known: boolean): Html {
  const shared = plan.points - plan.runs;
  const isSearchAlone = plan.points === 0 && plan.searches.length > 0;
  return html`${
    isSearchAlone
      ? ""
      : html`<dl class="facts">
${fact(String(plan.to_train), "to train", `${plan.done > 0 ? `${plan.done} of ${plan.runs} are done already` : "none is done already"}${plan.failed > 0 ? `; ${plan.failed} failed: requeue them on the sweep’s page` : ""}`)}
${fact(String(plan.runs), plan.runs === 1 ? "unique run" : "unique runs", `of ${plural(plan.points, "grid point")}${shared > 0 ? `; ${shared} mean the same training as another` : ""}${plan.duplicates > 0 ? `; ${plural(plan.duplicates, "duplicate")} removed` : ""}`)}
${fact(...flopsFact(plan))}
${fact(...timeFact(plan))}
</dl>`
  }
${plan.repeats === null ? "" : html`<p class="note">${repeatsSentence(plan.repeats)}</p>`}
${known ? html`<p class="note"><strong>There is a sweep ${plan.sweep} already.</strong> It becomes what this file says; what was trained is kept and used.</p>` : ""}
${
  plan.widths.length === 0
    ? ""
    : dataTable(
        "plan-widths",
        "By size of model",
        [
          { name: "width", kind: "heading", value: (r) => r.width },
          { name: "layers", kind: "number", value: (r) => r.layers },
          { name: "parameters", kind: "number", value: (r) => quantity(r.parameters) },
          {
            name: "non-zero",
            kind: "number",
            value: (r) => [...new Set(r.nonzero.map(quantity))].join(" to "),
          },
          { name: "runs to train", kind: "number", value: (r) => r.runs },
          { name: "FLOPs", kind: "number", value: (r) => quantity(r.flops) },
          { name: "sparse FLOPs", kind: "number", value: (r) => quantity(r.sparse_flops) },
          { name: "time", kind: "number", value: (r) => (r.seconds === null ? "–" : duration(r.seconds)) },
        ],
        plan.widths,
      )
}
${plan.searches.map(
  (
    s,
  ) => html`<p class="note">Phase <strong>${s.phase}</strong> is a search: ${plural(s.curves, "curve")}, in place of a grid of
${plural(s.grid.runs, "run")} and ${amount(s.grid.flops, "FLOPs")}. It begins with ${plural(s.begins.runs, "run")}; expect about
${s.expected.moves} where the optimum moves far, about ${s.expected.stays} where it stays, and at most
${s.most.runs === null ? amount(s.most.flops!, "FLOPs") : plural(s.most.runs, "run")}${isSearchAlone ? "" : "; not counted above"}.</p>`,
)}
${plan.waiting.map(
  (
    p,
  ) => html`<p class="note">Then phase <strong>${p.phase}</strong>, once decided (${p.takes.join("; ")}): ${plural(p.points, "grid point")},
at most ${plural(p.runs, "run")}, ${amount(p.flops, "FLOPs")}${p.gpu === null ? "" : `, ${duration(p.gpu.seconds)} of one GPU’s time`}; not counted above.</p>`,
)}`;
}

type Fact = [value: string, name: string, detail: string];

function flopsFact({ to_train, widths, flops, sparse_flops }: PlanSummary): Fact {
  const name = "to compute";
  if (to_train > 0 && widths.length === 0)
    return ["not known", name, "a script’s own model: musweep cannot count it"];
  const less =
    sparse_flops < flops ? `; ${amount(sparse_flops, "FLOPs")} without the weights that do not exist` : "";
  return [flops === 0 ? "nothing" : amount(flops, "FLOPs"), name, `counted as for dense models${less}`];
}

function timeFact({ to_train, failed, gpu, widths, seconds, slots }: PlanSummary): Fact {
  const name = "to wait";
  if (to_train === 0)
    return ["nothing", name, failed > 0 ? "no run is left but what failed" : "every run has its result"];
  if (widths.length === 0) return ["not known", name, "before some of the script’s runs are trained"];
  const onGpu =
    gpu === null ? "" : `${plural(gpu.runs, "run")} for a GPU: ${duration(gpu.seconds)} of one GPU’s time`;
  if (gpu?.runs === to_train) return [duration(gpu.seconds), name, `of one GPU’s time, for all ${to_train}`];
  const and = onGpu === "" ? "" : `; and ${onGpu}`;
  return seconds === null
    ? [
        "not measured",
        name,
        `this machine is busy, or too small or slow for the model: musweep plan FILE${and}`,
      ]
    : [
        duration(seconds),
        name,
        `expected on this machine with ${plural(slots, "slot")}, at this machine’s speed${and}`,
      ];
}

const fact = (value: string, name: string, detail: string): Html =>
  html`<div><dt>${name}</dt><dd><strong>${value}</strong><span class="muted">${detail}</span></dd></div>`;
