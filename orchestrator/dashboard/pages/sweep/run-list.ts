/**
 * The chosen runs of a phase as a working table: a column for each axis that varies, ordered and filtered by the database, a page
 * at a time; those that are checked are compared.
 */
import type { Context as Request } from "hono";
import { parameterizationNamed } from "../../../../schema/sweep/other-names.ts";
import { RULES } from "../../../../schema/sweep/rules.ts";
import { lossText } from "../../../analysis/loss-text.ts";
import { type ListedRun, listRuns, type RunCondition, type RunOrder } from "../../../database/cells.ts";
import type { Database } from "../../../database/open.ts";
import { varyingAxes } from "../../../database/phase-axes.ts";
import { titleOf } from "../../../sweep/title.ts";
import { duration, NONE, SHORT_DIGITS, short } from "../../../terminal/format.ts";
import { badge, type Column, dataTable, runPath } from "../../components.ts";
import { type Html, html } from "../../html.ts";
import { readSlice, type Slice } from "../../paging.ts";
import { chosenPoints, nothingText, otherView, type View } from "./view.ts";

const SIZE = 25;
/** Of rates in the table. */
const EXPONENT_DECIMALS = 2;
const COMPARISONS = { is: "is", "at-least": "is at least", "at-most": "is at most" } as const;

/** What of the list the address says. */
interface Listed extends Slice<ListedRun> {
  axes: string[];
  order: RunOrder;
  where: RunCondition | undefined;
}

export function readRuns(c: Request, db: Database, view: View): Listed {
  const axes = varyingAxes(db, view.phase.id).map(({ name }) => name);
  const order = readOrder(c, axes);
  const where = readCondition(c, axes);
  const slice = readSlice<ListedRun>(
    c,
    SIZE,
    (row) => [row.key, row.position],
    (from, backward, limit) =>
      listRuns(
        db,
        { ...chosenPoints(view), where },
        order,
        from === null ? null : [from[0] ?? 0, Number(from[1])],
        backward,
        limit,
      ),
  );
  return { ...slice, axes, order, where };
}

function readOrder(c: Request, axes: readonly string[]): RunOrder {
  const name = c.req.query("sort") ?? "";
  const descending = c.req.query("order") === "descending";
  if (name === "validation_loss" || name === "seconds") return { by: name, descending };
  return axes.includes(name)
    ? { by: { coordinate: name }, descending }
    : { by: "position", descending: false };
}

function readCondition(c: Request, axes: readonly string[]): RunCondition | undefined {
  const coordinate = c.req.query("where") ?? "";
  const comparison = c.req.query("compared") ?? "is";
  const text = c.req.query("to")?.trim() ?? "";
  if (!axes.includes(coordinate) || text === "" || !Object.hasOwn(COMPARISONS, comparison)) return undefined;
  return {
    coordinate,
    comparison: comparison as RunCondition["comparison"],
    value: valueMeant(coordinate, text),
  };
}

/** "0.01", "2^-7", or a word, as the table has them: its numbers are rounded, so all that are shown so are meant. */
function valueMeant(coordinate: string, text: string): RunCondition["value"] {
  if (coordinate === "parameterization") return parameterizationNamed(text) ?? text;
  if (text === NONE || text === "null") return null;
  const [, exponent, decimals = ""] = /^2\^(-?\d+(?:\.(\d+))?)$/.exec(text) ?? [];
  if (exponent !== undefined) {
    const half = 0.5 * 10 ** -Math.max(EXPONENT_DECIMALS, decimals.length);
    return { from: 2 ** (Number(exponent) - half), to: 2 ** (Number(exponent) + half) };
  }
  const number = Number(text);
  if (Number.isNaN(number)) return text;
  if (number === 0 || !Number.isFinite(number)) return { from: number, to: number };
  const written = text.replace(/e.*/i, "").replaceAll(/^\D*0*\.?0*|\./g, "").length;
  const last = Math.floor(Math.log10(Math.abs(number))) + 1 - Math.max(SHORT_DIGITS, written);
  return { from: number - 0.5 * 10 ** last, to: number + 0.5 * 10 ** last };
}

