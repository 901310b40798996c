/**
 * The HTTP side of `serve`: sweeps can be submitted and asked about, and bull-board shows the queues, read-only, under
 * /queues. Off loopback everything asks for the token.
 */
import { createBullBoard } from "@bull-board/api";
import { BullMQAdapter } from "@bull-board/api/bullMQAdapter";
import { HonoAdapter } from "@bull-board/hono";
import { serveStatic } from "@hono/node-server/serve-static";
import type { Queue } from "bullmq";
import { Hono } from "hono";
import { basicAuth } from "hono/basic-auth";
import { bodyLimit } from "hono/body-limit";
import { HTTPException } from "hono/http-exception";
import { MusweepError } from "../../schema/errors.ts";
import type { Database } from "../database/open.ts";
import { progressOf, sweepProgress } from "../database/progress.ts";
import type { Stored } from "../database/submit.ts";
import { readAnswer } from "../report/answer.ts";
import { SweepFileError } from "../sweep/problems.ts";

/** As URLs write them. */
const LOOPBACK_NAMES = new Set(["127.0.0.1", "localhost", "[::1]"]);

/** Sweep files are small; anything larger is a mistake. */
const MAX_BODY_BYTES = 1 << 20;

export interface AppOptions {
  db: Database;
  queues: Queue[];
  /** Asked for as the password of HTTP basic authentication, user "musweep"; undefined: open, for loopback only. */
  token: string | undefined;
  submit(file: string, name: string): Promise<Stored & { duplicates: number }>;
}

export function createApp(options: AppOptions): Hono {
  const { db } = options;
  const app = new Hono();
  app.get("/healthz", (c) => c.json({ ok: true }));
  if (options.token !== undefined) {
    app.use("*", basicAuth({ username: "musweep", password: options.token, realm: "musweep" }));
  } else {
    // Without a token only this machine may ask: a page whose name was pointed at 127.0.0.1 may not.
    app.use("*", async (c, next) => {
      const { hostname } = new URL(c.req.url);
      if (!LOOPBACK_NAMES.has(hostname))
        return c.text("musweep answers to 127.0.0.1 and localhost only", 403);
      return next();
    });
  }
  app.get("/", (c) => c.redirect("/queues"));
  app.get("/api/sweeps", (c) => c.json(sweepProgress(db)));
  app.get("/api/sweeps/:name", (c) => c.json(progressOf(db, c.req.param("name"))));
  app.get("/api/sweeps/:name/report", (c) => c.json(readAnswer(db, c.req.param("name"))));
  app.post("/api/sweeps", bodyLimit({ maxSize: MAX_BODY_BYTES }), async (c) => {
    // A form from another site cannot set this type, so no page the user visits can submit in their name.
    if (!c.req.header("content-type")?.startsWith("application/yaml")) {
      return c.json({ code: "content-type", message: "send the sweep file as application/yaml" }, 415);
    }
    return c.json(await options.submit(await c.req.text(), c.req.query("file") ?? "sweep.yaml"), 201);
  });
  mountQueues(app, options.queues);
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    if (!(error instanceof MusweepError)) throw error;
    const status = error.code === "unknown-sweep" ? 404 : error.kind === "usage" ? 422 : 503;
    const problems = error instanceof SweepFileError ? { problems: error.problems } : {};
    return c.json({ code: error.code, message: error.message, remedy: error.remedy, ...problems }, status);
  });
  return app;
}

function mountQueues(app: Hono, queues: Queue[]): void {
  const adapter = new HonoAdapter(serveStatic);
  createBullBoard({
    queues: queues.map((queue) => new BullMQAdapter(queue, { readOnlyMode: true })),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: "musweep" } },
  });
  adapter.setBasePath("/queues");
  app.route("/queues", adapter.registerPlugin());
}
