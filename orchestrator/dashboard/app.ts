/**
 * The dashboard: what `serve` and `run --open` show over HTTP. Pages are made here, on the server, from the database; a
 * browser without scripts can do everything, one with them sees it change (live.ts).
 *
 * To add a page, write pages/NAME.ts with one `Page` (page.ts) and put it into the table in pages.ts:
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
 * Throw a MusweepError and it is shown with its remedy: as a page to a browser, as JSON to everything else. Addresses of
 * single things: /sweeps/NAME and /runs/ID, by sweepPath and runPath (components.ts).
 */
import { Hono, type Context as Request } from "hono";
import { compress } from "hono/compress";
import { HTTPException } from "hono/http-exception";
import { MusweepError } from "../../schema/errors.ts";
import { SweepFileError } from "../sweep/problems.ts";
import { mountAssets } from "./assets.ts";
import { mountDoor } from "./door.ts";
import { securityHeaders } from "./headers.ts";
import { errorPage } from "./layout.ts";
import type { Context } from "./page.ts";
import { PAGES } from "./pages.ts";

export function createApp(context: Context): Hono {
  const app = new Hono();
  app.use("*", securityHeaders);
  // Text alone, and no event streams: a compressor would hold their events back.
  app.use("*", compress());
  app.get("/healthz", (c) => c.json({ ok: true }));
  mountAssets(app);
  mountDoor(app, context.token);
  for (const page of PAGES) page.mount(app, context);
  app.notFound((c) =>
    wantsPage(c)
      ? c.html(
          errorPage(c, {
            title: "Page not found",
            message: `There is nothing at ${c.req.path}.`,
            remedy: "The address may be mistyped, or what it named is no longer in the database.",
          }),
          404,
        )
      : c.json({ code: "not-found", message: `there is nothing at ${c.req.path}` }, 404),
  );
  app.onError((error, c) => {
    if (error instanceof HTTPException) return error.getResponse();
    if (!(error instanceof MusweepError)) throw error;
    const { code, message, remedy } = error;
    const status = code.startsWith("unknown-") ? 404 : error.kind === "usage" ? 422 : 503;
    if (wantsPage(c)) {
      const title = status === 404 ? "Not found" : status === 422 ? "That cannot be done" : "Not available";
      return c.html(errorPage(c, { title, message, remedy }), status);
    }
    const problems = error instanceof SweepFileError ? { problems: error.problems } : {};
    return c.json({ code, message, remedy, ...problems }, status);
  });
  return app;
}

const wantsPage = (c: Request): boolean =>
  !c.req.path.startsWith("/api/") && (c.req.header("accept")?.includes("text/html") ?? false);
