/** bull-board over the queues, read-only; a job leads to the page of its run. */
import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { HonoAdapter } from "@bull-board/hono";
import { serveStatic } from "@hono/node-server/serve-static";
import type { MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import { z } from "zod";
import { MusweepError } from "../../../../schema/wire/errors.ts";
import { jobSchema } from "../../../../schema/wire/job.ts";
import { inTime } from "../../../redis/in-time.ts";
import { runPath } from "../../components.ts";
import type { Page } from "../../page.ts";

export const queuesPage: Page = {
  nav: { title: "Queues", href: "/queues" },
  mount(app, { queues }) {
    const adapter = new HonoAdapter(serveStatic);
    const board = createBullBoard({
      queues: [],
      serverAdapter: adapter,
      options: { uiConfig: { boardTitle: "musweep", miscLinks: [{ text: "Dashboard", url: "/" }] } },
    });
    adapter.setBasePath("/queues");
    // Its own would tell whoever asks what was thrown; ours (app.ts) logs it.
    adapter.setErrorHandler((error) => {
      throw error instanceof URIError ? new HTTPException(400, { message: NOT_ASKED, cause: error }) : error;
    });
    const shown = new Set<string>();
    app.use("/queues/api/*", checkQuery, answerWithoutRedis, async (_, next) => {
      // One more for each new need of a run.
      for (const queue of queues()) {
        if (shown.has(queue.name)) continue;
        shown.add(queue.name);
        board.addQueue(new BullMQAdapter(queue, { readOnlyMode: true, externalJobUrl }));
      }
      await next();
    });
    app.use("/queues/*", withoutFonts);
    app.route("/queues", adapter.registerPlugin());
  },
};

const NOT_ASKED = "The queues cannot be asked that.";

/** What bull-board's pages ask, and no more: it hands numbers on to Redis, and reads as many jobs as it is asked for. */
const querySchema = z.object({
  page: whole(100_000).optional(),
  jobsPerPage: whole(1000).optional(),
});

function whole(max: number) {
  return z
    .string()
    .regex(/^\d{0,6}$/)
    .refine((text) => Number(text) <= max);
}

const checkQuery: MiddlewareHandler = async (c, next) => {
  const { success, error } = querySchema.safeParse(c.req.query());
  if (!success) throw new HTTPException(400, { message: NOT_ASKED, cause: error });
  await next();
};

const answerWithoutRedis: MiddlewareHandler = async (_, next) => {
  if ((await inTime(next().then(() => true))) !== null) return;
  throw new MusweepError("redis-away", "Redis does not answer", {
    kind: "unavailable",
    remedy: "Jobs wait there; results that are stored already can be seen all the same.",
  });
};

/** bull-board's page would have fonts from another server, which is told who looks at what; the headers refuse it, too. */
const withoutFonts: MiddlewareHandler = async (c, next) => {
  await next();
  if (!c.res.headers.get("content-type")?.startsWith("text/html")) return;
  const page = (await c.res.text()).replaceAll(/<link [^>]*https:\/\/[^>]*>/g, "");
  const { status, headers } = c.res;
  headers.delete("content-length");
  c.res = new Response(page, { status, headers });
};

/** From a job to the page of its run; what is in Redis need not be ours. */
function externalJobUrl({ data }: { data: unknown }): { displayText: string; href: string } {
  const job = jobSchema.safeParse(data);
  return job.success
    ? { displayText: "Run", href: runPath(job.data.run) }
    : { displayText: "Sweeps", href: "/" };
}
