/**
 * The SQL console: a query, its rows as a table or as CSV, and beside it what docs/sql.md says about the views. A query runs
 * only when it is sent by this page's own form: a link, or another site's picture, can fill the box in and no more.
 */
import type { HttpBindings } from "@hono/node-server";
import type { Context as Request } from "hono";
import { stream } from "hono/streaming";
import { MusweepError } from "../../../../schema/wire/errors.ts";
import { newestSweep } from "../../../database/sweeps.ts";
import { csvField } from "../../../report/figures/csv.ts";
import { readSqlGuide, type SqlExample, type SqlGuide } from "../../../sql/guide.ts";
import type { PlainValue } from "../../../sql/query-messages.ts";
import type { QueryRunner, RunningQuery } from "../../../sql/query-runner.ts";
import { shown } from "../../../sql/shown.ts";
import { plural } from "../../../terminal/format.ts";
import { readForm } from "../../bodies.ts";
import { runPath, sweepPath } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import { page } from "../../layout.ts";
import type { Context, Page } from "../../page.ts";

const SECONDS = 10;
/** A download has longer: it is all the rows. */
const CSV_SECONDS = 60;
const ROWS_SHOWN = 1000;
const CHARACTERS_SHOWN = 2_000_000;
const VALUE_CHARACTERS_SHOWN = 1000;

export const sqlPage: Page = {
  nav: { title: "SQL", href: "/sql" },
  mount(app, { db, queries }) {
    const guide = readSqlGuide();
    const show = (c: Request, query: string, result: Html | "") =>
      page(c, { title: "SQL", section: "/sql", body: body(guideFor(db, guide), query, result) });
    app.get("/sql", (c) => c.html(show(c, c.req.query("query") ?? "", "")));
    app.post("/sql", async (c) => {
      const query = await sentQuery(c);
      try {
        return c.html(show(c, query, await resultTable(await ask(queries, c, query))));
      } catch (error) {
        if (!(error instanceof MusweepError)) throw error;
        return c.html(show(c, query, problem(error)), error.kind === "usage" ? 422 : 503);
      }
    });
    app.post("/sql/csv", async (c) => {
      const query = await sentQuery(c);
      try {
        return sendCsv(c, await askAll(queries, c, query));
      } catch (error) {
        if (!(error instanceof MusweepError)) throw error;
        return c.html(show(c, query, problem(error)), error.kind === "usage" ? 422 : 503);
      }
    });
  },
};

async function sentQuery(c: Request): Promise<string> {
  const { query } = await readForm(c);
  return typeof query === "string" ? query : "";
}

const ask = (queries: QueryRunner, c: Request, query: string): Promise<RunningQuery> =>
  queries.run(
    {
      query,
      max_rows: ROWS_SHOWN,
      max_characters: CHARACTERS_SHOWN,
      max_value_characters: VALUE_CHARACTERS_SHOWN,
    },
    { seconds: SECONDS, signal: c.req.raw.signal },
  );

const askAll = (queries: QueryRunner, c: Request, query: string): Promise<RunningQuery> =>
  queries.run(
    { query, max_rows: null, max_characters: null, max_value_characters: null },
    { seconds: CSV_SECONDS, signal: c.req.raw.signal },
  );

/** As fast as the browser takes it. A query that fails on the way breaks the download off, so that no half is taken for the whole. */
function sendCsv(c: Request, query: RunningQuery): Response {
  c.header("content-type", "text/csv; charset=utf-8");
  c.header("content-disposition", 'attachment; filename="musweep.csv"');
  const line = (values: readonly PlainValue[]): string => `${values.map(csvField).join(",")}\r\n`;
  return stream(c, async (out) => {
    try {
      let pending = line(query.columns);
      for await (const row of query.rows) {
        pending += line(row);
        if (pending.length < 1 << 16) continue;
        await out.write(pending);
        pending = "";
      }
      await out.write(pending);
    } catch (err) {
      if (!out.aborted) c.get("log").warn({ err }, "a download of query results was broken off");
      (c.env as Partial<HttpBindings> | undefined)?.outgoing?.destroy();
    }
  });
}

