/** The report's tables in HTML: what the figures show, as numbers with their intervals. A bound always says that it is one. */

import { type Parameterization, RULES } from "../../../schema/sweep/rules.ts";
import { roundDown, roundUp } from "../../analysis/bounds.ts";
import { placeName } from "../../analysis/coordinate-lines.ts";
import { verdictOf } from "../../analysis/coordinates.ts";
import { explainFlag } from "../../analysis/flags.ts";
import type { Axis } from "../../analysis/groups.ts";
import { lossDigits } from "../../analysis/loss-text.ts";
import { TUNED } from "../../analysis/tuned.ts";
import type { Bounded, Regret } from "../../analysis/types.ts";
import type { ExponentsRow, LevelRow, TransferRow } from "../../database/results.ts";
import { driftOf, lawsOf, regretOf, theoryText } from "../answer.ts";
import type { CoordinateAnswer } from "../coordinate-answer.ts";
import { allowedCell, JUDGED, type SlopeRow, slopeCell, slopeRows } from "../coordinate-text.ts";
import type { FigureCurve } from "./data.ts";
import { coordinate, type Facets } from "./facets.ts";
import { coordinateLabel, decimal, signedDecimal, sparsityLabel } from "./labels.ts";
import { type Attributes, element, type Markup, text } from "./markup.ts";

interface Column<Row> {
  name: string;
  /** Numbers stand to the right; a heading names its row. */
  kind: "heading" | "number" | "words";
  value: (row: Row) => string | Markup[];
  data?: (row: Row) => Attributes;
}

function table<Row>(id: string, caption: string, columns: Column<Row>[], rows: Row[]): Markup {
  const cell = (column: Column<Row>, row: Row): Markup => {
    const value = column.value(row);
    const content = typeof value === "string" ? [text(value)] : value;
    const attributes = { class: column.kind, ...column.data?.(row) };
    return column.kind === "heading"
      ? element("th", { scope: "row", ...attributes }, content)
      : element("td", attributes, content);
  };
  return element(
    "div",
    { class: "scroll", role: "region", "aria-labelledby": `${id}-caption`, tabindex: 0 },
    element(
      "table",
      { id },
      element("caption", { id: `${id}-caption` }, element("span", {}, text(caption))),
      element(
        "thead",
        {},
        element(
          "tr",
          {},
          columns.map((c) => element("th", { scope: "col", class: c.kind }, text(c.name))),
        ),
      ),
      element(
        "tbody",
        {},
        rows.map((row) =>
          element(
            "tr",
            {},
            columns.map((c) => cell(c, row)),
          ),
        ),
      ),
    ),
  );
}

type Write = (value: number, digits: number) => string;

/** A bounded value in words: "1.94", "≥ 1.94", "≤ 1.94", "1.9 to 2.1", or "–". What is only a bound is rounded so that it holds. */
function bounded({ estimate, low, high }: Bounded, digits: number, write: Write = decimal): string {
  if (estimate !== null) return write(estimate, digits);
  const least = low === null ? null : write(roundDown(low, digits), digits);
  const most = high === null ? null : write(roundUp(high, digits), digits);
  if (least !== null && most !== null) return `${least} to ${most}`;
  if (least !== null) return `≥ ${least}`;
  return most !== null ? `≤ ${most}` : "–";
}

const interval = ({ estimate, low, high }: Bounded, digits: number, write: Write = decimal): string =>
  estimate !== null && low !== null && high !== null ? `${write(low, digits)} to ${write(high, digits)}` : "";

const withInterval = (value: Bounded, digits: number, write: Write = decimal): string => {
  const range = interval(value, digits, write);
  const said = bounded(value, digits, write);
  return range === "" ? said : `${said} (${range})`;
};

const rate = (o: FigureCurve["optimum"]): Bounded => ({
  estimate: o.log2_tuned,
  low: o.log2_tuned_low,
  high: o.log2_tuned_high,
});

function regretText(regret: Regret | null): string {
  if (regret === null) return "base";
  if (regret.state === "diverges") return "diverges";
  const { estimate, low, low_90, high } = regret.per_cent;
  if (regret.state === "unknown" || (estimate === null && low_90 === null)) return "unknown";
  // A bound by itself is the one of the verdict's sentence.
  if (estimate === null || regret.state === "outside")
    return `≥ ${decimal(roundDown(low_90 ?? estimate!, 1), 1)}%`;
  const range = low === null || high === null ? "" : ` (${decimal(low, 1)}–${decimal(high, 1)})`;
  return `${decimal(estimate, 1)}%${range}`;
}

