/** Numbers as people read them. */
import { expect, it } from "vitest";
import { amount } from "../../../orchestrator/terminal/format.ts";

it.each([
  [0, "0 B"],
  [518, "518 B"],
  [1_620_000, "1.62 MB"],
])("%d has one space before its unit", (value, text) => {
  expect(amount(value, "B")).toBe(text);
});
