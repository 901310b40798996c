/**
 * The optimum against sparsity, all parameterizations together; or against width, a line per sparsity. Intervals are bars,
 * bounds are arrows, and a line joins neighbouring estimates only.
 */
import { groupsAlong } from "../../analysis/groups.ts";
import { TUNED } from "../../analysis/tuned.ts";
import type { Optimum } from "../../analysis/types.ts";
import { placeOf } from "../answer.ts";
import { type FigureOptions, panelTitle } from "./curves-figure.ts";
import type { FigureCurve } from "./data.ts";
import type { Facets } from "./facets.ts";
import {
  arrow,
  type Box,
  type Figure,
  figure,
  frame,
  group,
  label,
  legend,
  line,
  linear,
  octaveTicks,
  path,
} from "./frame.ts";
import { coordinateLabel, decimal, sparsityLabel, widthWords } from "./labels.ts";
import { element, type Markup, text } from "./markup.ts";
import { marker, parameterizationClass, sparsityClass } from "./theme.ts";

interface Series {
  name: string;
  class: string;
  /** Its marker. */
  index: number;
  curves: FigureCurve[];
}

interface OptimaPanel {
  title: string;
  subtitle: string;
  series: Series[];
}

interface Layout {
  panels: OptimaPanel[];
  legendHeading: string;
  xName: string;
  xOf: (curve: FigureCurve) => number;
  xTicks: { values: number[]; format: (x: number) => string };
  title: string;
  /** What the optima are of, in words. */
  tuned: string;
  sparsities: number;
}

/** @returns null when fewer than two sparsities vary in any panel */
export function optimaBySparsity(facets: Facets, options: FigureOptions): Figure | null {
  const { sparsities, parameterizations, rows } = facets;
  const tuned = TUNED[facets.tuned].long;
  if (sparsities.length < 2) return null;
  const xOf = (sparsity: number): number => -Math.log2(1 - sparsity);
  return draw(
    {
      panels: rows.map((row) => ({
        title: row.label,
        subtitle: "",
        series: row.panels.flatMap((panel) => {
          if (panel === null) return [];
          const index = parameterizations.findIndex((p) => p.id === panel.parameterization);
          return {
            name: panel.title,
            class: parameterizationClass(panel.parameterization),
            index,
            curves: panel.curves,
          };
        }),
      })),
      legendHeading: "",
      xName: "sparsity",
      xOf: (curve) => xOf(curve.sparsity),
      xTicks: {
        values: sparsities.map(xOf),
        format: (x) =>
          sparsityLabel(sparsities.reduce((a, b) => (Math.abs(xOf(b) - x) < Math.abs(xOf(a) - x) ? b : a))),
      },
      title: `Optimal ${tuned} against sparsity`,
      tuned,
      sparsities: sparsities.length,
    },
    options,
  );
}

/** @returns null when no curves differ in width alone */
export function optimaByWidth(facets: Facets, options: FigureOptions): Figure | null {
  const { sparsities, rows } = facets;
  const tuned = TUNED[facets.tuned].long;
  const curves = rows.flatMap((row) => row.panels.flatMap((panel) => panel?.curves ?? []));
  const widths = [...new Set(curves.map((c) => c.width))].sort((a, b) => a - b);
  const panels = new Map<string, OptimaPanel>();
  const placed = curves.map((curve) => ({ ...curve, coordinates: placeOf(curve) }));
  for (const { shared, members } of groupsAlong("width", placed)) {
    const { sparsity: _, ...rest } = shared;
    const [first] = members;
    const key = JSON.stringify(rest);
    const subtitle = facets.varying
      .filter((name) => name in rest)
      .map((name) => coordinateLabel(name, rest[name]))
      .join(", ");
    const panel = panels.get(key) ?? { title: first.title, subtitle, series: [] };
    panels.set(key, panel);
    const index = sparsities.indexOf(first.sparsity);
    panel.series.push({
      name: sparsityLabel(first.sparsity),
      class: sparsityClass(index, sparsities.length),
      index,
      curves: members,
    });
  }
  for (const panel of panels.values()) panel.series.sort((a, b) => a.index - b.index);
  const drawn = [...panels.values()].filter((panel) => panel.series.some((s) => s.curves.length > 1));
  if (drawn.length === 0) return null;
  return draw(
    {
      panels: drawn,
      legendHeading: "sparsity",
      xName: "width (d_model)",
      xOf: (curve) => Math.log2(curve.width),
      xTicks: { values: widths.map(Math.log2), format: (x) => String(Math.round(2 ** x)) },
      title: `Optimal ${tuned} against width`,
      tuned,
      sparsities: sparsities.length,
    },
    options,
  );
}

