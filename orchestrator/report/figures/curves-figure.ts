/**
 * Validation loss against log2 of the base learning rate, a panel per parameterization, a line per sparsity or width: the paper's
 * figures 1, 6 and 8. Panels of a row share both axes, so that optima compare from left to right and levels too.
 */

import { leastOf, mostOf } from "../../analysis/extremes.ts";
import { TUNED } from "../../analysis/tuned.ts";
import type { Optimum } from "../../analysis/types.ts";
import { plural } from "../../terminal/format.ts";
import {
  arrowhead,
  baseLine,
  caps,
  cross,
  isAbove,
  type LinkOf,
  marksAbove,
  optimumMark,
  points,
  type Scales,
  STRIP_ROW,
  spreadAndLine,
} from "./curve-marks.ts";
import type { FigureCurve } from "./data.ts";
import { type Facets, lineOf, type Panel } from "./facets.ts";
import {
  arrow,
  type Box,
  type Figure,
  figure,
  frame,
  group,
  type LegendEntry,
  label,
  legend,
  line,
  linear,
  lossTicks,
  octaveTicks,
  path,
} from "./frame.ts";
import { decimal } from "./labels.ts";
import { element, type Markup, text } from "./markup.ts";
import { marker, sparsityClass } from "./theme.ts";

export interface FigureOptions {
  /** Unique in its page; letters, digits and hyphens. */
  id: string;
  /** Pixels; panels take what is left beside axes. */
  width: number;
  /** Panels side by side at most. */
  columns: number;
  /** Where a click on a point leads; a figure in a file leads nowhere. */
  linkOf?: LinkOf | undefined;
}

const LEFT = 58;
const GAP = 14;
const RIGHT = 10;
const TITLE = 22;
/** Name of a row of panels, where there are several rows. */
const ROW_NAME = 20;
const AXIS = 24;

/** @returns null when there is nothing to draw a curve of */
export function curvesFigure(facets: Facets, options: FigureOptions): Figure | null {
  const all = facets.rows.flatMap((row) => row.panels.flatMap((panel) => panel?.curves ?? []));
  if (all.length === 0) return null;
  const columns = Math.min(options.columns, facets.parameterizations.length);
  const plotWidth = Math.min(340, Math.floor((options.width - LEFT - RIGHT - GAP * (columns - 1)) / columns));
  const plotHeight = facets.rows.length > 2 ? 170 : 220;
  const width = Math.max(
    Math.min(options.width, 360),
    LEFT + columns * plotWidth + GAP * (columns - 1) + RIGHT,
  );
  const domain = rateDomain(all);
  const key = keyOf(facets, all, { x: 12, y: 16, width: width - 24 });

  const content: Markup[] = [...key.markup];
  let y = 16 + key.height + 4;
  const plotsTop = y;
  facets.rows.forEach((row, r) => {
    const panels = row.panels.filter((panel) => panel !== null);
    const curves = panels.flatMap((panel) => panel.curves);
    const losses = lossDomain(curves);
    // Each line that leaves the axis somewhere in this row gets a place of its own above it, so that no mark hides another.
    const leaving = facets.lines.values
      .map((_, i) => i)
      .filter((i) =>
        curves.some(
          (c) => lineOf(facets, c) === i && c.points.some((p) => p.diverged > 0 || isAbove(p, losses)),
        ),
      );
    const strip = leaving.length > 0 ? leaving.length * STRIP_ROW + 6 : 0;
    if (row.label !== "") {
      content.push(label(LEFT, y + 16, row.label, { class: "muted" }));
      y += ROW_NAME;
    }
    panels.forEach((panel, i) => {
      const column = i % columns;
      if (column === 0 && i > 0) y += TITLE + strip + plotHeight + AXIS;
      const box: Box = {
        x: LEFT + column * (plotWidth + GAP),
        y: y + TITLE + strip,
        width: plotWidth,
        height: plotHeight,
      };
      const scales: Scales = {
        x: linear(domain, [box.x, box.x + box.width]),
        y: linear(losses ?? [0, 1], [box.y + box.height, box.y]),
        top: box.y,
      };
      const id = `${options.id}-${r}-${i}`;
      content.push(
        drawPanel(panel, box, scales, {
          facets,
          leaving,
          strip,
          id,
          labelled: column === 0,
          losses,
          linkOf: options.linkOf,
        }),
      );
    });
    y += TITLE + strip + plotHeight + AXIS;
  });
  content.push(
    label(LEFT + (width - LEFT - RIGHT) / 2, y + 14, `log₂ ${TUNED[facets.tuned].long}`, {
      "text-anchor": "middle",
    }),
    label(0, 0, `validation loss${facets.unit}`, {
      "text-anchor": "middle",
      transform: `translate(15 ${(plotsTop + y) / 2}) rotate(-90)`,
    }),
  );
  const missing = all.reduce((sum, curve) => sum + curve.points.reduce((n, p) => n + p.missing, 0), 0);
  if (missing > 0) {
    y += 17;
    content.push(
      label(12, y + 14, `Incomplete: ${plural(missing, "planned run")} without a result.`, {
        class: "small",
      }),
    );
  }
  return figure(
    { width, height: y + 24 },
    {
      id: options.id,
      title: `Validation loss against ${TUNED[facets.tuned].long}`,
      description: describe(facets),
      series: facets.lines.values.length,
      isLinked: options.linkOf !== undefined,
    },
    content,
  );
}

