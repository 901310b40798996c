/**
 * The figures of a report: each phase's curves with a line per sparsity and per width, optima by sparsity, and optima by width,
 * where there is something to draw.
 */
import { TUNED } from "../../analysis/tuned.ts";
import { plural } from "../../terminal/format.ts";
import { curvesFigure, type FigureOptions } from "./curves-figure.ts";
import type { FigureData, FigurePhase } from "./data.ts";
import { type Facets, facetsOf, widthFacets } from "./facets.ts";
import type { Figure } from "./frame.ts";
import { optimaBySparsity, optimaByWidth } from "./optima-figure.ts";

export interface NamedFigure {
  /** Of the file, without its ending: letters, digits, '.', '_' and '-'. */
  name: string;
  caption: string;
  draw: (options: FigureOptions) => Figure | null;
}

export interface DrawnPhase {
  phase: FigurePhase;
  facets: Facets;
  figures: NamedFigure[];
  /** How many lines the figures tell apart: what their style rules depend on. */
  series: number[];
}

/** Fits a page of A4 across, and a browser window of 1200 px. */
export const PAGE = { width: 1120, columns: 5 };

/** Coordinate checks have figures of their own: coordinates-figure.ts. */
export function drawnPhases({ answer, phases: all }: FigureData): DrawnPhase[] {
  const phases = all.filter(({ name }) => !answer.checks.some((check) => check.phase === name));
  return phases.map((phase, i) => {
    const facets = facetsOf(phase);
    const byWidth = widthFacets(phase);
    // Where sparsity does not vary, a line per width is all there is to compare.
    const isDense = facets.sparsities.length === 1 && byWidth !== null;
    const tuned = TUNED[phase.tuned].long;
    // Phases may have names that no file can; the number keeps two of them apart.
    const suffix =
      phases.length > 1 ? `-${i + 1}-${phase.name.replace(/[^A-Za-z0-9._-]+/g, "_").slice(0, 40)}` : "";
    return {
      phase,
      facets,
      series: [facets.sparsities.length, ...(byWidth === null ? [] : [byWidth.lines.values.length])],
      figures: [
        {
          name: `curves${suffix}`,
          caption: `Validation loss against ${tuned}. Points are means over seeds, bands their spread; the large marker is the fitted optimum with its 95% interval. Panels of a row share the axes.`,
          draw: (options: FigureOptions) => curvesFigure(isDense ? byWidth : facets, options),
        },
        {
          name: `curves-by-width${suffix}`,
          caption: `The same losses with a line per width. Under a parameterization whose ${tuned} transfers across width, the optima stand above one another.`,
          draw: (options: FigureOptions) =>
            byWidth === null || isDense ? null : curvesFigure(byWidth, options),
        },
        {
          name: `optimum-by-sparsity${suffix}`,
          caption: `Optimal ${tuned} against sparsity, with 95% intervals. Sparsities stand at −log₂ of the density; a flat line is transfer. Arrows start at a bound and point to where the optimum may lie.`,
          draw: (options: FigureOptions) => optimaBySparsity(facets, options),
        },
        {
          name: `optimum-by-width${suffix}`,
          caption: `Optimal ${tuned} against width, a line per sparsity, with 95% intervals.`,
          draw: (options: FigureOptions) => optimaByWidth(facets, options),
        },
      ],
    };
  });
}

/** What of a phase no figure shows, in words; empty when nothing is left out. */
export function leftOut({ facets }: DrawnPhase): string {
  const { without_curve, too_many } = facets.left_out;
  const { one } = TUNED[facets.tuned];
  const parts = [
    ...(without_curve > 0
      ? [
          facets.varying.length === 0
            ? `curves with a single ${one}`
            : `${plural(without_curve, "combination")} of ${facets.varying.join(", ")} with a single ${one}`,
        ]
      : []),
    ...(too_many > 0 ? [`${plural(too_many, "row")} of panels beyond the first ${facets.rows.length}`] : []),
  ];
  return parts.length === 0 ? "" : `Not drawn: ${parts.join(", and ")}. The tables and CSV files have them.`;
}
