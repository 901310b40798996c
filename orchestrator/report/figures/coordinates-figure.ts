/**
 * A coordinate check: mean absolute activation against width, density or depth, both logarithmic, a line per step from the
 * initial network (dark) to the last update (light). A row of panels per module, a column per parameterization: the paper's
 * figure 5. Flat lines are what a rule that works leaves.
 */

import { type Parameterization, RULES } from "../../../schema/sweep/rules.ts";
import { COORDINATE_AXES, type CoordinateAxis, modulesIn, verdictOf } from "../../analysis/coordinates.ts";
import type { CoordinateAnswer, CoordinateMean } from "../coordinate-answer.ts";
import { type FigureOptions, panelTitle } from "./curves-figure.ts";
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
  octaveTicks,
  path,
} from "./frame.ts";
import { decimal } from "./labels.ts";
import { element, type Markup, text } from "./markup.ts";
import type { NamedFigure } from "./report-figures.ts";
import { marker, sparsityClass } from "./theme.ts";

const LEFT = 92;
const GAP = 14;
const RIGHT = 10;
const TITLE = 24;
const PLOT_HEIGHT = 120;
const AXIS = 24;

/** Of the model that ships; a script has names of its own. */
const MODULE_NAMES: Readonly<Record<string, string>> = {
  embedding: "embedding",
  attention_scores: "attention scores",
  attention: "attention output",
  ffn: "feed-forward output",
  logits: "logits",
};

/** A figure for each axis along which something was measured. */
export const checkFigures = (checks: readonly CoordinateAnswer[]): NamedFigure[] =>
  checks.flatMap((check, i) =>
    COORDINATE_AXES.filter((axis) => check.means.some((mean) => mean.axis === axis)).map((axis) => ({
      name: `coordinates-by-${axis}${checks.length > 1 ? `-${i + 1}` : ""}`,
      caption: `Mean absolute activation on held-out text against ${axis}, means over seeds and layers; a line per step, from the initial network to ${check.steps} updates.`,
      draw: (options: FigureOptions) => coordinatesFigure(check, axis, options),
    })),
  );

/** How many lines a panel has: what a page's style sheet has to know. */
export const seriesOf = ({ steps }: CoordinateAnswer): number => steps + 1;

function coordinatesFigure(
  check: CoordinateAnswer,
  axis: CoordinateAxis,
  options: FigureOptions,
): Figure | null {
  const means = check.means.filter((mean) => mean.axis === axis);
  const parameterizations = [...new Set(means.map((mean) => mean.parameterization))];
  const modules = modulesIn(means);
  const series = seriesOf(check);
  const columns = Math.min(options.columns, parameterizations.length);
  const plotWidth = Math.min(300, Math.floor((options.width - LEFT - RIGHT - GAP * (columns - 1)) / columns));
  const width = Math.max(Math.min(options.width, 360), LEFT + columns * (plotWidth + GAP) - GAP + RIGHT);
  const xs = means.map((mean) => mean.x);
  const xDomain: [number, number] = [Math.min(...xs) - 0.2, Math.max(...xs) + 0.2];

  const key = legend(
    [
      {
        heading: "updates",
        entries: Array.from({ length: series }, (_, step) => step)
          .filter((step) => series <= 12 || step % Math.ceil(series / 12) === 0)
          .map((step) => ({
            name: String(step),
            class: sparsityClass(step, series),
            glyph: group(
              {},
              line(-12, 0, 12, 0, { class: "line" }),
              path(marker(0, 30), { class: "mark edge" }),
            ),
          })),
      },
    ],
    { x: 12, y: 16, width: width - 24 },
  );
  const content: Markup[] = [...key.markup];
  let y = 16 + key.height;
  for (const module of modules) {
    const own = means.filter((mean) => mean.module === module);
    const sizes = own.map((mean) => mean.log2_size);
    const yDomain: [number, number] = [Math.min(...sizes) - 0.4, Math.max(...sizes) + 0.4];
    parameterizations.forEach((parameterization, i) => {
      const column = i % columns;
      if (column === 0 && i > 0) y += TITLE + PLOT_HEIGHT + AXIS;
      const box: Box = {
        x: LEFT + column * (plotWidth + GAP),
        y: y + TITLE,
        width: plotWidth,
        height: PLOT_HEIGHT,
      };
      if (column === 0)
        content.push(
          label(0, 0, MODULE_NAMES[module] ?? module, {
            "text-anchor": "middle",
            transform: `translate(40 ${box.y + PLOT_HEIGHT / 2}) rotate(-90)`,
          }),
        );
      const panel = own.filter((mean) => mean.parameterization === parameterization);
      const subtitle = panelVerdict(check, { parameterization, axis, module });
      content.push(
        drawPanel(panel, box, {
          title: { title: RULES[parameterization].title, subtitle },
          scales: {
            x: linear(xDomain, [box.x, box.x + box.width]),
            y: linear(yDomain, [box.y + box.height, box.y]),
          },
          axis,
          series,
          labelled: column === 0,
        }),
      );
    });
    y += TITLE + PLOT_HEIGHT + AXIS;
  }
  content.push(
    label(LEFT + (width - LEFT - RIGHT) / 2, y + 14, axis === "width" ? "width (d_model)" : axis, {
      "text-anchor": "middle",
    }),
    label(0, 0, "log₂ mean |activation|", {
      "text-anchor": "middle",
      transform: `translate(15 ${(16 + key.height + y) / 2}) rotate(-90)`,
    }),
  );
  return figure(
    { width, height: y + 24 },
    {
      id: options.id,
      title: `Size of activations against ${axis}`,
      description: `Panels for ${parameterizations.map((p) => RULES[p].title).join(", ")} and each module; a line for each number of updates from 0 to ${check.steps}. The table has the slopes.`,
      series,
    },
    content,
  );
}