const describe = (facets: Facets): string =>
  `A panel for each of ${facets.parameterizations.map((p) => p.title).join(", ")}; a line for each ${facets.lines.name} (${facets.lines.labels.join(", ")}). The report's tables have the same numbers.`;

/** Half an octave beyond the rates tried. */
function rateDomain(curves: FigureCurve[]): [number, number] {
  const rates = curves.flatMap((c) => c.points.map((p) => p.log2_tuned));
  return [leastOf(rates) - 0.5, mostOf(rates) + 0.5];
}

/** A loss this far above the worst curve's best is off the axis: what matters is the valleys. */
const HEADROOM = 0.1;

/** From below the lowest loss to above every curve's best; null without losses. */
function lossDomain(curves: FigureCurve[]): [number, number] | null {
  const means = curves.flatMap((c) => c.points.flatMap((p) => (p.mean === null ? [] : [p.mean])));
  if (means.length === 0) return null;
  const lows = curves.flatMap((c) => c.points.flatMap((p) => (p.low === null ? [] : [p.low])));
  const bests = curves.flatMap((c) => (c.optimum.grid_loss === null ? [] : [c.optimum.grid_loss]));
  const worstBest = mostOf(bests.length > 0 ? bests : means);
  const bottom = leastOf([...lows, ...curves.flatMap((c) => c.optimum.loss ?? [])]);
  const top = Math.min(mostOf(means), worstBest * (1 + HEADROOM));
  // Losses that hardly differ must not look as if they did.
  const margin = Math.max(0.04 * (top - bottom), 0.005 * top);
  return [bottom - margin, top + margin];
}

interface PanelContext {
  facets: Facets;
  /** Places of the lines with marks above the axis, in their order there. */
  leaving: number[];
  strip: number;
  id: string;
  labelled: boolean;
  losses: [number, number] | null;
  linkOf: LinkOf | undefined;
}

function drawPanel(panel: Panel, box: Box, scales: Scales, context: PanelContext): Markup {
  const { facets, leaving, strip, id, labelled, losses, linkOf } = context;
  const n = facets.lines.values.length;
  const index = (curve: FigureCurve) => lineOf(facets, curve);
  const yTicks =
    losses === null ? { ticks: [], format: String } : lossTicks(scales.y, Math.round(box.height / 40));
  const series = (curve: FigureCurve, ...children: Markup[]): Markup =>
    group({ class: sparsityClass(index(curve), n), "data-curve": curve.curve }, ...children);
  const trained = panel.curves.some((c) => c.points.some((p) => p.finished + p.diverged > 0));
  return group(
    { class: "panel", "data-parameterization": panel.parameterization },
    element(
      "clipPath",
      { id },
      element("rect", { x: box.x, y: box.y, width: box.width, height: box.height }),
    ),
    panelTitle(panel, box.x, box.y - strip - 8),
    strip > 0
      ? element("rect", { x: box.x, y: box.y - strip, width: box.width, height: strip - 2, class: "strip" })
      : [],
    frame(
      box,
      { scale: scales.x, ticks: octaveTicks(scales.x), format: (v) => decimal(v, 0) },
      { scale: scales.y, ...yTicks, labelled },
    ),
    baseLine(panel, box, scales),
    group(
      { "clip-path": `url(#${id})` },
      panel.curves.map((curve) => series(curve, ...spreadAndLine(curve, scales))),
    ),
    panel.curves.map((curve) =>
      series(
        curve,
        ...points(curve, index(curve), losses, scales, linkOf),
        ...marksAbove(curve, leaving.length - 1 - leaving.indexOf(index(curve)), losses, scales),
      ),
    ),
    panel.curves.map((curve) => series(curve, ...optimumMark(curve.optimum, index(curve), box, scales))),
    trained
      ? []
      : [
          label(box.x + box.width / 2, box.y + box.height / 2, "no results yet", {
            class: "muted",
            "text-anchor": "middle",
          }),
        ],
  );
}

