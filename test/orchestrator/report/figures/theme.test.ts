/** Colours that anybody can tell apart, text that anybody can read, numbers as people write them. */
import { describe, expect, test } from "vitest";
import { decimal, signedDecimal, sparsityLabel } from "../../../../orchestrator/report/figures/labels.ts";
import {
  COLOURS,
  marker,
  sequence,
  styleSheet,
  type Theme,
} from "../../../../orchestrator/report/figures/theme.ts";
import { RULES } from "../../../../schema/sweep/rules.ts";

/** Red, green, blue from 0 to 255, of "#rrggbb" or "rgb(r, g, b)". */
const channels = (colour: string): number[] =>
  colour.startsWith("#")
    ? [1, 3, 5].map((i) => Number.parseInt(colour.slice(i, i + 2), 16))
    : colour.match(/\d+/g)!.map(Number);

/** WCAG 2.2, "relative luminance" and "contrast ratio". */
function luminance(colour: string): number {
  const [r, g, b] = channels(colour).map((v) =>
    v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}
const contrast = (a: string, b: string): number => {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (light + 0.05) / (dark + 0.05);
};

describe.each(["light", "dark"] as Theme[])("%s", (theme) => {
  const { background, text, muted } = COLOURS[theme];
  const parameterizations = Object.values(RULES).map(({ colours }) => colours[theme]);

  test("text has a contrast of 4.5, every line of 3", () => {
    for (const ink of [text, muted]) expect(contrast(ink, background)).toBeGreaterThanOrEqual(4.5);
    for (const line of [...sequence(theme, 8), ...parameterizations])
      expect(contrast(line, background), line).toBeGreaterThanOrEqual(3);
  });

  test.each([2, 3, 7, 8])("%i sparsities rise in lightness, so any colour vision orders them", (n) => {
    const lightness = sequence(theme, n).map(luminance);
    for (let i = 1; i < n; i++) expect(lightness[i]!).toBeGreaterThan(lightness[i - 1]!);
    expect(new Set(sequence(theme, n)).size).toBe(n);
  });
});

test("eight series have eight markers", () => {
  expect(new Set(Array.from({ length: 8 }, (_, i) => marker(i, 40))).size).toBe(8);
});

test("no text is smaller than 11 px", () => {
  const sizes = [...styleSheet([7], "both").matchAll(/font-size: (\d+)px/g)].map((m) => Number(m[1]));
  expect(sizes.length).toBeGreaterThan(1);
  expect(Math.min(...sizes)).toBeGreaterThanOrEqual(11);
});

test("a PNG's style sheet knows no dark, a page's dark is for screens only", () => {
  expect(styleSheet([3], "light")).not.toContain("@media");
  expect(styleSheet([3], "both")).toContain("@media screen and (prefers-color-scheme: dark)");
});

test.each([
  [0, "0"],
  [0.5, "1/2"],
  [0.984375, "63/64"],
  [0.9921875, "127/128"],
  [0.9, "0.9"],
  [0.3333333333, "0.33333"],
])("sparsity %d is written %s", (sparsity, written) => {
  expect(sparsityLabel(sparsity)).toBe(written);
});

test("minus is a minus sign, and nothing is minus zero", () => {
  expect(decimal(-5.951, 2)).toBe("−5.95");
  expect(decimal(-0.001, 2)).toBe("0.00");
  expect(signedDecimal(-0.04, 1)).toBe("0.0");
  expect(signedDecimal(0.3, 1)).toBe("+0.3");
});
