import { expect, it } from "vitest";
import { lossText } from "../../../orchestrator/analysis/loss-text.ts";

it.each([
  [2.0944, "2.094"],
  [0.752, "0.752"],
  [0.1, "0.100"],
  [0.04512, "0.0451"],
  [3.0049e-6, "0.00000300"],
  [30_023.52, "30023.520"],
])("a loss of %s has digits that tell it: %s", (loss, text) => {
  expect(lossText(loss, 3)).toBe(text);
});
