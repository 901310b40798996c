/** Fits of a few curves as method 3 made them, digit by digit: whoever makes fitting faster must not make it different. */
import { expect, it } from "vitest";
import { METHOD } from "../../../orchestrator/analysis/method.ts";
import { fitOptimum } from "../../../orchestrator/analysis/optimum.ts";
import { sampled } from "./helpers.ts";

const lopsided = (x: number): number => 2 * (1 + 0.012 * (x + 7.2) ** 2 * (x > -7.2 ? 2 : 1));
const at = (from: number, to: number, step = 1): number[] =>
  Array.from({ length: (to - from) / step + 1 }, (_, i) => from + i * step);

it.each([
  {
    name: "one seed",
    curve: sampled(at(-10, -4), lopsided, 1, 0.002),
    known: {
      flag: "bracketed",
      log2_lr: -7.269492499148603,
      log2_lr_low: -7.511757895389127,
      log2_lr_high: -6.967091451066146,
      log2_lr_low_90: -7.479096419827237,
      log2_lr_high_90: -7.014243533529055,
      loss: 2.0035411290633776,
      loss_low: 1.981325609647532,
      loss_high: 2.026005738936901,
      valley_low: -7.891513972622885,
      valley_high: -6.765145355518119,
    },
  },
  {
    name: "three seeds",
    curve: sampled(at(-10, -4), lopsided, 3, 0.006),
    known: {
      flag: "bracketed",
      log2_lr: -7.273928720153973,
      log2_lr_low: -7.460548444386653,
      log2_lr_high: -6.992796900197528,
      log2_lr_low_90: -7.438628103847265,
      log2_lr_high_90: -7.032373191766525,
      loss: 2.0025069109478832,
      loss_low: 1.9830476294699355,
      loss_high: 2.022157142774179,
      valley_low: -7.895535171691403,
      valley_high: -6.7712196863440495,
    },
  },
  {
    name: "noise of others",
    curve: sampled(at(-9, -5, 0.5), lopsided, 1, 0.01),
    noise: { sd: 0.02, df: 30 },
    known: {
      flag: "bracketed",
      log2_lr: -7.370651166303419,
      log2_lr_low: -8.036949544038343,
      log2_lr_high: -6.807551805797106,
      log2_lr_low_90: -7.884039371583739,
      log2_lr_high_90: -6.8949538939081565,
      loss: 2.017369690358771,
      loss_low: 1.9514869907997705,
      loss_high: 2.085476606692797,
      valley_low: -8.047541677770779,
      valley_high: -6.80934658286285,
    },
  },
  {
    name: "quiet and far apart",
    curve: sampled(at(-12, -2, 2), lopsided, 2, 0.0001),
    known: {
      flag: "bracketed",
      log2_lr: -7.331458368731184,
      log2_lr_low: -7.629055766412313,
      log2_lr_high: -7.023700613307568,
      log2_lr_low_90: -7.58747363337407,
      log2_lr_high_90: -7.067011011418092,
      loss: 2.003312691541817,
      loss_low: 1.9915003124108677,
      loss_high: 2.0151951345838097,
      valley_low: -7.961823616131768,
      valley_high: -6.797007274798446,
    },
  },
  {
    name: "a steep wall",
    curve: sampled(at(-11, -3, 0.5), (x) => lopsided(x) + (x > -5 ? 1 : 0), 2, 0.004),
    known: {
      flag: "bracketed",
      log2_lr: -7.264661719680317,
      log2_lr_low: -7.437204745437,
      log2_lr_high: -7.019183397776198,
      log2_lr_low_90: -7.4161301943561355,
      log2_lr_high_90: -7.062472791521432,
      loss: 1.9991212893821177,
      loss_low: 1.9857994984214964,
      loss_high: 2.0125324499465385,
      valley_low: -7.874550630767643,
      valley_high: -6.761629608778346,
    },
  },
])("$name", ({ curve, noise, known }) => {
  expect(METHOD).toBe(3);
  const optimum = fitOptimum(curve, { noise });
  // Not to the last bit: engines differ there in exp and log.
  for (const [name, value] of Object.entries(known))
    if (typeof value === "number") expect(optimum[name as keyof typeof optimum], name).toBeCloseTo(value, 12);
    else expect(optimum[name as keyof typeof optimum]).toBe(value);
});
