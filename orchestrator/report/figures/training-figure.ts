/**
 * Training curves: loss against step, a line per run, its evaluations as markers, or one of the numbers that a script reports
 * beside them; for a single run also where attempts went on, and the gradient norm below.
 */
import { line as lineShape } from "d3-shape";
import { lossText } from "../../analysis/loss-text.ts";
import { plural } from "../../terminal/format.ts";
import { arrowhead, cross } from "./curve-marks.ts";
import {
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
  path,
} from "./frame.ts";
import { element, type Markup, text } from "./markup.ts";
import { marker, sparsityClass } from "./theme.ts";

interface TrainingPoint {
  step: number;
  train_loss: number | null;
  validation_loss: number | null;
  gradient_norm: number | null;
  own_metrics?: Readonly<Record<string, number>> | undefined;
}

export interface TrainingCurve {
  run: string;
  title: string;
  /** Of the losses, in brackets; empty where it is not known. */
  unit: string;
  /** Planned. */
  steps: number;
  /** By rising step. */
  points: TrainingPoint[];
  /** Later attempts, and the step after which each went on. */
  resumed: { attempt: number; step: number }[];
  /** The step at which the run diverged. */
  diverged_at: number | null;
}

export interface TrainingFigureOptions {
  /** Unique in its page; letters, digits and hyphens. */
  id: string;
  width: number;
  view: TrainingView;
}

/** How training curves are looked at. */
export interface TrainingView {
  /** Which of a script's own numbers; null: the losses. */
  metric: string | null;
  isLog: boolean;
  /** Whether the loss axis begins with the first step's loss; else with what comes after the start. */
  withStart: boolean;
  /** Stored points that a moving mean of the training loss is over; 1: none. */
  smooth: number;
  /** Steps that are shown, of all panels and runs; null: to the end. */
  from: number;
  to: number | null;
}

const LEFT = 58;
/** Half of the last step's number stands beyond the axis. */
const RIGHT = 28;
const LOSS_HEIGHT = 260;
const NORM_HEIGHT = 90;
const AXIS = 24;
/** For crosses, arrowheads and the numbers of attempts. */
const STRIP = 16;
/** Of the steps: where a loss falls so steeply that all that comes later would be flat beside it. */
const START_SHARE = 0.05;
/** A training loss this far above those of the first steps leaves the axis. */
const HEADROOM = 1.1;

/** @returns null when no run has reported a step yet */
export function trainingFigure(all: readonly TrainingCurve[], options: TrainingFigureOptions): Figure | null {
  const { id, width, view } = options;
  const shown: [number, number] = [
    view.from,
    Math.max(view.from + 1, view.to ?? Math.max(...all.map((c) => c.steps))),
  ];
  const curves = all.map((curve) => ({
    ...curve,
    points: smoothed(chosen(curve.points, view.metric), view.smooth).filter(
      ({ step }) => step >= shown[0] && step <= shown[1],
    ),
  }));
  const losses = lossDomain(curves, view);
  if (losses === null) return null;
  const single = curves.length === 1 ? curves[0]! : null;
  const norms = single === null ? null : normDomain(single);
  const key = legendOf(curves, losses, view, { x: 12, y: 16, width: width - 24 });
  const box: Box = {
    x: LEFT,
    y: 16 + key.height + 4 + STRIP,
    width: width - LEFT - RIGHT,
    height: LOSS_HEIGHT,
  };
  const below: Box = { ...box, y: box.y + box.height + AXIS + 18, height: NORM_HEIGHT };
  const last = norms === null ? box : below;
  const x = linear(shown, [box.x, box.x + box.width]);
  const axis = lossAxis(losses, view.isLog, box);
  const y = axis.at;
  const steps = { scale: x, ticks: stepTicks(x, width), format: stepText };
  const content = [
    ...key.markup,
    ...clip(`${id}-loss`, box),
    ...frame(box, steps, { ...axis, labelled: true }),
    label(
      0,
      0,
      view.metric ?? `loss${curves.every(({ unit }) => unit === curves[0]!.unit) ? curves[0]!.unit : ""}`,
      turned(15, box.y + box.height / 2),
    ),
    ...(single === null
      ? []
      : single.resumed
          .filter(({ step }) => step >= shown[0] && step <= shown[1])
          .map((r) => resumeMark(r, x(r.step), box))),
    ...curves.map((curve, i) =>
      group(
        { class: sparsityClass(i, curves.length), "data-run": curve.run },
        group({ "clip-path": `url(#${id}-loss)` }, lossLine(curve, x, y)),
        evaluations(curve, i, losses, x, y),
        aboveMarks(curve, losses, view, x, box),
      ),
    ),
    ...(norms === null ? [] : normPanel(single!, norms, below, steps)),
    label(box.x + box.width / 2, last.y + last.height + 34, "step", { "text-anchor": "middle" }),
  ];
  return figure(
    { width, height: last.y + last.height + 44 },
    {
      id,
      title: single === null ? "Training curves" : `Training curve of ${single.title}`,
      description: `${view.metric ?? "Loss"} against step of ${plural(curves.length, "run")}. The table beside it has the same numbers.`,
      series: curves.length,
    },
    content,
  );
}

