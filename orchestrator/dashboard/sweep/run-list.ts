/** The chosen runs of a phase, in training order, a page at a time. */
import type { Context as Request } from "hono";
import type { RunState } from "../../../schema/tables.ts";
import type { Database } from "../../database/open.ts";
import type { Coordinates } from "../../sweep/expand-sweep.ts";
import { titleOf } from "../../sweep/title.ts";
import { duration, fixed } from "../../terminal/format.ts";
import { badge, dataTable, runPath } from "../components.ts";
import { type Html, html } from "../html.ts";
import { type Key, readSlice, type Slice } from "../paging.ts";
import { cellCondition, nothingText, type View } from "./view.ts";

const SIZE = 50;

interface Row {
  position: number;
  coordinates: string;
  reason: string;
  run: string;
  state: RunState;
  validation_loss: number | null;
  step: number;
  steps: number;
  seconds: number | null;
  error: string | null;
}

export function readRuns(c: Request, { sqlite }: Database, view: View): Slice<Row> {
  const { sql, values } = cellCondition(view);
  const fetch = (from: Key | null, backward: boolean, limit: number): Row[] => {
    const [comparison, order] = backward ? ["<", "DESC"] : [">", "ASC"];
    return sqlite
      .prepare<unknown[], Row>(
        `SELECT c.position, c.coordinates, c.reason, r.id AS run, r.state, r.validation_loss, r.step, r.steps, r.seconds,
           r.error
         FROM cells c JOIN runs r ON r.id = c.run_id
         WHERE ${sql} ${view.outcome === undefined ? "" : "AND r.state = ?"}
           ${from === null ? "" : `AND c.position ${comparison} ?`}
         ORDER BY c.position ${order} LIMIT ?`,
      )
      .all(
        ...values,
        ...(view.outcome === undefined ? [] : [view.outcome]),
        ...(from === null ? [] : [from[0]]),
        limit,
      );
  };
  return readSlice(c, SIZE, (row) => [row.position], fetch);
}

export function runList(rows: readonly Row[], view: View): Html {
  if (rows.length === 0) return html`<p class="muted">${nothingText(view)}</p>`;
  const isAdded = rows.some((row) => row.reason !== "grid");
  return dataTable<Row>(
    "runs-table",
    "In training order. Points that mean the same training as another share its run.",
    [
      {
        name: "run",
        kind: "heading",
        value: (r) =>
          html`<a href="${runPath(r.run)}">${titleOf(JSON.parse(r.coordinates) as Coordinates)}</a>`,
      },
      { name: "state", kind: "words", value: (r) => badge(r.state) },
      { name: "validation loss", kind: "number", value: (r) => fixed(r.validation_loss, 4) },
      { name: "step", kind: "number", value: (r) => `${r.step} of ${r.steps}` },
      { name: "time", kind: "number", value: (r) => (r.seconds === null ? "" : duration(r.seconds)) },
      ...(isAdded
        ? [
            {
              name: "added by",
              kind: "words" as const,
              value: (r: Row) => (r.reason === "grid" ? "" : r.reason),
            },
          ]
        : []),
      ...(rows.some((row) => row.error !== null)
        ? [{ name: "error", kind: "words" as const, value: (r: Row) => r.error ?? "" }]
        : []),
    ],
    rows,
  );
}
