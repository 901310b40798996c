/** A random search has no curves: its pictures, one set for each parameterization, and its best configurations. */
import { RULES } from "../../../../schema/sweep/rules.ts";
import { cellResults, parameterizationsOf } from "../../../database/cells.ts";
import type { Database } from "../../../database/open.ts";
import type { FigureData } from "../../../report/figures/data.ts";
import { drawTwice } from "../../../report/figures/html.ts";
import { type SearchPoint, searchFigures } from "../../../report/figures/search-figure.ts";
import { isRandomSearch } from "../../../sweep/taken-axes.ts";
import { titleOf } from "../../../sweep/title.ts";
import { plural } from "../../../terminal/format.ts";
import { runPath } from "../../components.ts";
import { embed, type Html, html } from "../../html.ts";
import { nothingText, type View } from "./view.ts";

/** More would be a cloud, and a page of megabytes. */
const POINTS = 1000;

export const isSearchView = ({ phase }: View): boolean => isRandomSearch(phase.definition.phase.axes);

export function searchView(db: Database, data: FigureData, view: View): Html {
  const { id, name } = view.phase;
  const unit = data.phases.find((phase) => phase.name === name)?.unit ?? "";
  const shown = parameterizationsOf(db, id).filter(
    (p) => view.chosen.parameterization === undefined || view.chosen.parameterization === p,
  );
  const parts = shown.map((parameterization, i) => {
    const ended = cellResults(db, id, parameterization).filter(
      ({ state, validation_loss }) => state === "diverged" || validation_loss !== null,
    );
    const points = ended.slice(0, POINTS).map(
      ({ run, coordinates, state, validation_loss }): SearchPoint => ({
        title: titleOf(coordinates),
        href: runPath(run),
        values: Object.fromEntries(
          Object.entries(coordinates).filter(
            (entry): entry is [string, number] => typeof entry[1] === "number" && entry[0] !== "seed",
          ),
        ),
        loss: state === "diverged" ? null : validation_loss,
      }),
    );
    const figures = searchFigures(points, `search-${i}`, unit).flatMap((figure) =>
      drawTwice(figure, figure.name),
    );
    return html`${shown.length > 1 ? html`<h3>${RULES[parameterization].title}</h3>` : ""}
${figures.length === 0 ? html`<p class="muted">${points.length === 0 ? nothingText(view, "Pictures appear with the first runs that end.") : "Nothing was drawn that differs."}</p>` : embed(figures)}
${ended.length > POINTS ? html`<p class="muted">The first ${POINTS} of ${plural(ended.length, "run")}.</p>` : ""}`;
  });
  return html`${parts}`;
}
