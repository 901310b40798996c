/** What Prometheus reads: metrics.ts, beside the pages. */

import type { Page } from "../../page.ts";
import { createMetrics } from "./metrics.ts";

export const metricsPage: Page = {
  mount(app, context) {
    const metrics = createMetrics(context);
    app.get("/metrics", async (c) =>
      c.body(await metrics.text(), 200, { "content-type": metrics.contentType }),
    );
  },
};
