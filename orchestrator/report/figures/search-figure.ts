/**
 * Pictures of a random search: loss against each hyperparameter that was drawn, and every configuration as a line across all of
 * them. What was drawn over more than a few octaves has a logarithmic axis.
 */

import { scaleLog } from "d3-scale";
import { line as lineShape } from "d3-shape";
import { leastOf, mostOf } from "../../analysis/extremes.ts";
import { importance } from "../../analysis/importance.ts";
import { lossText } from "../../analysis/loss-text.ts";
import { plural, short } from "../../terminal/format.ts";
import { arrowhead, cross } from "./curve-marks.ts";
import type { FigureOptions } from "./curves-figure.ts";
import {
  type Box,
  type Figure,
  figure,
  frame,
  group,
  label,
  legend,
  line,
  linear,
  lossTicks,
  path,
} from "./frame.ts";
import { element, type Markup, text } from "./markup.ts";
import type { NamedFigure } from "./report-figures.ts";
import { marker, sparsityClass } from "./theme.ts";

/** One configuration and seed. */
export interface SearchPoint {
  title: string;
  /** Where a click on it leads. */
  href: string;
  /** Not all that were drawn: a run of another grid has others, and no clipping is no number. */
  values: Readonly<Record<string, number | undefined>>;
  /** Null: diverged. */
  loss: number | null;
}

const LEFT = 58;
const RIGHT = 20;
const GAP = 26;
const HEIGHT = 200;
const STRIP = 14;
const HEAD = 22;
const FOOT = 46;
/** A ratio of largest to smallest from which an axis is logarithmic. */
const LOGARITHMIC_FROM = 8;
/** Losses above this share of all leave the axis: what matters is below. */
const SHOWN_SHARE = 0.9;
/** From one axis of the lines to the next, at least. */
const NAME_WIDTH = 120;
/** Colours, from the best quarter of the runs to the worst. */
const QUARTERS = 4;

interface Axis {
  name: string;
  /** A value's place: its logarithm where the axis is logarithmic. */
  at: (value: number) => number;
  domain: [number, number];
  ticks: number[];
  format: (place: number) => string;
}

const valuesOf = (name: string, points: readonly SearchPoint[]): number[] =>
  points.flatMap((point) => point.values[name] ?? []);

function axisOf(name: string, points: readonly SearchPoint[]): Axis {
  const values = valuesOf(name, points);
  const [low, high] = [leastOf(values), mostOf(values)];
  const isLog = low > 0 && high / low >= LOGARITHMIC_FROM;
  const at = (value: number): number => (isLog ? Math.log10(value) : value);
  const margin = 0.04 * (at(high) - at(low));
  const domain: [number, number] = [at(low) - margin, at(high) + margin];
  const ticks = isLog ? logTicks(low, high) : linear(domain, [0, 1]).ticks(4);
  return { name, at, domain, ticks, format: (place) => short(isLog ? 10 ** place : place) };
}

/** Whole decades, or 1, 2 and 5 of each where there are few. */
function logTicks(low: number, high: number): number[] {
  const all = scaleLog().domain([low, high]).ticks();
  const digit = (value: number): number => Math.round(value / 10 ** Math.floor(Math.log10(value) + 1e-9));
  const decades = all.filter((value) => digit(value) === 1);
  const chosen = decades.length >= 2 ? decades : all.filter((value) => [1, 2, 5].includes(digit(value)));
  return chosen.map(Math.log10);
}

/** Numbers that are not the same in all that have one. */
const drawn = (points: readonly SearchPoint[]): string[] =>
  [...new Set(points.flatMap(({ values }) => Object.keys(values)))].filter(
    (name) => new Set(valuesOf(name, points)).size > 1,
  );

/** A run's place on an axis; null where it has no such value. */
function placeOn({ name, at }: Axis, { values }: SearchPoint): number | null {
  const value = values[name];
  return value === undefined ? null : at(value);
}

