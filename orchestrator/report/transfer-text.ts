/** What several optima say together, as text: drift along the other axes, losses side by side, exponents. */
import type { TakenName } from "../../schema/sweep/hyperparameters.ts";
import { type Parameterization, RULES } from "../../schema/sweep/rules.ts";
import { atLeast, atMost, roundDown, roundUp } from "../analysis/bounds.ts";
import { type Axis, samePlaces } from "../analysis/groups.ts";
import { lossBound, lossText } from "../analysis/loss-text.ts";
import { signed } from "../analysis/signed.ts";
import { TUNED } from "../analysis/tuned.ts";
import type { Drift, Regret } from "../analysis/types.ts";
import type { ExponentsRow, LevelRow, TransferRow } from "../database/results.ts";
import { fixed } from "../terminal/format.ts";
import { type Column, textTable } from "../terminal/table.ts";
import { type AnswerRow, driftOf, lawsOf, placeOf, regretOf, theoryText } from "./answer.ts";

const titleOf = ({ parameterization }: { parameterization: string }): string =>
  RULES[parameterization as Parameterization].title;

/** Columns for the coordinates in which the rows' places differ. */
function placeColumns<Row>(rows: readonly Row[], placeOf: (row: Row) => Record<string, unknown>) {
  const names = [...new Set(rows.flatMap((row) => Object.keys(placeOf(row))))];
  return names
    .filter((name) => new Set(rows.map((row) => JSON.stringify(placeOf(row)[name]))).size > 1)
    .map(
      (name): Column<Row> => ({
        title: name,
        align: "right",
        value: (row) => String(placeOf(row)[name] ?? ""),
      }),
    );
}

const parsed = ({ place }: { place: string }) => JSON.parse(place) as Record<string, unknown>;

/** Density has its drift in the table of optima; each other axis a table of its own, with its exponents below. */
export function transferLines(axis: Axis, tuned: TakenName, rows: TransferRow[]): string[] {
  if (rows.length === 0) return [];
  const right = { align: "right" as const };
  return [
    "",
    `Drift across ${axis}, in octaves (95% interval), and the cost of the ${TUNED[tuned].short} of the first ${axis}`,
    "",
    textTable<TransferRow>(
      [
        { title: "param.", value: titleOf },
        ...placeColumns(rows, parsed),
        { title: "from", ...right, value: (t) => String(t.base_value) },
        { title: "to", ...right, value: (t) => String(t.value) },
        { title: "drift", ...right, value: (t) => driftCell(driftOf(t)) },
        {
          title: "95% interval",
          ...right,
          value: (t) => (t.drift === null ? "–" : interval(t.drift_low, t.drift_high, 2)),
        },
        { title: "cost", ...right, value: (t) => regretCell(regretOf(t)) },
        { title: "verdict", value: (t) => t.verdict },
      ],
      rows,
    ),
    ...axisExponentLines(axis, tuned, rows),
  ];
}

function axisExponentLines(axis: Axis, tuned: TakenName, rows: TransferRow[]): string[] {
  const laws = lawsOf(rows);
  if (laws.length === 0) return [];
  const right = { align: "right" as const };
  return [
    "",
    `Exponent: log2 ${TUNED[tuned].short}* = a + b · log2 ${axis}`,
    "",
    textTable<TransferRow>(
      [
        { title: "param.", value: titleOf },
        ...placeColumns(laws, parsed),
        { title: "b", ...right, value: (t) => signed(t.exponent!, 2) },
        { title: "95% interval", ...right, value: (t) => interval(t.exponent_low, t.exponent_high, 2) },
        { title: "theory", value: (t) => theoryText(t) },
      ],
      laws,
    ),
  ];
}

