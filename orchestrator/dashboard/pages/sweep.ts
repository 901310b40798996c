/** One sweep. */
import { readPhases } from "../../database/phases.ts";
import { progressOf } from "../../database/progress.ts";
import { readFigureData } from "../../report/figures/data.ts";
import { drawnPhases, PAGE } from "../../report/figures/report-figures.ts";
import { badge, countsText } from "../components.ts";
import { embed, html } from "../html.ts";
import { page } from "../layout.ts";
import type { Page } from "../page.ts";
import { runList } from "../sweep/run-list.ts";

export const sweepPage: Page = {
  mount(app, { db }) {
    app.get("/sweeps/:name", (c) => {
      const progress = progressOf(db, c.req.param("name"));
      const phases = drawnPhases(readFigureData(db, progress.sweep));
      const figures = phases.flatMap((phase) =>
        phase.figures.flatMap(({ name, draw }) => draw({ id: name, ...PAGE })?.svg ?? []),
      );
      return c.html(
        page(c, {
          title: progress.sweep,
          section: "/",
          figureSeries: phases.map((p) => p.facets.sparsities.length),
          body: html`<h1>${progress.sweep} ${badge(progress.state)}</h1><p>${countsText(progress.by_state)}</p>
${embed(figures)}
<h2>Runs</h2>
${readPhases(db.sqlite, progress.id).map((phase) => runList(c, db, phase.id))}`,
        }),
      );
    });
  },
};