const LEFT = 58;
const GAP = 14;
const RIGHT = 10;
const TITLE = 24;
const PLOT_HEIGHT = 230;
/** Series stand this far apart at one value of x, so that intervals of equal optima stay visible. */
const DODGE = 5;

type Scale = ReturnType<typeof linear>;

function draw(layout: Layout, options: FigureOptions): Figure | null {
  const { panels, xOf } = layout;
  const curves = panels.flatMap((panel) => panel.series.flatMap((s) => s.curves));
  const known = curves
    .flatMap(({ optimum: o }) => [o.log2_tuned, o.log2_tuned_low, o.log2_tuned_high])
    .filter((v) => v !== null);
  if (known.length === 0) return null;
  const columns = Math.min(options.columns, panels.length, 3);
  const plotWidth = Math.min(560, Math.floor((options.width - LEFT - RIGHT - GAP * (columns - 1)) / columns));
  const width = LEFT + columns * plotWidth + GAP * (columns - 1) + RIGHT;
  const xs = layout.xTicks.values;
  const reach = 0.06 * (Math.max(...xs) - Math.min(...xs)) + 0.1;
  const xDomain: [number, number] = [Math.min(...xs) - reach, Math.max(...xs) + reach];
  const yDomain: [number, number] = [Math.min(...known) - 0.6, Math.max(...known) + 0.6];

  const shown = new Map(panels.flatMap((panel) => panel.series.map((s) => [s.name, s] as const)));
  const key = legend(
    [
      {
        heading: layout.legendHeading,
        entries: [...shown.values()]
          .sort((a, b) => a.index - b.index)
          .map((s) => ({
            name: s.name,
            class: s.class,
            glyph: group(
              {},
              line(-12, 0, 12, 0, { class: "line" }),
              path(marker(s.index, 64), { class: "mark edge" }),
            ),
          })),
      },
      {
        heading: "",
        entries: [
          {
            name: "95% interval",
            glyph: path("M0,-8V8M-4,-8H4M-4,8H4", { class: "key", "stroke-width": "2.4" }),
          },
          ...(curves.some((c) => isBound(c.optimum))
            ? [{ name: "bound only", glyph: arrow([0, 8], [0, -8], { class: "key", "stroke-width": "2.4" }) }]
            : []),
        ],
      },
    ],
    { x: 12, y: 16, width: width - 24 },
  );

  const titled = panels.some((panel) => panel.title !== "");
  const content: Markup[] = [...key.markup];
  let y = 16 + key.height + (titled ? 4 : -TITLE + 12);
  const plotsTop = y;
  panels.forEach((panel, i) => {
    const column = i % columns;
    if (column === 0 && i > 0) y += TITLE + PLOT_HEIGHT + 24;
    const box: Box = {
      x: LEFT + column * (plotWidth + GAP),
      y: y + TITLE,
      width: plotWidth,
      height: PLOT_HEIGHT,
    };
    content.push(drawPanel(panel, box, layout, xDomain, yDomain, column === 0));
  });
  y += TITLE + PLOT_HEIGHT + 24;
  content.push(
    label(LEFT + (width - LEFT - RIGHT) / 2, y + 14, layout.xName, { "text-anchor": "middle" }),
    label(0, 0, `log₂ optimal ${layout.tuned}`, {
      "text-anchor": "middle",
      transform: `translate(15 ${(plotsTop + TITLE + y - 24) / 2}) rotate(-90)`,
    }),
  );
  const names = [...shown.keys()].join(", ");
  return figure(
    { width, height: y + 24 },
    {
      id: options.id,
      title: layout.title,
      description: `A line for each of ${names}. The report's tables have the same numbers.`,
      series: layout.sparsities,
    },
    content,
  );

  function drawPanel(
    panel: OptimaPanel,
    box: Box,
    { xTicks }: Layout,
    xRange: [number, number],
    yRange: [number, number],
    labelled: boolean,
  ): Markup {
    const x = linear(xRange, [box.x, box.x + box.width]);
    const yScale = linear(yRange, [box.y + box.height, box.y]);
    return group(
      { class: "panel" },
      panel.title === "" ? [] : panelTitle(panel, box.x, box.y - 8),
      frame(
        box,
        { scale: x, ticks: thinned(xTicks.values, x), format: xTicks.format },
        { scale: yScale, ticks: octaveTicks(yScale), format: (v) => decimal(v, 0), labelled },
      ),
      panel.series.map((series, i) => {
        const shift = (i - (panel.series.length - 1) / 2) * DODGE;
        return drawSeries(series, (curve) => x(xOf(curve)) + shift, yScale, box);
      }),
    );
  }
}

