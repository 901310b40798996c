/**
 * Which curves share a panel. A panel is one parameterization at one value of everything else that varies, with a line per
 * sparsity; parameterizations stand side by side, the rest (width, init_std, …) makes rows. What follows from
 * parameterization and sparsity alone, such as the width in an iso-parameter sweep, needs no row and goes into the names.
 */
import type { TakenName } from "../../../schema/axes.ts";
import { follows, freeCoordinates } from "../../analysis/groups.ts";
import { placeOf } from "../answer.ts";
import type { FigureCurve, FigurePhase } from "./data.ts";
import { coordinateLabel, sparsityLabel } from "./labels.ts";

export interface Panel {
  title: string;
  /** What follows from the parameterization alone, such as "init_std 0.02"; may be empty. */
  subtitle: string;
  parameterization: string;
  /** By rising sparsity, each sparsity once. */
  curves: FigureCurve[];
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
  /** Every sparsity of the phase, rising; a series' colour and marker are its place here. */
  sparsities: number[];
  /** Names of the sparsities, with what is tied to them. */
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

export function facetsOf({ name, tuned, curves }: FigurePhase): Facets {
  const sparsities = [...new Set(curves.map((c) => c.sparsity))].sort((a, b) => a - b);
  const parameterizations = [
    ...new Map(curves.map((c) => [c.parameterization, { id: c.parameterization, title: c.title }])).values(),
  ];
  const places = curves.map(placeOf);
  const varying = ["width", "layers", ...new Set(curves.flatMap((c) => Object.keys(c.other)))].filter(
    (key) => new Set(curves.map((c) => JSON.stringify(coordinate(c, key)))).size > 1,
  );
  const bySparsity = varying.filter((key) => follows(places, key, ["sparsity"]));
  const byParameterization = varying.filter((key) => follows(places, key, ["parameterization"]));
  const isFree = new Set(freeCoordinates(places, ["density"]));
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
  const drawn = [...rows.values()].filter((row) => row.curves.some((c) => c.points.length > 1));
  return {
    phase: name,
    tuned,
    sparsities,
    sparsityLabels: sparsities.map((sparsity) =>
      [sparsityLabel(sparsity), label(bySparsity, curves.find((c) => c.sparsity === sparsity)!)]
        .filter(Boolean)
        .join(" · "),
    ),
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
          const own = row.curves.filter((c) => c.parameterization === id);
          if (own.length === 0) return null;
          const onItsOwn = byParameterization.filter((key) => !bySparsity.includes(key));
          return {
            title,
            parameterization: id,
            subtitle: label(onItsOwn, own[0]!),
            curves: own.sort((a, b) => a.sparsity - b.sparsity),
          };
        }),
      })),
  };
}

export function coordinate(curve: FigureCurve, name: string): unknown {
  if (name === "width") return curve.width;
  return name === "layers" ? curve.layers : curve.other[name];
}

/** Numbers by size, the rest in the sweep's own order. */
function compareValues(names: string[], a: FigureCurve, b: FigureCurve): number {
  for (const key of names) {
    const [x, y] = [coordinate(a, key), coordinate(b, key)];
    if (typeof x === "number" && typeof y === "number" && x !== y) return x - y;
  }
  return 0;
}
