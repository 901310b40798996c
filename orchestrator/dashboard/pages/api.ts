/** What scripts, and `musweep submit --server`, ask: JSON in place of pages. */
import { bodyLimit } from "hono/body-limit";
import { progressOf, sweepProgress } from "../../database/progress.ts";
import { loadSweep, submitSweep } from "../../load-sweep.ts";
import { readAnswer } from "../../report/answer.ts";
import { parseSweep } from "../../sweep/parse-sweep.ts";
import type { Page } from "../page.ts";

/** Sweep files are small; anything larger is a mistake. */
export const MAX_FILE_BYTES = 1 << 20;

export const apiPage: Page = {
  mount(app, { db, state }) {
    app.get("/api/sweeps", (c) => c.json(sweepProgress(db)));
    app.get("/api/sweeps/:name", (c) => c.json(progressOf(db, c.req.param("name"))));
    app.get("/api/sweeps/:name/report", (c) => c.json(readAnswer(db, c.req.param("name"))));
    app.post("/api/sweeps", bodyLimit({ maxSize: MAX_FILE_BYTES }), async (c) => {
      const text = await c.req.text();
      const sweep = parseSweep(text, c.req.query("file") ?? "sweep.yaml");
      const loaded = await loadSweep({ sweep, text, directory: state.root }, state);
      return c.json(await submitSweep(db, loaded), 201);
    });
  },
};