/** Tick values that stand at least 40 px apart. */
function thinned(values: number[], x: Scale): number[] {
  const kept: number[] = [];
  for (const value of [...values].sort((a, b) => a - b)) {
    if (kept.length === 0 || x(value) - x(kept.at(-1)!) >= 40) kept.push(value);
  }
  return kept;
}

const isBound = (o: Optimum): boolean =>
  o.log2_tuned === null && (o.log2_tuned_low !== null || o.log2_tuned_high !== null);

function drawSeries(series: Series, x: (curve: FigureCurve) => number, y: Scale, box: Box): Markup {
  const curves = [...series.curves].sort((a, b) => x(a) - x(b));
  const joins: Markup[] = [];
  for (let i = 1; i < curves.length; i++) {
    const [a, b] = [curves[i - 1]!, curves[i]!];
    if (a.optimum.log2_tuned === null || b.optimum.log2_tuned === null) continue;
    joins.push(line(x(a), y(a.optimum.log2_tuned), x(b), y(b.optimum.log2_tuned), { class: "line" }));
  }
  return group(
    { class: series.class },
    joins,
    curves.flatMap((curve) => optimumBar(curve, series.index, x(curve), y, box)),
  );
}

function optimumBar(curve: FigureCurve, index: number, x: number, y: Scale, box: Box): Markup[] {
  const { flag, log2_tuned, log2_tuned_low: low, log2_tuned_high: high } = curve.optimum;
  const bar = (a: number, b: number): string =>
    `M${x.toFixed(2)},${y(a).toFixed(2)}V${y(b).toFixed(2)}${[a, b]
      .map((v) => `M${(x - 5).toFixed(2)},${y(v).toFixed(2)}H${(x + 5).toFixed(2)}`)
      .join("")}`;
  if (log2_tuned !== null && low !== null && high !== null) {
    const words = `${curve.title}${widthWords(curve.width)}, sparsity ${sparsityLabel(curve.sparsity)}: ${decimal(log2_tuned, 2)} (${decimal(low, 2)} to ${decimal(high, 2)})`;
    return [
      path(bar(low, high), { class: "interval" }),
      element(
        "path",
        {
          d: marker(index, 46),
          transform: `translate(${x.toFixed(2)} ${y(log2_tuned).toFixed(2)})`,
          class: "mark edge",
          "data-curve": curve.curve,
          "data-optimum": log2_tuned,
          "data-low": low,
          "data-high": high,
        },
        element("title", {}, text(words)),
      ),
    ];
  }
  const data = {
    class: "interval",
    "data-curve": curve.curve,
    "data-flag": flag,
    "data-low": low,
    "data-high": high,
  };
  if (low !== null && high !== null) return [path(bar(low, high), { ...data, "stroke-dasharray": "3 3" })];
  if (low !== null) return [arrow([x, y(low)], [x, box.y + 3], data)];
  if (high !== null) return [arrow([x, y(high)], [x, box.y + box.height - 3], data)];
  return [];
}
