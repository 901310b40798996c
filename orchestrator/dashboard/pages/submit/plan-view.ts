/** What a sweep would train, as the page shows it before anything is queued. */
import type { PlanSummary } from "../../../submission/plan-summary.ts";
import { duration, plural, quantity } from "../../../terminal/format.ts";
import { dataTable } from "../../components.ts";
import { type Html, html } from "../../html.ts";

/** @param known whether a sweep of this name is there already */
export function planView(plan: PlanSummary, known: boolean): Html {
  const time =
    plan.to_train === 0 ? "nothing" : plan.seconds === null ? "not measured" : duration(plan.seconds);
  const shared = plan.points - plan.runs;
  return html`<dl class="facts">
${fact(String(plan.to_train), "to train", `${plan.done > 0 ? `${plan.done} of ${plan.runs} are done already` : "none is done already"}${plan.failed > 0 ? `; ${plan.failed} failed: requeue them on the sweep’s page` : ""}`)}
${fact(String(plan.runs), plan.runs === 1 ? "unique run" : "unique runs", `of ${plural(plan.points, "grid point")}${shared > 0 ? `; ${shared} mean the same training as another` : ""}${plan.duplicates > 0 ? `; ${plural(plan.duplicates, "duplicate")} removed` : ""}`)}
${fact(plan.flops === 0 ? "nothing" : `${quantity(plan.flops)}FLOPs`, "to compute", flopsDetail(plan))}
${fact(time, "to wait", timeDetail(plan))}
</dl>
${known ? html`<p class="note"><strong>There is a sweep ${plan.sweep} already.</strong> It becomes what this file says; what was trained is kept and used.</p>` : ""}
${dataTable(
  "plan-widths",
  "By size of model",
  [
    { name: "width", kind: "heading", value: (r) => r.width },
    { name: "layers", kind: "number", value: (r) => r.layers },
    { name: "parameters", kind: "number", value: (r) => quantity(r.parameters) },
    { name: "non-zero", kind: "number", value: (r) => [...new Set(r.nonzero.map(quantity))].join(" to ") },
    { name: "runs to train", kind: "number", value: (r) => r.runs },
    { name: "FLOPs", kind: "number", value: (r) => quantity(r.flops) },
    { name: "sparse FLOPs", kind: "number", value: (r) => quantity(r.sparse_flops) },
    { name: "time", kind: "number", value: (r) => (r.seconds === null ? "–" : duration(r.seconds)) },
  ],
  plan.widths,
)}
${plan.waiting.map(
  (
    p,
  ) => html`<p class="note">Then phase <strong>${p.phase}</strong>, once decided (${p.takes.join("; ")}): ${plural(p.points, "grid point")},
at most ${plural(p.runs, "run")}, ${quantity(p.flops)}FLOPs; not counted above.</p>`,
)}`;
}

const flopsDetail = ({ flops, sparse_flops }: PlanSummary): string =>
  `counted as for dense models${sparse_flops < flops ? `; ${quantity(sparse_flops)}FLOPs without the weights that do not exist` : ""}`;

function timeDetail(plan: PlanSummary): string {
  if (plan.to_train === 0)
    return plan.failed > 0 ? "no run is left but what failed" : "every run has its result";
  return plan.seconds === null
    ? "this machine is busy, or has many shapes to measure: musweep plan FILE"
    : `expected on this machine with ${plural(plan.slots, "slot")}, at this machine’s speed`;
}

const fact = (value: string, name: string, detail: string): Html =>
  html`<div><dt>${name}</dt><dd><strong>${value}</strong><span class="muted">${detail}</span></dd></div>`;
