/** bull-board over the queues, read-only; a job leads to the page of its run. */
import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { HonoAdapter } from "@bull-board/hono";
import { serveStatic } from "@hono/node-server/serve-static";
import { jobSchema } from "../../../schema/queue.ts";
import { runPath } from "../components.ts";
import type { Page } from "../page.ts";

export const queuesPage: Page = {
  nav: { title: "Queues", href: "/queues" },
  mount(app, { queues }) {
    const adapter = new HonoAdapter(serveStatic);
    createBullBoard({
      queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true, externalJobUrl })),
      serverAdapter: adapter,
      options: { uiConfig: { boardTitle: "musweep", miscLinks: [{ text: "Dashboard", url: "/" }] } },
    });
    adapter.setBasePath("/queues");
    app.route("/queues", adapter.registerPlugin());
  },
};

/** From a job to the page of its run; what is in Redis need not be ours. */
function externalJobUrl({ data }: { data: unknown }): { displayText: string; href: string } {
  const job = jobSchema.safeParse(data);
  return job.success
    ? { displayText: "Run", href: runPath(job.data.run) }
    : { displayText: "Sweeps", href: "/" };
}