/** Columns that tell the curves of a phase apart, beside sparsity. */
const whereColumns = (facets: Facets): Column<FigureCurve>[] => [
  { name: "parameterization", kind: "heading", value: (c) => c.title },
  ...facets.varying.map(
    (name): Column<FigureCurve> => ({
      name,
      kind: "number",
      value: (c) => coordinateLabel("", coordinate(c, name)).trim(),
    }),
  ),
];

const sparsityColumn = (facets: Facets): Column<FigureCurve> => ({
  name: "sparsity",
  kind: "number",
  value: (c) => facets.sparsityLabels[facets.sparsities.indexOf(c.sparsity)] ?? sparsityLabel(c.sparsity),
});

export function optimumTable(id: string, facets: Facets, curves: FigureCurve[]): Markup {
  const hasDrift = curves.some((c) => c.drift !== null);
  return table(
    id,
    `Optimal ${TUNED[facets.tuned].long} of each curve (log₂)${hasDrift ? "; its drift, in octaves, is from the least sparse curve that is alike in everything else" : ""}`,
    [
      ...whereColumns(facets),
      sparsityColumn(facets),
      {
        name: `log₂ ${TUNED[facets.tuned].short}*`,
        kind: "number",
        value: (c) => bounded(rate(c.optimum), 2),
        data: ({ curve, optimum: o }) => ({
          "data-curve": curve,
          "data-flag": o.flag,
          "data-log2-lr": o.log2_tuned,
          "data-low": o.log2_tuned_low,
          "data-high": o.log2_tuned_high,
        }),
      },
      { name: "95% interval", kind: "number", value: (c) => interval(rate(c.optimum), 2) },
      {
        name: "loss there",
        kind: "number",
        value: ({ optimum: o }) =>
          withInterval(
            o.loss === null
              ? { estimate: null, low: null, high: o.grid_loss }
              : { estimate: o.loss, low: o.loss_low, high: o.loss_high },
            lossDigits(o.loss ?? o.grid_loss ?? 1, 3),
          ),
        data: ({ optimum: o }) => ({ "data-loss": o.loss }),
      },
      ...(hasDrift
        ? [
            {
              name: "drift, octaves",
              kind: "number" as const,
              value: (c: FigureCurve) =>
                c.drift === null ? "base" : withInterval(c.drift, 2, signedDecimal),
              data: (c: FigureCurve) => ({ "data-drift": c.drift?.estimate }),
            },
          ]
        : []),
      { name: "note", kind: "words", value: (c) => explainFlag(c.optimum, c) },
    ],
    curves,
  );
}

/** A row per parameterization and row of panels, a column per sparsity. */
export function regretTable(id: string, facets: Facets): Markup | null {
  const groups = facets.rows.flatMap((row) =>
    row.panels.flatMap((panel) => (panel === null ? [] : [{ row, panel }])),
  );
  if (!groups.some(({ panel }) => panel.curves.some((c) => c.regret !== null))) return null;
  type Group = (typeof groups)[number];
  return table(
    id,
    `Cost of training at the least sparse curve's optimal ${TUNED[facets.tuned].short}: loss above the own optimum, per cent (95% interval)`,
    [
      { name: "parameterization", kind: "heading", value: ({ panel }: Group) => panel.title },
      ...(facets.rows.some((row) => row.label !== "")
        ? [{ name: facets.varying.join(", "), kind: "words" as const, value: ({ row }: Group) => row.label }]
        : []),
      ...facets.sparsities.map((sparsity, i): Column<Group> => {
        const find = ({ panel }: Group) => panel.curves.find((c) => c.sparsity === sparsity);
        return {
          name: facets.sparsityLabels[i]!,
          kind: "number",
          value: (g) => {
            const curve = find(g);
            return curve === undefined ? "" : regretText(curve.regret);
          },
          data: (g) => ({ "data-regret-per-cent": find(g)?.regret?.per_cent.estimate }),
        };
      }),
    ],
    groups,
  );
}