interface Place {
  parameterization: Parameterization;
  axis: CoordinateAxis;
  module: string;
}

/** "flat"; empty while runs are to be trained. */
function panelVerdict({ lines }: CoordinateAnswer, { parameterization, axis, module }: Place): string {
  const slopes = lines
    .filter((line) => line.parameterization === parameterization && line.axis === axis)
    .flatMap((line) => line.slopes.filter((slope) => slope.module === module));
  return slopes.length === 0 ? "" : verdictOf(slopes);
}

interface PanelContext {
  title: { title: string; subtitle: string };
  scales: { x: ReturnType<typeof linear>; y: ReturnType<typeof linear> };
  axis: CoordinateAxis;
  series: number;
  labelled: boolean;
}

function drawPanel(means: readonly CoordinateMean[], box: Box, context: PanelContext): Markup {
  const { title, scales, axis, series, labelled } = context;
  const ticks = [...new Set(means.map((mean) => mean.x))].sort((a, b) => a - b);
  return group(
    { class: "panel" },
    panelTitle(title, box.x, box.y - 8),
    frame(
      box,
      { scale: scales.x, ticks: apart(ticks, scales.x), format: (x) => valueLabel(axis, x) },
      { scale: scales.y, ticks: octaveTicks(scales.y), format: (v) => decimal(v, 0), labelled },
    ),
    Array.from({ length: series }, (_, step) => {
      const points = means.filter((mean) => mean.step === step).sort((a, b) => a.x - b.x);
      const at = ({ x, log2_size }: CoordinateMean): [number, number] => [scales.x(x), scales.y(log2_size)];
      return group(
        { class: sparsityClass(step, series) },
        path(
          points
            .map(
              (point, i) =>
                `${i === 0 ? "M" : "L"}${at(point)
                  .map((v) => v.toFixed(2))
                  .join(",")}`,
            )
            .join(""),
          {
            class: "line thin",
          },
        ),
        points.map((point) => {
          const [x, y] = at(point);
          return element(
            "path",
            {
              d: marker(0, 22),
              transform: `translate(${x.toFixed(2)} ${y.toFixed(2)})`,
              class: "mark",
              "data-step": step,
              "data-x": point.x,
              "data-log2-size": point.log2_size,
            },
            element(
              "title",
              {},
              text(
                `${axis} ${valueLabel(axis, point.x)}, ${step} updates: ${(2 ** point.log2_size).toPrecision(3)}`,
              ),
            ),
          );
        }),
      );
    }),
  );
}

/** Ticks that stand at least 30 px apart. */
function apart(values: readonly number[], scale: (x: number) => number): number[] {
  const kept: number[] = [];
  for (const value of values)
    if (kept.length === 0 || scale(value) - scale(kept.at(-1)!) >= 30) kept.push(value);
  return kept;
}

/** "256", "1/16" */
function valueLabel(axis: CoordinateAxis, x: number): string {
  if (axis !== "density" || x === 0) return String(Math.round(2 ** x));
  return Math.abs(x - Math.round(x)) < 1e-9 ? `1/${2 ** -Math.round(x)}` : (2 ** x).toPrecision(2);
}