async function resultTable({ columns, rows, elapsed }: RunningQuery): Promise<Html> {
  const read: PlainValue[][] = [];
  let next = await rows.next();
  for (; !next.done; next = await rows.next()) read.push(next.value);
  const seconds = elapsed();
  const count =
    next.value === "capped"
      ? `The first ${read.length.toLocaleString("en-US")} rows; there are more, and CSV has them all`
      : read.length === 0
        ? "No rows"
        : plural(read.length, "row");
  const numeric = columns.map((_, i) => read.some((row) => typeof row[i] === "number"));
  return html`<p role="status" id="answer">${count}, after ${seconds.toFixed(2)} s</p>
<div class="scroll result" role="region" aria-labelledby="answer" tabindex="0"><table>
<thead><tr>${columns.map((name, i) => html`<th scope="col"${numeric[i] ? html` class="number"` : ""}>${name}</th>`)}</tr></thead>
<tbody>${read.map(
    (row) =>
      html`<tr>${row.map((value, i) => html`<td${numeric[i] ? html` class="number"` : ""}>${cell(columns[i]!, value)}</td>`)}</tr>
`,
  )}</tbody></table></div>`;
}

/** Runs and sweeps lead to their pages. */
function cell(column: string, value: PlainValue): Html | string {
  if (value === null) return html`<span class="muted">NULL</span>`;
  if (typeof value === "number") return html`<span title="${value}">${shown(value)}</span>`;
  if ((column === "run" || column === "run_id") && /^r[0-9a-f]{20}$/.test(value))
    return html`<a href="${runPath(value)}">${value}</a>`;
  if (column === "sweep" && value !== "") return html`<a href="${sweepPath(value)}">${value}</a>`;
  return value;
}

const problem = ({ message, remedy }: MusweepError): Html =>
  html`<div role="alert" id="answer"><p class="problem breaks">${message}</p>${remedy === undefined ? "" : html`<p>${remedy}</p>`}</div>`;

/** The examples ask for the sweep that was submitted last, which people look at most. */
function guideFor(db: Context["db"], guide: SqlGuide): SqlGuide {
  const newest = newestSweep(db);
  if (newest === undefined) return guide;
  const named = `'${newest.replaceAll("'", "''")}'`;
  const examples = guide.examples.map(({ title, sql }) => ({
    title,
    sql: sql.replaceAll("'quickstart'", () => named),
  }));
  return { ...guide, examples };
}

const body = ({ views, examples }: SqlGuide, query: string, result: Html | ""): Html => html`<h1>SQL</h1>
<div class="console">
<div class="console-main">
<form method="post" action="/sql#answer">
<label for="query">A query, read-only</label>
<textarea id="query" name="query" rows="10" spellcheck="false" autocapitalize="off" required autofocus data-run-keys>${query || examples[0]?.sql || ""}</textarea>
<p class="actions"><button class="primary">Run</button> <button formaction="/sql/csv">Download CSV</button>
<span class="muted">Interrupted after ${SECONDS} s, a download after ${CSV_SECONDS} s. <kbd>Ctrl</kbd> + <kbd>Enter</kbd> runs.</span></p>
</form>
${result}
<h2>Examples</h2>
<ul class="examples">${examples.map(exampleLink)}</ul>
</div>
<aside class="console-guide" aria-labelledby="views"><h2 id="views">Views</h2>
<p class="muted">Losses are nats per token (of scripts of your own: what they report), learning rates base rates, times seconds.</p>
${views.map(
  (
    { name, summary, columns },
    i,
  ) => html`<details${i === 0 ? html` open` : ""}><summary><code>${name}</code> ${summary}</summary>
<dl>${columns.map(({ names, meaning }) => html`<dt>${names.map((column) => html`<code>${column}</code> `)}</dt><dd>${meaning}</dd>`)}</dl></details>`,
)}
<details><summary>Tables beneath</summary><p>${["metrics", "attempts", "runs", "plans"].map((name) => html`<code>${name}</code> `)}… may change between versions; the views stay.</p></details>
</aside>
</div>`;

const exampleLink = ({ title, sql }: SqlExample): Html =>
  html`<li><a href="/sql?query=${encodeURIComponent(sql)}">${title}</a></li>`;
