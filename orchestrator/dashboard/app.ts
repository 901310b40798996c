/**
 * The dashboard: what `serve` and `run --open` show over HTTP. Pages are made here, on the server, from the database; a
 * browser without scripts can do everything, one with them sees it change (live.ts).
 *
 * To add a page, write pages/NAME/NAME-page.ts with one `Page` (page.ts) and put it into the table in pages.ts:
 *
 *   export const workersPage: Page = {
 *     nav: { title: "Workers", href: "/workers" },
 *     mount(app, { db }) {
 *       app.get("/workers", (c) => c.html(page(c, { title: "Workers", section: "/workers", body: html`<h1>…</h1>` })));
 *     },
 *   };
 *
 *   html`…`                     html.ts        escapes every value; embed() for figures and tables of the report
 *   page, errorPage, emptyState layout.ts      the frame; `section` marks the navigation entry, `live` names a stream
 *   readSlice, pager            paging.ts      lists paged by the database, by key
 *   streamFragments, fragment   live.ts        parts of a page that follow the database
 *   badge, stateBar, dataTable  components.ts  what several pages show
 *   assets/style.css, client.js                one style sheet, one script: there is no inline style and no inline script
 *
 *   readForm, readText          bodies.ts      what was sent, or a 400; never c.req.parseBody() and c.req.text()
 *
 * Throw a MusweepError and it is shown with its remedy: as a page to a browser, as JSON to everything else. Anything else that
 * is thrown is a bug: logged, and told without a word of it. Addresses of single things: /sweeps/NAME and /runs/ID, by
 * sweepPath and runPath (components.ts).
 */
import type { HttpBindings } from "@hono/node-server";
import { Hono, type Context as Request } from "hono";
import { compress } from "hono/compress";
import { HTTPException } from "hono/http-exception";
import { MusweepError } from "../../schema/wire/errors.ts";
import { SweepFileError } from "../sweep/problems.ts";
import { mountAssets } from "./assets.ts";
import { limitBodies } from "./bodies.ts";
import { mountDoor } from "./door.ts";
import { securityHeaders } from "./headers.ts";
import { errorPage } from "./layout.ts";
import type { Context } from "./page.ts";
import { PAGES } from "./pages.ts";

export function createApp(context: Context): Hono {
  const app = new Hono();
  const navigation = PAGES.flatMap(({ nav }) => nav ?? []);
  const streams = { open: 0 };
  app.use("*", async (c, next) => {
    c.set("navigation", navigation);
    c.set("log", context.log);
    c.set("streams", streams);
    await next();
  });
  app.use("*", securityHeaders);
  // Text alone, and no event streams: a compressor would hold their events back.
  app.use("*", compress());
  app.get("/healthz", (c) => c.json({ ok: true }));
  mountAssets(app);
  mountDoor(app, context.keys);
  // Of strangers nothing is logged: they could fill the disk.
  app.use("*", async (c, next) => {
    await next();
    const { status } = c.res;
    if (status !== 400 && status !== 413) return;
    const cause = c.error?.cause instanceof Error ? c.error.cause.message : undefined;
    context.log.info(
      { method: c.req.method, path: c.req.path, status, cause },
      c.error?.message ?? "refused",
    );
  });
  app.use("*", limitBodies);
  for (const page of PAGES) page.mount(app, context);
  app.notFound((c) =>
    answer(c, 404, {
      code: "not-found",
      message: `There is nothing at ${c.req.path}.`,
      remedy: "The address may be mistyped, or what it named is no longer in the database.",
    }),
  );
  app.onError((error, c) => {
    const { method, path } = c.req;
    if (error instanceof MusweepError) {
      const status = error.code.startsWith("unknown-") ? 404 : error.kind === "usage" ? 422 : 503;
      return answer(c, status, error);
    }
    if (error instanceof HTTPException) {
      const { res, status, message } = error;
      if (res !== undefined) return res;
      return answer(c, status as 400, { code: `http-${status}`, message });
    }
    // Whoever goes away while he is read or answered has everything fail that was at work for him.
    if (isGone(c)) return c.body(null, 400);
    context.log.error({ method, path, err: error }, "a request failed: a bug in musweep");
    return answer(c, 500, {
      code: "internal",
      message: "This is a bug in musweep.",
      remedy: "The log of the server says more.",
    });
  });
  return app;
}

const TITLES = {
  400: "Not understood",
  404: "Not found",
  413: "Too large",
  422: "That cannot be done",
  500: "Something went wrong",
  503: "Not available",
};

/** As a page to a browser, as JSON to everything else. */
function answer(
  c: Request,
  status: keyof typeof TITLES,
  problem: { code: string; message: string; remedy?: string | undefined },
): Response | Promise<Response> {
  const { code, message, remedy } = problem;
  if (wantsPage(c)) return c.html(errorPage(c, { title: TITLES[status], message, remedy }), status);
  const problems = problem instanceof SweepFileError ? { problems: problem.problems } : {};
  return c.json({ code, message, remedy, ...problems }, status);
}

function isGone(c: Request): boolean {
  const incoming = (c.env as Partial<HttpBindings> | undefined)?.incoming;
  return c.req.raw.signal.aborted || (incoming?.readableAborted ?? false);
}

const wantsPage = (c: Request): boolean =>
  !c.req.path.startsWith("/api/") && (c.req.header("accept")?.includes("text/html") ?? false);
