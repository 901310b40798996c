/**
 * Which curves share a panel. A panel is one parameterization at one value of everything else that varies, with a line per
 * sparsity, or per width; parameterizations stand side by side, the rest (width, init_std, …) makes rows. What follows from
 * parameterization and line alone, such as the width in an iso-parameter sweep, needs no row and goes into the names.
 */
import type { TakenName } from "../../../schema/sweep/hyperparameters.ts";
import { coordinateOf, follows, freeCoordinates, groupsAlong } from "../../analysis/groups.ts";
import { placeOf } from "../answer.ts";
import type { FigureCurve, FigurePhase } from "./data.ts";
import { coordinateLabel, sparsityLabel } from "./labels.ts";

export interface Panel {
  title: string;
  /** What follows from the parameterization alone, such as "init_std 0.02"; may be empty. */
  subtitle: string;
  parameterization: string;
  /** By rising sparsity or width, each once: a line each. */
  curves: FigureCurve[];
}

/** What the lines of a panel differ in; a line's colour and marker are its place here. */
interface Lines {
  name: "sparsity" | "width";
  /** Of the whole phase, rising. */
  values: number[];
  /** With what is tied to them. */
  labels: string[];
}

interface PanelRow {
  /** "width 256, layers 2"; empty when the phase has one row. */
  label: string;
  /** One per parameterization, in the sweep's order; null where the sweep has none. */
  panels: (Panel | null)[];
}

export interface Facets {
  phase: string;
  /** What the curves are over. */
  tuned: TakenName;
  /** Of the losses, in brackets; empty where it is not known. */
  unit: string;
  lines: Lines;
  /** Every sparsity of the phase, rising, and their names. */
  sparsities: number[];
  sparsityLabels: string[];
  parameterizations: { id: string; title: string }[];
  /** Names of the coordinates that make rows. */
  varying: string[];
  rows: PanelRow[];
  /** Rows left out because no panel in them has a curve (two learning rates or more), or because there are too many. */
  left_out: { without_curve: number; too_many: number };
}

/** More rows than this make no figure that anyone reads. */
const MAX_ROWS = 24;

/** The place of a curve's line among the others. */
export const lineOf = ({ lines }: Facets, curve: FigureCurve): number =>
  lines.values.indexOf(curve[lines.name]);

/** Facets with a line per width; null when no curves differ in width alone. */
export function widthFacets(phase: FigurePhase): Facets | null {
  const placed = phase.curves.map((curve) => ({ ...curve, coordinates: placeOf(curve) }));
  return groupsAlong("width", placed).some(({ members }) => members.length > 1)
    ? facetsOf(phase, "width")
    : null;
}

export function facetsOf(
  { name, tuned, unit, curves }: FigurePhase,
  axis: "density" | "width" = "density",
): Facets {
  const own = coordinateOf(axis) as Lines["name"];
  const distinct = (of: Lines["name"]): number[] =>
    [...new Set(curves.map((c) => c[of]))].sort((a, b) => a - b);
  const sparsities = distinct("sparsity");
  const parameterizations = [
    ...new Map(curves.map((c) => [c.parameterization, { id: c.parameterization, title: c.title }])).values(),
  ];
  const places = curves.map(placeOf);
  const varying = [
    "sparsity",
    "width",
    "layers",
    ...new Set(curves.flatMap((c) => Object.keys(c.other))),
  ].filter((key) => key !== own && new Set(curves.map((c) => JSON.stringify(coordinate(c, key)))).size > 1);
  const byLine = varying.filter((key) => follows(places, key, [own]));
  const byParameterization = varying.filter((key) => follows(places, key, ["parameterization"]));
  const isFree = new Set(freeCoordinates(places, [axis]));
  const free = varying.filter((key) => isFree.has(key));

  const label = (names: string[], curve: FigureCurve): string =>
    names.map((key) => coordinateLabel(key, coordinate(curve, key))).join(", ");
  const rows = new Map<string, { first: FigureCurve; curves: FigureCurve[] }>();
  for (const curve of curves) {
    const key = JSON.stringify(free.map((key) => coordinate(curve, key)));
    const row = rows.get(key) ?? { first: curve, curves: [] };
    rows.set(key, row);
    row.curves.push(curve);
  }
  const values = distinct(own);
  const lines: Lines = {
    name: own,
    values,
    labels: values.map((value) =>
      [
        own === "sparsity" ? sparsityLabel(value) : String(value),
        label(byLine, curves.find((c) => c[own] === value)!),
      ]
        .filter(Boolean)
        .join(" · "),
    ),
  };
  const drawn = [...rows.values()].filter((row) => row.curves.some((c) => c.points.length > 1));
  return {
    phase: name,
    tuned,
    unit,
    lines,
    sparsities,
    sparsityLabels: own === "sparsity" ? lines.labels : sparsities.map(sparsityLabel),
    parameterizations,
    varying: free,
    left_out: {
      without_curve: rows.size - drawn.length,
      too_many: Math.max(0, drawn.length - MAX_ROWS),
    },
    rows: drawn
      .sort((a, b) => compareValues(free, a.first, b.first))
      .slice(0, MAX_ROWS)
      .map((row) => ({
        label: label(free, row.first),
        panels: parameterizations.map(({ id, title }) => {
          const panel = row.curves.filter((c) => c.parameterization === id);
          if (panel.length === 0) return null;
          const onItsOwn = byParameterization.filter((key) => !byLine.includes(key));
          return {
            title,
            parameterization: id,
            subtitle: label(onItsOwn, panel[0]!),
            curves: panel.sort((a, b) => a[own] - b[own]),
          };
        }),
      })),
  };
}

export function coordinate(curve: FigureCurve, name: string): unknown {
  if (name === "sparsity" || name === "width" || name === "layers") return curve[name];
  return curve.other[name];
}

/** Numbers by size, the rest in the sweep's own order. */
function compareValues(names: string[], a: FigureCurve, b: FigureCurve): number {
  for (const key of names) {
    const [x, y] = [coordinate(a, key), coordinate(b, key)];
    if (typeof x === "number" && typeof y === "number" && x !== y) return x - y;
  }
  return 0;
}