/** Only where there are several parameterizations. */
export function levelLines(rows: readonly AnswerRow[], levels: readonly LevelRow[]): string[] {
  const titles = [...new Map(rows.map((r) => [r.parameterization, r.title]))];
  if (titles.length < 2) return [];
  const levelOf = new Map(levels.map((l) => [l.curve, l]));
  const placed = rows.map((row) => ({
    ...row,
    coordinates: placeOf(row),
    level: levelOf.get(row.curve),
  }));
  const places = samePlaces(placed).filter(({ members }) => members.some((m) => m.level !== undefined));
  if (places.length === 0) return [];
  type Place = (typeof places)[number];
  const whereIs = ({ members, shared }: Place): Record<string, unknown> => {
    const { sparsity, ...rest } = shared;
    return { width: members[0].width, ...rest, sparsity };
  };
  return [
    "",
    "Level: loss at each curve's own optimum, and per cent above the lowest of its row (≤ the best of a grid that does not bracket)",
    "",
    textTable<Place>(
      [
        ...placeColumns(places, whereIs),
        ...titles.map(
          ([parameterization, title]): Column<Place> => ({
            title,
            align: "right",
            value: ({ members }) =>
              levelCell(members.find((m) => m.parameterization === parameterization)?.level),
          }),
        ),
      ],
      places,
    ),
  ];
}

function levelCell(l: LevelRow | undefined): string {
  if (l === undefined) return "–";
  if (l.loss === null) return l.loss_high === null ? "–" : lossBound(l.loss_high, 3);
  return `${lossText(l.loss, 3)} ${l.per_cent_above_best === 0 ? "lowest" : `+${l.per_cent_above_best.toFixed(1)}%`.padStart(6)}`;
}

export function exponentLines(tuned: TakenName, rows: ExponentsRow[]): string[] {
  const known = rows.filter((e) => e.width !== null || e.density !== null);
  if (known.length === 0) return [];
  const right = { align: "right" as const };
  const law = (name: "width" | "density") => [
    {
      title: name === "width" ? "b, width" : "c, density",
      ...right,
      value: (e: ExponentsRow) => (e[name] === null ? "–" : signed(e[name], 2)),
    },
    {
      title: "95% interval",
      ...right,
      value: (e: ExponentsRow) => interval(e[`${name}_low`], e[`${name}_high`], 2),
    },
    {
      title: "theory",
      ...right,
      value: (e: ExponentsRow) => (e[name] === null ? "" : String(e[`${name}_theory`] ?? "none")),
    },
  ];
  const varying = (["width", "density"] as const).filter((name) => known.some((e) => e[name] !== null));
  return [
    "",
    `Exponents: log2 ${TUNED[tuned].short}* = a${varying.includes("width") ? " + b · log2 width" : ""}${varying.includes("density") ? " + c · log2 density" : ""}`,
    "",
    textTable<ExponentsRow>(
      [
        { title: "param.", value: titleOf },
        ...placeColumns(known, parsed),
        ...varying.flatMap(law),
        { title: "curves", ...right, value: (e) => String(e.used) },
        { title: "not bracketed", ...right, value: (e) => String(e.left_out) },
      ],
      known,
    ),
  ];
}

const interval = (low: number | null, high: number | null, digits: number): string =>
  low === null || high === null ? "–" : `${signed(low, digits)} to ${signed(high, digits)}`;

/** A bound is shown as one: never a number that looks like an estimate. */
export function driftCell(d: Drift): string {
  if (d.estimate !== null) return signed(d.estimate, 2);
  if (d.low !== null && d.high === null) return `≥ ${signed(roundDown(d.low, 1), 1)}`;
  if (d.high !== null && d.low === null) return `≤ ${signed(roundUp(d.high, 1), 1)}`;
  if (d.low !== null && d.high !== null)
    return `${signed(roundDown(d.low, 1), 1)}…${signed(roundUp(d.high, 1), 1)}`;
  return "?";
}

/** The likeliest loss, and in brackets the most that it may be, or the least; either bound holds at 95%, as in the verdict's sentence. */
export function regretCell({ state, per_cent }: Regret): string {
  if (state === "diverges") return "diverges";
  const { estimate, low_90, high_90 } = per_cent;
  const value = estimate ?? low_90;
  if (state === "unknown" || value === null) return "?";
  if (estimate === null || state === "outside") return `≥ ${atLeast(value, 1)}%`;
  return `${fixed(value, 1)}%${high_90 === null ? "" : ` (≤ ${atMost(high_90, high_90 < 10 ? 2 : 1)}%)`}`;
}
