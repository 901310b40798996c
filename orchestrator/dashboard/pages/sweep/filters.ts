/** The choices of a sweep's page: phase, parameterization, width, sparsity, outcome. A plain form that makes the address of its tab. */

import type { Context as Request } from "hono";
import { RUN_STATES } from "../../../../schema/database/states.ts";
import { RULES } from "../../../../schema/sweep/rules.ts";
import { choicesOf } from "../../../database/cells.ts";
import type { Database } from "../../../database/open.ts";
import { sparsityLabel } from "../../../report/figures/labels.ts";
import { type Html, html } from "../../html.ts";
import { CURVE_FILTERS, type CurveFilter, otherView, type View } from "./view.ts";

export function filterBar(c: Request, db: Database, view: View, tab: string): Html {
  const values: Record<CurveFilter, (string | number)[]> = choicesOf(db, view.phase.id);
  const isFiltered = Object.keys(view.chosen).length > 0 || view.outcome !== undefined;
  return html`<form method="get" action="#${tab}" class="filters" aria-label="Filters" data-auto>
${view.phases.length > 1 ? html`<input type="hidden" name="phase" value="${view.phase.name}">` : ""}
${view.map === "state" ? html`<input type="hidden" name="map" value="state">` : ""}
${CURVE_FILTERS.filter((name) => values[name].length > 1).map((name) =>
  choice(
    name,
    values[name].map((value) => [String(value), nameOf(name, value)]),
    view.chosen[name],
  ),
)}
${choice(
  "outcome",
  RUN_STATES.map((state) => [state, state]),
  view.outcome,
)}
<button>Show</button>
${isFiltered ? html`<a href="${otherView(c, { parameterization: null, width: null, sparsity: null, outcome: null })}#${tab}">Show all</a>` : ""}
</form>`;
}

function choice(
  name: string,
  options: [value: string, title: string][],
  chosen: string | number | undefined,
): Html {
  return html`<label>${name} <select name="${name}"><option value="">all</option>${options.map(
    ([value, title]) =>
      html`<option value="${value}"${String(chosen) === value ? html` selected` : ""}>${title}</option>`,
  )}</select></label>`;
}

function nameOf(name: CurveFilter, value: string | number): string {
  if (name === "parameterization") return RULES[value as keyof typeof RULES].title;
  return name === "sparsity" ? sparsityLabel(Number(value)) : String(value);
}

/** A tab per phase, where there are several. */
export function phaseTabs(c: Request, view: View, tab: string): Html | "" {
  if (view.phases.length < 2) return "";
  return html`<nav class="tabs" aria-label="Phases">${view.phases.map(
    (phase) =>
      html`<a href="${otherView(c, { phase: phase.name, parameterization: null, width: null, sparsity: null, outcome: null })}#${tab}"${
        phase.id === view.phase.id ? html` aria-current="true"` : ""
      }>${phase.name} <span class="muted">${phase.state}</span></a>`,
  )}</nav>`;
}
