/** What every panel of every figure shares: scales, ticks, grid lines, axis names, the legend, and the outer <svg>. */
import { type ScaleLinear, scaleLinear } from "d3-scale";
import { decimal } from "./labels.ts";
import { type Attributes, element, type Markup, ownMarkup, text } from "./markup.ts";
import { styleSheet } from "./theme.ts";

export interface Figure {
  width: number;
  height: number;
  /** The <svg> element without style rules; `styleSheet` has them. */
  svg: Markup;
  /** How many sparsities it tells apart: what its style rules depend on. */
  series: number;
}

export interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** Wider than any usual sans-serif sets it, so that whatever font is there, names do not meet. */
const textWidth = (value: string, size = 12): number => [...value].length * size * 0.62;

export const group = (attributes: Attributes, ...children: (Markup | Markup[])[]): Markup =>
  element("g", attributes, ...children);

export const label = (x: number, y: number, value: string, attributes: Attributes = {}): Markup =>
  element("text", { x, y, ...attributes }, text(value));

export const line = (x1: number, y1: number, x2: number, y2: number, attributes: Attributes): Markup =>
  element("line", { x1, y1, x2, y2, ...attributes });

export const path = (d: string, attributes: Attributes): Markup => element("path", { d, ...attributes });

/** An outline of an arrow from one point along x or y, with its head at the far end; the foot is a bar: the bound itself. */
export function arrow(from: [number, number], to: [number, number], attributes: Attributes): Markup {
  const [[x, y], [u, v]] = [from, to];
  const length = Math.hypot(u - x, v - y);
  const [dx, dy] = [(u - x) / length, (v - y) / length];
  const p = (along: number, across: number, [ox, oy]: [number, number]): string =>
    `${(ox + along * dx - across * dy).toFixed(2)},${(oy + along * dy + across * dx).toFixed(2)}`;
  const foot = `M${p(0, -4.5, from)}L${p(0, 4.5, from)}`;
  return path(
    `${foot}M${p(0, 0, from)}L${p(0, 0, to)}M${p(-6, -4, to)}L${p(0, 0, to)}L${p(-6, 4, to)}`,
    attributes,
  );
}

/** Whole octaves only, as many as fit with 26 px each. */
export function octaveTicks(scale: ScaleLinear<number, number>): number[] {
  const [from, to] = scale.domain() as [number, number];
  const perOctave = Math.abs(scale(1) - scale(0));
  const step = [1, 2, 4, 8, 16].find((s) => s * perOctave >= 26) ?? 32;
  const ticks: number[] = [];
  for (let k = Math.ceil(from / step - 1e-9) * step; k <= to + 1e-9; k += step) ticks.push(k);
  return ticks;
}

export const linear = (domain: [number, number], range: [number, number]): ScaleLinear<number, number> =>
  scaleLinear().domain(domain).range(range);

/** Grid lines, tick labels and the frame of one panel. Labels of y only where a row begins. */
export function frame(
  box: Box,
  x: { scale: ScaleLinear<number, number>; ticks: number[]; format: (value: number) => string },
  y: {
    scale: ScaleLinear<number, number>;
    ticks: number[];
    format: (value: number) => string;
    labelled: boolean;
  },
): Markup[] {
  const { x: left, y: top, width, height } = box;
  const bottom = top + height;
  return [
    ...x.ticks.map((tick) => line(x.scale(tick), top, x.scale(tick), bottom, { class: "grid" })),
    ...y.ticks.map((tick) => line(left, y.scale(tick), left + width, y.scale(tick), { class: "grid" })),
    path(`M${left},${top}V${bottom}H${left + width}`, { class: "axis" }),
    ...x.ticks.map((tick) =>
      label(x.scale(tick), bottom + 15, x.format(tick), { class: "small muted", "text-anchor": "middle" }),
    ),
    ...(y.labelled
      ? y.ticks.map((tick) =>
          label(left - 6, y.scale(tick) + 4, y.format(tick), { class: "small muted", "text-anchor": "end" }),
        )
      : []),
  ];
}

/** Ticks of a loss axis, with as many decimals as tell them apart. */
export function lossTicks(scale: ScaleLinear<number, number>, count: number) {
  const ticks = scale.ticks(count);
  const step = ticks.length > 1 ? ticks[1]! - ticks[0]! : 1;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return { ticks, format: (value: number) => decimal(value, digits) };
}

export interface LegendEntry {
  name: string;
  /** Drawn about (0, 0), 24 px wide. */
  glyph: Markup;
  class?: string;
}

const GLYPH = 26;

/** Rows of entries, wrapped to the width; a heading stands before its entries. @returns its height too */
export function legend(
  groups: { heading: string; entries: LegendEntry[] }[],
  at: { x: number; y: number; width: number },
): { markup: Markup[]; height: number } {
  const markup: Markup[] = [];
  const rowHeight = 19;
  let y = at.y;
  for (const { heading, entries } of groups) {
    if (entries.length === 0) continue;
    let x = at.x;
    if (heading !== "") {
      markup.push(label(x, y + 4, heading, { class: "muted" }));
      x += textWidth(heading) + 12;
    }
    const start = heading !== "" && x - at.x < at.width / 3 ? x : at.x;
    for (const { name, glyph, class: series } of entries) {
      const width = GLYPH + 6 + textWidth(name) + 12;
      if (x > start && x + width - 12 > at.x + at.width) {
        x = start;
        y += rowHeight;
      }
      markup.push(group({ class: series, transform: `translate(${x + GLYPH / 2} ${y})` }, glyph));
      markup.push(label(x + GLYPH + 6, y + 4, name));
      x += width;
    }
    y += rowHeight;
  }
  return { markup, height: y - at.y };
}

/**
 * @param id unique in its page
 * @param description for those who do not see the picture
 * @param isLinked whether marks are links: what is a picture to assistive technology cannot hold any
 */
export function figure(
  size: { width: number; height: number },
  about: { id: string; title: string; description: string; series: number; isLinked?: boolean },
  content: Markup[],
): Figure {
  const { width, height } = size;
  const { id, title, description, series } = about;
  const svg = element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      width,
      height,
      viewBox: `0 0 ${Math.ceil(width)} ${Math.ceil(height)}`,
      class: "fig",
      role: about.isLinked ? "group" : "img",
      "aria-labelledby": `${id}-title ${id}-description`,
    },
    element("title", { id: `${id}-title` }, text(title)),
    element("desc", { id: `${id}-description` }, text(description)),
    element("rect", { width, height, class: "paper" }),
    content,
  );
  return { width, height, svg, series };
}

/** A figure as a file of its own, with its style rules inside. */
export function standalone(drawn: Figure, themes: "both" | "light"): string {
  const style = element("style", {}, ownMarkup(`\n${styleSheet([drawn.series], themes)}\n`));
  return `<?xml version="1.0" encoding="UTF-8"?>\n${drawn.svg.replace(/^<svg[^>]*>/, (open) => `${open}${style}`)}\n`;
}