/** Best losses side by side: a row per sparsity, a column per parameterization; the lowest of a row in bold. */
export function levelTable(id: string, facets: Facets): Markup | null {
  if (facets.parameterizations.length < 2) return null;
  const rows = facets.rows.flatMap((row) =>
    facets.sparsities.flatMap((sparsity, i) => {
      const levels = new Map(
        row.panels.flatMap((panel): [string, LevelRow][] => {
          const own = panel?.curves.find((c) => c.sparsity === sparsity)?.level;
          return own == null ? [] : [[own.parameterization, own]];
        }),
      );
      return levels.size === 0 ? [] : [{ label: row.label, sparsity: facets.sparsityLabels[i]!, levels }];
    }),
  );
  if (rows.length === 0) return null;
  type Row = (typeof rows)[number];
  return table(
    id,
    "Level: loss at each curve's own optimum (95% interval), and how far above the row's lowest. ≤ is the best of the grid where no optimum is bracketed.",
    [
      { name: "sparsity", kind: "heading", value: (row: Row) => row.sparsity },
      ...(facets.rows.some((row) => row.label !== "")
        ? [{ name: facets.varying.join(", "), kind: "words" as const, value: (row: Row) => row.label }]
        : []),
      ...facets.parameterizations.map(
        ({ id: parameterization, title }): Column<Row> => ({
          name: title,
          kind: "number",
          value: ({ levels }) => {
            const own = levels.get(parameterization);
            if (own === undefined) return "";
            const written = withInterval(
              { estimate: own.loss, low: own.loss_low, high: own.loss_high },
              lossDigits(own.loss ?? own.loss_high ?? 1, 3),
            );
            if (own.loss === null) return written;
            return own.per_cent_above_best === 0
              ? [element("strong", {}, text(written))]
              : `${written} ${signedDecimal(own.per_cent_above_best, 1)}%`;
          },
          data: ({ levels }) => ({ "data-loss": levels.get(parameterization)?.loss }),
        }),
      ),
    ],
    rows,
  );
}

/** Drift and cost along another axis than density, which has its place in the table of optima. */
export function transferTable(id: string, axis: Axis, rows: TransferRow[], facets: Facets): Markup | null {
  if (rows.length === 0) return null;
  const places = rows.map((row) => JSON.parse(row.place) as Record<string, unknown>);
  const differing = [...new Set(places.flatMap((place) => Object.keys(place)))].filter(
    (name) => new Set(places.map((place) => JSON.stringify(place[name]))).size > 1,
  );
  return table(
    id,
    `Across ${axis}: drift of the optimum from the first ${axis}, in octaves, and the cost of training at its optimal ${TUNED[facets.tuned].short} (95% intervals)`,
    [
      {
        name: "parameterization",
        kind: "heading",
        value: (row) => RULES[row.parameterization as Parameterization].title,
      },
      ...differing.map(
        (key): Column<TransferRow> => ({
          name: key,
          kind: "number",
          value: (row) => coordinateLabel("", (JSON.parse(row.place) as Record<string, unknown>)[key]).trim(),
        }),
      ),
      { name: `from ${axis}`, kind: "number", value: (row) => String(row.base_value) },
      { name: `to ${axis}`, kind: "number", value: (row) => String(row.value) },
      {
        name: "drift, octaves",
        kind: "number",
        value: (row) => withInterval(driftOf(row), 2, signedDecimal),
        data: (row) => ({ "data-drift": row.drift }),
      },
      { name: "cost", kind: "number", value: (row) => regretText(regretOf(row)) },
      { name: "verdict", kind: "words", value: (row) => row.verdict },
    ],
    rows,
  );
}

/** The power law of the optimum along one other axis, beside what theories say. */
export function axisExponentsTable(
  id: string,
  axis: Axis,
  rows: TransferRow[],
  facets: Facets,
): Markup | null {
  const laws = lawsOf(rows);
  if (laws.length === 0) return null;
  return table(
    id,
    `Exponent: log₂ ${TUNED[facets.tuned].short}* = a + b · log₂ ${axis} (95% intervals)`,
    [
      {
        name: "parameterization",
        kind: "heading",
        value: (row) => RULES[row.parameterization as Parameterization].title,
      },
      ...(new Set(laws.map((row) => row.place)).size > 1
        ? [{ name: "at", kind: "words" as const, value: (row: TransferRow) => placeLabel(row.place) }]
        : []),
      {
        name: "b",
        kind: "number",
        value: ({ exponent, exponent_low, exponent_high }) =>
          withInterval({ estimate: exponent, low: exponent_low, high: exponent_high }, 2),
        data: (row) => ({ "data-exponent": row.exponent }),
      },
      { name: "theory", kind: "words", value: theoryText },
    ],
    laws,
  );
}

