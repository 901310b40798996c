/** What scripts, and `musweep submit --server`, ask: JSON in place of pages. */
import { readPhases } from "../../../database/phases.ts";
import { progressOf, sweepProgress } from "../../../database/progress.ts";
import { readAnswer } from "../../../report/answer.ts";
import { loadRemoteSweep, submitSweep } from "../../../submission/load-sweep.ts";
import { readText } from "../../bodies.ts";
import type { Page } from "../../page.ts";
import { isLarge } from "../sweep/answers.ts";
import { downloadAside } from "../sweep/download-aside.ts";

export const apiPage: Page = {
  mount(app, { db, state, dataRoot }) {
    app.get("/api/sweeps", (c) => c.json(sweepProgress(db)));
    app.get("/api/sweeps/:name", (c) => c.json(progressOf(db, c.req.param("name"))));
    app.get("/api/sweeps/:name/report", async (c) => {
      const { id, sweep } = progressOf(db, c.req.param("name"));
      if (!isLarge(db, readPhases(db, id))) return c.json(readAnswer(db, sweep));
      const { type, content } = (await downloadAside(db, sweep, "report.json", c.req.raw))!;
      return c.body(content, 200, { "content-type": type });
    });
    app.post("/api/sweeps", async (c) => {
      const { signal } = c.req.raw;
      const file = c.req.query("file") ?? "sweep.yaml";
      const loaded = await loadRemoteSweep(await readText(c), file, state, { dataRoot, signal });
      return c.json({ ...(await submitSweep(db, loaded)), warnings: loaded.warnings }, 201);
    });
  },
};