const turned = (x: number, y: number) => ({
  "text-anchor": "middle",
  transform: `translate(${x} ${y}) rotate(-90)`,
});

const clip = (id: string, { x, y, width, height }: Box): Markup[] => [
  element("clipPath", { id }, element("rect", { x, y, width, height })),
];

/** A script's own number in the place of the training loss. */
const chosen = (points: readonly TrainingPoint[], metric: string | null): TrainingPoint[] =>
  metric === null
    ? [...points]
    : points.flatMap((point) => {
        const value = point.own_metrics?.[metric];
        return value === undefined ? [] : [{ ...point, train_loss: value, validation_loss: null }];
      });

/** The training loss as the mean over some points around each. */
function smoothed(points: readonly TrainingPoint[], over: number): TrainingPoint[] {
  if (over <= 1) return [...points];
  const half = Math.floor(over / 2);
  return points.map((point, i) => {
    const near = points.slice(Math.max(0, i - half), i + half + 1).flatMap((p) => p.train_loss ?? []);
    if (point.train_loss === null || near.length === 0) return point;
    return { ...point, train_loss: near.reduce((a, b) => a + b, 0) / near.length };
  });
}

/** The frame's axis, and where a loss stands on it. */
function lossAxis([low, high]: [number, number], isLog: boolean, { y, height }: Box) {
  const range: [number, number] = [y + height, y];
  if (!isLog || low <= 0) {
    const scale = linear([low, high], range);
    return { scale, ...lossTicks(scale, 6), at: (loss: number): number => scale(loss) };
  }
  const scale = linear([Math.log10(low), Math.log10(high)], range);
  const { ticks, format } = lossTicks(linear([low, high], range), 6);
  return {
    scale,
    ticks: ticks.filter((tick) => tick > 0).map(Math.log10),
    format: (place: number): string => format(10 ** place),
    at: (loss: number): number => scale(Math.log10(Math.max(loss, low / 2))),
  };
}

const isStart = ({ steps }: TrainingCurve, { step }: TrainingPoint): boolean => step <= START_SHARE * steps;

/** From below the lowest loss to a little above what training begins with, or what comes after; null without losses. */
function lossDomain(
  curves: readonly TrainingCurve[],
  { metric, withStart }: TrainingView,
): [number, number] | null {
  const all = curves
    .flatMap((c) => c.points.flatMap((p) => [p.train_loss, p.validation_loss]))
    .filter(isNumber);
  if (all.length === 0) return null;
  const begin = curves.flatMap((c) => c.points.find((p) => p.train_loss !== null)?.train_loss ?? []);
  const bottom = all.reduce((a, b) => Math.min(a, b));
  const highest = all.reduce((a, b) => Math.max(a, b));
  const later = curves
    .flatMap((c) => c.points.filter((p) => !isStart(c, p)).flatMap((p) => [p.train_loss, p.validation_loss]))
    .filter(isNumber);
  const most = withStart || later.length < 2 ? highest : later.reduce((a, b) => Math.max(a, b));
  // A loss begins high; other numbers may rise.
  const top =
    metric !== null ? highest : begin.length === 0 ? most : Math.min(most, Math.max(...begin) * HEADROOM);
  const margin = Math.max(0.04 * (top - bottom), 0.005 * Math.abs(top));
  return [bottom - margin, Math.max(top, bottom) + margin];
}

const isNumber = (value: number | null): value is number => value !== null;

type Scale = ReturnType<typeof linear>;
type Place = (loss: number) => number;

const stepTicks = (x: Scale, width: number): number[] =>
  x.ticks(width < 500 ? 4 : 8).filter((tick) => Number.isInteger(tick));

/** "12,000" */
const stepText = (step: number): string => step.toLocaleString("en-US");

function lossLine(curve: TrainingCurve, x: Scale, y: Place): Markup[] {
  const trained = curve.points.filter((p) => p.train_loss !== null);
  const d = lineShape<TrainingPoint>()
    .x((p) => x(p.step))
    .y((p) => y(p.train_loss!))
    .digits(1)(trained);
  return d === null ? [] : [path(d, { class: "line thin" })];
}

function evaluations(
  curve: TrainingCurve,
  series: number,
  losses: [number, number],
  x: Scale,
  y: Place,
): Markup[] {
  return curve.points.flatMap((p) => {
    if (p.validation_loss === null || p.validation_loss > losses[1]) return [];
    return element(
      "path",
      {
        d: marker(series, 60),
        transform: `translate(${x(p.step).toFixed(1)} ${y(p.validation_loss).toFixed(1)})`,
        class: "mark edge",
        "data-step": p.step,
        "data-validation-loss": p.validation_loss,
      },
      element(
        "title",
        {},
        text(`${curve.title}, step ${stepText(p.step)}: validation loss ${lossText(p.validation_loss, 4)}`),
      ),
    );
  });
}