/** The power law of the optimum, beside what theory says. */
export function exponentsTable(id: string, rows: ExponentsRow[], facets: Facets): Markup | null {
  if (rows.length === 0) return null;
  const law = (row: ExponentsRow, name: "width" | "density" | "intercept") =>
    withInterval({ estimate: row[name], low: row[`${name}_low`], high: row[`${name}_high`] }, 2);
  const theory = (value: number | null): string => (value === null ? "" : ` (theory ${value})`);
  return table(
    id,
    `Exponents: log₂ ${TUNED[facets.tuned].short}* = a + b · log₂ width + c · log₂ density (95% intervals; theory's value where there is one). – where it does not vary, or varies in step with the other`,
    [
      {
        name: "parameterization",
        kind: "heading",
        value: (row) => RULES[row.parameterization as Parameterization].title,
      },
      ...(new Set(rows.map((row) => row.place)).size > 1
        ? [{ name: "at", kind: "words" as const, value: (row: ExponentsRow) => placeLabel(row.place) }]
        : []),
      { name: "a", kind: "number", value: (row) => law(row, "intercept") },
      {
        name: "b, width",
        kind: "number",
        value: (row) => `${law(row, "width")}${row.width === null ? "" : theory(row.width_theory)}`,
        data: (row) => ({ "data-width-exponent": row.width }),
      },
      {
        name: "c, density",
        kind: "number",
        value: (row) => `${law(row, "density")}${row.density === null ? "" : theory(row.density_theory)}`,
        data: (row) => ({ "data-density-exponent": row.density }),
      },
      {
        name: "curves",
        kind: "number",
        value: (row) =>
          row.left_out === 0 ? String(row.used) : `${row.used} (${row.left_out} not bracketed)`,
      },
    ],
    rows,
  );
}

const placeLabel = (place: string): string =>
  Object.entries(JSON.parse(place) as Record<string, unknown>)
    .map(([name, value]) => coordinateLabel(name, value))
    .join(", ");

/** Every point of the curves, as the figure draws them. */
export function pointsTable(id: string, facets: Facets, curves: FigureCurve[]): Markup {
  const rows = curves.flatMap((curve) => curve.points.map((point) => ({ curve, point })));
  type Row = (typeof rows)[number];
  const number = (v: number | null, digits: number): string => (v === null ? "" : decimal(v, digits));
  return table(
    id,
    `Validation loss at each ${TUNED[facets.tuned].long}${facets.unit}`,
    [
      ...[...whereColumns(facets), sparsityColumn(facets)].map(
        (column): Column<Row> => ({
          name: column.name,
          kind: column.kind,
          value: (row) => column.value(row.curve),
        }),
      ),
      {
        name: `log₂ ${TUNED[facets.tuned].short}`,
        kind: "number",
        value: ({ point }) => number(point.log2_tuned, 2),
      },
      {
        name: "mean loss",
        kind: "number",
        value: ({ point }) => number(point.mean, 4),
        data: ({ point }) => ({ "data-loss": point.mean }),
      },
      { name: "lowest", kind: "number", value: ({ point }) => number(point.low, 4) },
      { name: "highest", kind: "number", value: ({ point }) => number(point.high, 4) },
      { name: "finished", kind: "number", value: ({ point }) => String(point.finished) },
      { name: "diverged", kind: "number", value: ({ point }) => String(point.diverged) },
      { name: "missing", kind: "number", value: ({ point }) => String(point.missing) },
    ],
    rows,
  );
}

/** A coordinate check's judged slopes, a row per module. */
export const slopesTable = (id: string, check: CoordinateAnswer): Markup =>
  table<SlopeRow>(
    id,
    `Octaves of mean |activation| per octave of the axis, 95% interval; flat: within ${check.tolerance} of what theory allows.`,
    [
      { name: "parameterization", kind: "heading", value: ({ line }) => RULES[line.parameterization].title },
      { name: "along", kind: "words", value: ({ line }) => line.axis },
      { name: "module", kind: "words", value: ({ slopes }) => placeName(slopes[0]!) },
      ...JUDGED.map(
        ({ title, is }): Column<SlopeRow> => ({
          name: title,
          kind: "number",
          value: ({ slopes }) => slopeCell(slopes.find(is)),
        }),
      ),
      { name: "allowed", kind: "number", value: ({ slopes }) => allowedCell(slopes) },
      { name: "verdict", kind: "words", value: ({ slopes }) => verdictOf(slopes) },
    ],
    slopeRows(check),
  );