/** By what became of it: 0 for the best quarter. */
function quartersOf(points: readonly SearchPoint[]): (point: SearchPoint) => number {
  const losses = points.flatMap(({ loss }) => loss ?? []).sort((a, b) => a - b);
  return ({ loss }) =>
    loss === null
      ? QUARTERS - 1
      : Math.min(QUARTERS - 1, Math.floor((QUARTERS * losses.indexOf(loss)) / losses.length));
}

/** @returns none where nothing has finished, or nothing was drawn */
export function searchFigures(points: readonly SearchPoint[], name: string, unit: string): NamedFigure[] {
  const axes = drawn(points).map((axis) => axisOf(axis, points));
  if (axes.length === 0 || points.every(({ loss }) => loss === null)) return [];
  return [
    {
      name,
      caption:
        "Validation loss of each run against each hyperparameter that was drawn. Arrows above: losses beyond the axis; crosses: diverged. Alone: the share of the losses' order that a parabola in this hyperparameter alone explains. A point leads to its run.",
      draw: (options) => scatterFigure(points, axes, unit, options),
    },
    {
      name: `${name}-lines`,
      caption:
        "Every run as a line across its values, broken where it has none; the darkest are the best quarter, and lie on top. Where they meet on an axis, that value matters.",
      draw: (options) => linesFigure(points, axes, unit, options),
    },
  ];
}

function lossDomain(points: readonly SearchPoint[]): [number, number] {
  const losses = points.flatMap(({ loss }) => loss ?? []).sort((a, b) => a - b);
  const [best, top] = [losses[0]!, losses[Math.ceil(SHOWN_SHARE * losses.length) - 1]!];
  const margin = 0.05 * Math.max(top - best, 0.001 * Math.abs(best));
  return [best - margin, top + margin];
}

function scatterFigure(
  points: readonly SearchPoint[],
  axes: readonly Axis[],
  unit: string,
  { id, width, columns }: FigureOptions,
): Figure {
  const across = Math.min(columns, 3, axes.length);
  const plot = Math.min(360, Math.floor((width - LEFT - RIGHT - GAP * (across - 1)) / across));
  const losses = lossDomain(points);
  const quarter = quartersOf(points);
  const rowHeight = HEAD + STRIP + HEIGHT + FOOT;
  const panels = axes.flatMap((axis, i) => {
    const column = i % across;
    const box: Box = {
      x: LEFT + column * (plot + GAP),
      y: Math.floor(i / across) * rowHeight + HEAD + STRIP,
      width: plot,
      height: HEIGHT,
    };
    const x = linear(axis.domain, [box.x, box.x + box.width]);
    const y = linear(losses, [box.y + box.height, box.y]);
    const placed = points.flatMap((point) => {
      const place = placeOn(axis, point);
      return place === null ? [] : [{ point, place }];
    });
    const share = importance(
      placed.map(({ place }) => place),
      placed.map(({ point }) => point.loss ?? Number.POSITIVE_INFINITY),
    );
    const alone = share === null ? "" : `: ${Math.round(100 * share)}% alone`;
    return [
      label(box.x, box.y - STRIP - 6, `${axis.name.replaceAll("_", " ")}${alone}`, { class: "strong" }),
      ...frame(
        box,
        { scale: x, ticks: axis.ticks, format: axis.format },
        { scale: y, ...lossTicks(y, 5), labelled: column === 0 },
      ),
      ...(column === 0
        ? [
            label(0, 0, `validation loss${unit}`, {
              "text-anchor": "middle",
              transform: `translate(15 ${box.y + box.height / 2}) rotate(-90)`,
            }),
          ]
        : []),
      ...placed.map(({ point, place }) => pointMark(point, quarter(point), losses, x(place), y, box)),
    ];
  });
  return figure(
    {
      width: LEFT + across * plot + GAP * (across - 1) + RIGHT,
      height: Math.ceil(axes.length / across) * rowHeight,
    },
    {
      id,
      title: "Loss against each hyperparameter",
      description: `Validation losses of ${plural(points.length, "run")}. The table of runs has the same numbers.`,
      series: QUARTERS,
      isLinked: true,
    },
    panels,
  );
}