export function panelTitle(panel: { title: string; subtitle: string }, x: number, y: number): Markup {
  return element(
    "text",
    { x, y },
    element("tspan", { class: "strong" }, text(panel.title)),
    panel.subtitle === "" ? [] : [element("tspan", { dx: 8, class: "small" }, text(panel.subtitle))],
  );
}

/** The legend names only what the figure shows. */
function keyOf(facets: Facets, curves: FigureCurve[], at: { x: number; y: number; width: number }) {
  const { lines } = facets;
  const n = lines.values.length;
  const flagged = (test: (o: Optimum) => boolean): boolean => curves.some((c) => test(c.optimum));
  const entries: (LegendEntry & { shown: boolean })[] = [
    {
      name: "optimum, 95% interval",
      shown: flagged((o) => o.log2_tuned !== null),
      glyph: group(
        { class: "key" },
        path(`M-11,0H11${caps([-11, 11], 0, 6)}`, { class: "key", "stroke-width": "2.4" }),
        path(marker(0, 70), { class: "paper key" }),
      ),
    },
    {
      name: "bound only",
      shown: flagged(
        (o) => o.log2_tuned === null && (o.log2_tuned_low === null) !== (o.log2_tuned_high === null),
      ),
      glyph: arrow([-9, 0], [11, 0], { class: "key", "stroke-width": "2.4" }),
    },
    {
      name: "between bounds",
      shown: flagged((o) => o.log2_tuned === null && o.log2_tuned_low !== null && o.log2_tuned_high !== null),
      glyph: path(`M-11,0H11${caps([-11, 11], 0, 6)}`, {
        class: "key",
        "stroke-width": "2.4",
        "stroke-dasharray": "3 3",
      }),
    },
    {
      name:
        lines.name === "width"
          ? "optimum of the narrowest"
          : lines.values[0] === 0
            ? "optimum at sparsity 0"
            : "optimum of the least sparse",
      shown: facets.rows.some((r) =>
        r.panels.some((p) => p !== null && p.curves[0]!.optimum.log2_tuned !== null),
      ),
      glyph: group(
        {},
        element("rect", { x: -6, y: -8, width: 12, height: 16, class: "base-spread" }),
        line(0, -8, 0, 8, { class: "base" }),
      ),
    },
    {
      name: "diverged",
      shown: curves.some((c) => c.points.some((p) => p.diverged > 0)),
      glyph: path(cross(0, 0), { class: "key", "stroke-width": "1.4" }),
    },
    {
      name: "some seeds diverged",
      shown: curves.some((c) => c.points.some((p) => p.diverged > 0 && p.finished > 0)),
      glyph: path(marker(0, 32), { class: "key", "stroke-width": "1.5" }),
    },
    {
      name: "above the axis",
      shown: facets.rows.some((row) => {
        const own = row.panels.flatMap((panel) => panel?.curves ?? []);
        return own.some((c) => c.points.some((p) => isAbove(p, lossDomain(own))));
      }),
      glyph: path(arrowhead(0, 0), { class: "key", "stroke-width": "1.4" }),
    },
  ];
  return legend(
    [
      {
        heading: lines.name,
        entries: lines.labels.map((name, i) => ({
          name,
          class: sparsityClass(i, n),
          glyph: group(
            {},
            line(-12, 0, 12, 0, { class: "line" }),
            path(marker(i, 48), { class: "mark edge" }),
          ),
        })),
      },
      { heading: "", entries: entries.filter((entry) => entry.shown) },
    ],
    at,
  );
}