function valueText(name: string, value: unknown): string {
  if (name === "parameterization") return RULES[value as keyof typeof RULES].title;
  if (typeof value !== "number") return String(value ?? NONE);
  return name === "learning_rate" ? `2^${Number(Math.log2(value).toFixed(EXPONENT_DECIMALS))}` : short(value);
}

export function runList(c: Request, { rows, axes, order }: Listed, view: View): Html {
  if (rows.length === 0) return html`<p class="muted">${nothingText(view)}</p>`;
  const isAdded = rows.some((row) => row.reason !== "grid");
  const sortedBy = typeof order.by === "object" ? order.by.coordinate : order.by;
  const sort = (name: string): NonNullable<Column<ListedRun>["sort"]> => {
    const now = sortedBy !== name ? undefined : order.descending ? "descending" : "ascending";
    const href = otherView(c, { sort: name, order: now === "ascending" ? "descending" : null });
    return { href: `${href}#runs-heading`, now };
  };
  return dataTable<ListedRun>(
    "runs-table",
    `${sortedBy === "position" ? "In training order" : "As ordered"}; a column's name orders it. Points that mean the same training as another share its run.`,
    [
      {
        name: "compare",
        kind: "tick",
        value: (r) =>
          html`<input type="checkbox" name="run" value="${r.run}" aria-label="Compare ${titleOf(r.coordinates)}">`,
      },
      {
        name: "run",
        kind: "heading",
        value: (r) => html`<a href="${runPath(r.run)}">${titleOf(r.coordinates)}</a>`,
      },
      {
        name: "validation loss",
        kind: "number",
        value: (r) => (r.validation_loss === null ? "–" : lossText(r.validation_loss, 4)),
        sort: sort("validation_loss"),
      },
      ...axes.map((name) => ({
        name: name.replaceAll("_", " "),
        kind: name === "parameterization" ? ("words" as const) : ("number" as const),
        value: (r: ListedRun) => valueText(name, (r.coordinates as Record<string, unknown>)[name]),
        sort: sort(name),
      })),
      { name: "state", kind: "words", value: (r) => badge(r.state) },
      { name: "step", kind: "number", value: (r) => `${r.step} of ${r.steps}` },
      {
        name: "time",
        kind: "number",
        value: (r) => (r.seconds === null ? "" : duration(r.seconds)),
        sort: sort("seconds"),
      },
      ...(isAdded
        ? [
            {
              name: "added by",
              kind: "words" as const,
              value: (r: ListedRun) => (r.reason === "grid" ? "" : r.reason),
            },
          ]
        : []),
      ...(rows.some((row) => row.error !== null)
        ? [{ name: "error", kind: "words" as const, value: (r: ListedRun) => r.error ?? "" }]
        : []),
    ],
    rows,
  );
}

/** What a form of this page hands on as it is. */
const KEPT = ["phase", "map", "parameterization", "width", "sparsity", "outcome", "sort", "order"];

/** One condition on any axis that varies. */
export function runFilter(c: Request, { axes, where }: Listed): Html | "" {
  if (axes.length === 0) return "";
  const option = (value: string, title: string, isChosen: boolean): Html =>
    html`<option value="${value}"${isChosen ? html` selected` : ""}>${title}</option>`;
  return html`<form method="get" action="#runs-heading" class="filters" aria-label="Filter of the runs">
${KEPT.flatMap((name) => {
  const value = c.req.query(name);
  return value === undefined ? [] : [html`<input type="hidden" name="${name}" value="${value}">`];
})}
<label>where <select name="where">${axes.map((name) => option(name, name.replaceAll("_", " "), name === where?.coordinate))}</select></label>
<select name="compared" aria-label="compared how">${Object.entries(COMPARISONS).map(([value, title]) => option(value, title, value === where?.comparison))}</select>
<input name="to" aria-label="value" size="10" placeholder="0.01 or 2^-7" value="${c.req.query("to") ?? ""}">
<button>Filter</button>
${where === undefined ? "" : html`<a href="${otherView(c, { where: null, compared: null, to: null })}#runs-heading">All runs</a>`}
</form>`;
}