function pointMark(
  { title, href, loss }: SearchPoint,
  quarter: number,
  losses: [number, number],
  x: number,
  y: (loss: number) => number,
  box: Box,
): Markup {
  const above = box.y - STRIP / 2;
  const mark =
    loss === null
      ? path(cross(x, above), { class: "thin" })
      : loss > losses[1]
        ? path(arrowhead(x, above), { class: "thin" })
        : path(marker(0, 30), {
            transform: `translate(${x.toFixed(1)} ${y(loss).toFixed(1)})`,
            class: "mark edge",
            "data-loss": loss,
          });
  const what = loss === null ? "diverged" : `loss ${lossText(loss, 4)}`;
  return group(
    { class: sparsityClass(quarter, QUARTERS) },
    element("a", { href, tabindex: "-1" }, element("title", {}, text(`${title}: ${what}`)), mark),
  );
}

/** An axis for each hyperparameter and one for the loss, which rises downward: the best stands at the top. */
function linesFigure(
  points: readonly SearchPoint[],
  axes: readonly Axis[],
  unit: string,
  { id, width: page }: FigureOptions,
): Figure {
  // Names stand side by side; where the page is narrower, the picture scrolls.
  const width = Math.max(page, 96 + NAME_WIDTH * axes.length);
  const losses = lossDomain(points);
  const quarter = quartersOf(points);
  const key = legend(
    [
      {
        heading: "loss",
        entries: ["best quarter", "second", "third", "worst quarter"].map((name, i) => ({
          name,
          glyph: path("M-12,0H12", { class: "line" }),
          class: sparsityClass(i, QUARTERS),
        })),
      },
    ],
    { x: 12, y: 14, width: width - 24 },
  );
  const box: Box = { x: 40, y: key.height + 34, width: width - 96, height: 260 };
  const placed = [
    ...axes.map((axis) => ({
      ...axis,
      of: (point: SearchPoint): number | null => placeOn(axis, point),
    })),
    {
      name: `loss${unit}`,
      domain: [losses[1], losses[0]] as [number, number],
      ticks: lossTicks(linear(losses, [0, 1]), 5).ticks,
      format: (place: number): string => short(place),
      of: ({ loss }: SearchPoint): number | null => Math.min(loss ?? losses[1], losses[1]),
    },
  ].map((axis, i, all) => ({
    ...axis,
    x: box.x + (box.width * i) / Math.max(1, all.length - 1),
    y: linear(axis.domain, [box.y + box.height, box.y]),
  }));
  const lines = points
    .map((point) => ({ point, quarter: quarter(point) }))
    // The best on top.
    .sort((a, b) => b.quarter - a.quarter)
    .map(({ point, quarter }) =>
      group(
        { class: sparsityClass(quarter, QUARTERS) },
        path(
          lineShape<(typeof placed)[number]>()
            .defined((axis) => axis.of(point) !== null)
            .x((axis) => axis.x)
            .y((axis) => axis.y(axis.of(point)!))
            .digits(1)(placed)!,
          { class: "line thin", "stroke-opacity": quarter === 0 ? 1 : 0.35 },
        ),
      ),
    );
  return figure(
    { width, height: box.y + box.height + 24 },
    {
      id,
      title: "Every run across its hyperparameters",
      description: `${plural(points.length, "run")} as lines. The table of runs has the same numbers.`,
      series: QUARTERS,
    },
    [
      ...key.markup,
      ...lines,
      ...placed.flatMap(({ name, x, y, ticks, format }, i) => [
        line(x, box.y, x, box.y + box.height, { class: "axis" }),
        label(x, box.y - 10, name.replaceAll("_", " "), {
          class: "strong",
          "text-anchor": i === 0 ? "start" : i === placed.length - 1 ? "end" : "middle",
        }),
        ...ticks.map((tick) => label(x + 5, y(tick) + 4, format(tick), { class: "small muted" })),
      ]),
    ],
  );
}
