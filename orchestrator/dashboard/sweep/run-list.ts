/** The runs of a phase, in training order, a page at a time. */
import type { Context as Request } from "hono";
import type { RunState } from "../../../schema/tables.ts";
import type { Database } from "../../database/open.ts";
import type { Coordinates } from "../../sweep/expand-sweep.ts";
import { titleOf } from "../../sweep/title.ts";
import { duration, fixed } from "../../terminal/format.ts";
import { badge, dataTable, runPath } from "../components.ts";
import { type Html, html } from "../html.ts";
import { pager, readSlice } from "../paging.ts";

const SIZE = 50;

interface Row {
  position: number;
  coordinates: string;
  run: string;
  state: RunState;
  validation_loss: number | null;
  step: number;
  steps: number;
  seconds: number | null;
}

export function runList(c: Request, { sqlite }: Database, phaseId: number): Html {
  const slice = readSlice<Row>(
    c,
    SIZE,
    (row) => [row.position],
    (from, backward, limit) => {
      const [comparison, order] = backward ? ["<", "DESC"] : [">", "ASC"];
      return sqlite
        .prepare<unknown[], Row>(
          `SELECT c.position, c.coordinates, r.id AS run, r.state, r.validation_loss, r.step, r.steps, r.seconds
           FROM cells c JOIN runs r ON r.id = c.run_id
           WHERE c.phase_id = ? ${from === null ? "" : `AND c.position ${comparison} ?`}
           ORDER BY c.position ${order} LIMIT ?`,
        )
        .all(phaseId, ...(from === null ? [] : [from[0]]), limit);
    },
  );
  const table = dataTable(
    "runs",
    "In training order",
    [
      {
        name: "run",
        kind: "heading",
        value: (r) =>
          html`<a href="${runPath(r.run)}">${titleOf(JSON.parse(r.coordinates) as Coordinates)}</a>`,
      },
      { name: "state", kind: "words", value: (r) => badge(r.state) },
      { name: "validation loss", kind: "number", value: (r) => fixed(r.validation_loss, 4) },
      { name: "steps", kind: "number", value: (r) => `${r.step} of ${r.steps}` },
      { name: "time", kind: "number", value: (r) => (r.seconds === null ? "" : duration(r.seconds)) },
    ],
    slice.rows,
  );
  return html`${table}${pager(c, slice, "runs")}`;
}
