/** bull-board over the queues, read-only. */
import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { HonoAdapter } from "@bull-board/hono";
import { serveStatic } from "@hono/node-server/serve-static";
import type { Page } from "../page.ts";

export const queuesPage: Page = {
  nav: { title: "Queues", href: "/queues" },
  mount(app, { queues }) {
    const adapter = new HonoAdapter(serveStatic);
    createBullBoard({
      queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
      serverAdapter: adapter,
      options: { uiConfig: { boardTitle: "musweep" } },
    });
    adapter.setBasePath("/queues");
    app.route("/queues", adapter.registerPlugin());
  },
};
