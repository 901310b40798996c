/**
 * Colours, markers and the style sheet of the figures. Sparsities get a sequential scale of rising lightness (dense dark,
 * sparse light), which any colour vision orders, and a marker each; parameterizations get hues of the Okabe–Ito palette,
 * darkened where white paper needs it. Every line has a contrast of at least 3:1 with its background.
 */
import { interpolateHcl, piecewise } from "d3-interpolate";
import {
  type SymbolType,
  symbol,
  symbolCircle,
  symbolCross,
  symbolDiamond,
  symbolSquare,
  symbolStar,
  symbolTriangle,
  symbolWye,
} from "d3-shape";
import { PARAMETERIZATIONS, RULES } from "../../../schema/sweep/rules.ts";

export type Theme = "light" | "dark";

interface Colours {
  background: string;
  text: string;
  muted: string;
  grid: string;
  axis: string;
  /** From dense to sparse. */
  sequence: string[];
}

export const COLOURS: Record<Theme, Colours> = {
  light: {
    background: "#ffffff",
    text: "#1b1f24",
    muted: "#57606a",
    grid: "#e6e8eb",
    axis: "#8c959f",
    sequence: ["#2a0a55", "#34479c", "#147a94", "#2b9553", "#b98300"],
  },
  dark: {
    background: "#15181c",
    text: "#e8eaed",
    muted: "#a7b0ba",
    grid: "#2a2f36",
    axis: "#6b7480",
    sequence: ["#8163d9", "#6a97ee", "#3fbfc6", "#8bd877", "#ffe28f"],
  },
};

/** Colours of n series from dense to sparse; one series takes the first. */
export function sequence(theme: Theme, n: number): string[] {
  const scale = piecewise(interpolateHcl, COLOURS[theme].sequence);
  return Array.from({ length: n }, (_, i) => scale(n > 1 ? i / (n - 1) : 0));
}

const upsideDown: SymbolType = {
  draw(context, size) {
    const half = Math.sqrt(size / (Math.sqrt(3) * 3));
    context.moveTo(0, half * 2);
    context.lineTo(-Math.sqrt(3) * half, -half);
    context.lineTo(Math.sqrt(3) * half, -half);
    context.closePath();
  },
};

const MARKERS: SymbolType[] = [
  symbolCircle,
  symbolSquare,
  symbolTriangle,
  symbolDiamond,
  upsideDown,
  symbolCross,
  symbolStar,
  symbolWye,
];

/** Path of the marker of series i about the origin. @param area square pixels */
export const marker = (i: number, area: number): string =>
  symbol(MARKERS[i % MARKERS.length]!, area).digits(2)() ?? "";

/** Class of series i of n by sparsity. It carries n, so that pages may show several sweeps under one style sheet. */
export const sparsityClass = (i: number, n: number): string => `s${n}-${i}`;
export const parameterizationClass = (id: string): string => `p-${id.replace(/[^a-z0-9-]/g, "_")}`;

/** Fonts that are there already: no figure asks for one to be fetched. */
export const FONTS = "Helvetica, Arial, 'Liberation Sans', 'DejaVu Sans', sans-serif";

/**
 * Rules for figures with these numbers of sparsities.
 * @param themes both: dark where the screen prefers it, light on paper; light: for PNG and for print
 */
export function styleSheet(counts: Iterable<number>, themes: "both" | "light"): string {
  const distinct = [...new Set(counts)].sort((a, b) => a - b);
  const light = rules("light", distinct);
  if (themes === "light") return `${SHAPES}\n${light}`;
  return `${SHAPES}\n${light}\n@media screen and (prefers-color-scheme: dark) {\n${rules("dark", distinct)}\n}`;
}

/** Sizes and strokes, whatever the colours. */
const SHAPES = `.fig { font-family: ${FONTS}; font-size: 12px; }
.fig .small { font-size: 11px; }
.fig .strong { font-weight: bold; font-size: 13px; }
.fig .line { fill: none; stroke-width: 1.8px; stroke-linejoin: round; stroke-linecap: round; }
.fig .spread { stroke: none; fill-opacity: 0.16; }
.fig .interval { fill: none; stroke-width: 2.4px; }
.fig .thin { stroke-width: 1.2px; }
.fig .open { stroke-width: 1.5px; }
.fig .base { fill: none; stroke-width: 1.4px; stroke-dasharray: 5 4; }
.fig .halo { fill: none; stroke-width: 5.4px; stroke-linecap: round; }`;

function rules(theme: Theme, counts: number[]): string {
  const { background, text, muted, grid, axis } = COLOURS[theme];
  const series = [
    ...counts.flatMap((n) => sequence(theme, n).map((colour, i) => [sparsityClass(i, n), colour] as const)),
    ...PARAMETERIZATIONS.map((id) => [parameterizationClass(id), RULES[id].colours[theme]] as const),
  ];
  return [
    `.fig .paper { fill: ${background}; }`,
    `.fig text { fill: ${text}; }`,
    `.fig text.muted { fill: ${muted}; }`,
    `.fig .grid { stroke: ${grid}; stroke-width: 1px; }`,
    `.fig .axis { fill: none; stroke: ${axis}; stroke-width: 1px; }`,
    `.fig .strip { fill: ${grid}; fill-opacity: 0.55; }`,
    `.fig .base, .fig .key { stroke: ${muted}; }`,
    `.fig .key { fill: none; }`,
    `.fig .base-spread { fill: ${muted}; fill-opacity: 0.12; }`,
    `.fig .halo { stroke: ${background}; }`,
    `.fig .edge { stroke: ${background}; stroke-width: 1.2px; }`,
    ...series.flatMap(([name, colour]) => [
      `.fig .${name} .line, .fig .${name} .interval, .fig .${name} .thin { stroke: ${colour}; fill: none; }`,
      `.fig .${name} .spread, .fig .${name} .mark { fill: ${colour}; }`,
      `.fig .${name} .open { stroke: ${colour}; fill: ${background}; }`,
    ]),
  ].join("\n");
}