/** The start leaves it where it is cut off: nobody has to be told. */
const leavesAxis =
  (curve: TrainingCurve, losses: [number, number], { withStart }: TrainingView) =>
  (p: TrainingPoint): boolean =>
    (p.train_loss ?? 0) > losses[1] && (withStart || !isStart(curve, p));

/** A cross where the run diverged, an arrowhead where its loss first leaves the axis. */
function aboveMarks(
  curve: TrainingCurve,
  losses: [number, number],
  view: TrainingView,
  x: Scale,
  box: Box,
): Markup[] {
  const leaves = curve.points.find(leavesAxis(curve, losses, view));
  const attributes = { class: "open", fill: "none" };
  const at = box.y - STRIP / 2 + 1;
  return [
    ...(leaves === undefined ? [] : [path(arrowhead(x(leaves.step), at), attributes)]),
    ...(curve.diverged_at === null ? [] : [path(cross(x(curve.diverged_at), at), attributes)]),
  ];
}

const resumeMark = ({ attempt, step }: { attempt: number; step: number }, x: number, box: Box): Markup =>
  group(
    {},
    line(x, box.y, x, box.y + box.height, { class: "base" }),
    label(x, box.y - 4, String(attempt), { class: "small muted", "text-anchor": "middle" }),
    element("title", {}, text(`attempt ${attempt} went on after step ${stepText(step)}`)),
  );

/** Whole decades around what was seen, of norms above 0; null without any. */
function normDomain({ points }: TrainingCurve): [number, number] | null {
  const norms = points.map((p) => p.gradient_norm).filter((v): v is number => v !== null && v > 0);
  if (norms.length < 2) return null;
  const low = Math.floor(Math.log10(Math.min(...norms)));
  const high = Math.ceil(Math.log10(Math.max(...norms)));
  return [low, Math.max(high, low + 1)];
}

function normPanel(
  curve: TrainingCurve,
  [low, high]: [number, number],
  box: Box,
  steps: Parameters<typeof frame>[1],
): Markup[] {
  const y = linear([low, high], [box.y + box.height, box.y]);
  const decades = Array.from({ length: high - low + 1 }, (_, i) => low + i);
  const every = Math.ceil(decades.length / 4);
  const points = curve.points.filter((p) => p.gradient_norm !== null && p.gradient_norm > 0);
  const d = lineShape<TrainingPoint>()
    .x((p) => steps.scale(p.step))
    .y((p) => y(Math.log10(p.gradient_norm!)))
    .digits(1)(points);
  return [
    ...frame(box, steps, {
      scale: y,
      ticks: decades.filter((_, i) => i % every === 0),
      format: (decade) => String(Number((10 ** decade).toPrecision(1))),
      labelled: true,
    }),
    label(0, 0, "gradient norm", turned(15, box.y + box.height / 2)),
    group({ class: sparsityClass(0, 1) }, d === null ? [] : [path(d, { class: "line thin" })]),
  ];
}

function legendOf(
  curves: readonly TrainingCurve[],
  losses: [number, number],
  view: TrainingView,
  at: { x: number; y: number; width: number },
) {
  const n = curves.length;
  const some = (test: (curve: TrainingCurve) => boolean): boolean => curves.some(test);
  const key = (name: string, shown: boolean, glyph: Markup): LegendEntry[] =>
    shown ? [{ name, glyph, class: n === 1 ? sparsityClass(0, 1) : "key" }] : [];
  const stroke = n === 1 ? "line thin" : "key";
  return legend(
    [
      {
        heading: "",
        entries:
          n === 1
            ? []
            : curves.map(({ title }, i) => ({
                name: title,
                class: sparsityClass(i, n),
                glyph: group(
                  {},
                  line(-12, 0, 12, 0, { class: "line" }),
                  path(marker(i, 48), { class: "mark edge" }),
                ),
              })),
      },
      {
        heading: "",
        entries: [
          ...key(
            view.metric ?? "training loss",
            some((c) => c.points.some((p) => p.train_loss !== null)),
            line(-12, 0, 12, 0, { class: stroke }),
          ),
          ...key(
            "validation loss",
            some((c) => c.points.some((p) => p.validation_loss !== null)),
            path(marker(0, 60), { class: n === 1 ? "mark edge" : "key" }),
          ),
          ...key(
            "a later attempt goes on",
            n === 1 && curves[0]!.resumed.length > 0,
            line(0, -8, 0, 8, { class: "base" }),
          ),
          ...key(
            "above the axis",
            some((c) => c.points.some(leavesAxis(c, losses, view))),
            path(arrowhead(0, 0), { class: n === 1 ? "open" : "key", "stroke-width": "1.5" }),
          ),
          ...key(
            "diverged",
            some((c) => c.diverged_at !== null),
            path(cross(0, 0), { class: n === 1 ? "open" : "key", "stroke-width": "1.5" }),
          ),
        ],
      },
    ],
    at,
  );
}
