/**
 * Real networks on real text: the rules as they are keep activations where theory says so, and every rule that is broken on
 * purpose is caught. Small enough for a minute, large enough that a wrong exponent stands out of the noise.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  type CoordinateAxis,
  type FlatVerdict,
  fitLine,
  type Line,
  verdictOf,
} from "../../../orchestrator/analysis/coordinates.ts";
import { prepareData } from "../../../orchestrator/data/prepare.ts";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";
import { type Parameterization, RULES, type Rules } from "../../../schema/sweep/rules.ts";
import { traceCoordinates } from "../../../workers/trainers/cpu/inspect.ts";
import { modelCells } from "../../support/model-cells.ts";
import { scratch } from "../../support/scratch.ts";

const place = scratch(afterAll);
const STEPS = 4;
const TOLERANCE = 0.25;
let data: { hash: string; vocab_size: number };

beforeAll(async () => {
  data = await prepareData(
    { corpus: "moby-dick", tokenizer: "bytes", validation_fraction: 0.05 },
    { cacheDirectory: place.directory, baseDirectory: place.directory },
  );
});

/** A check as a sweep file asks for it; the fields are YAML. */
const checkText = (section: string): string => `name: check
data: { corpus: moby-dick }
model: { width: 128, layers: 1, d_head: 16, ffn: { ratio: 2 }, sequence_length: 64 }
base: { width: 64, layers: 2, init_std: 0.1, alpha_input: 8, alpha_output: 1 }
coordinate_check: { steps: ${STEPS}, seeds: 6, batch_size: 8, ${section} }
`;

interface Checked {
  verdict: FlatVerdict;
  /** Modules with a slope that is not flat. */
  off: Set<string>;
}

/** Trains every network of a check here, with the rules as they are at this moment. */
async function check(
  parameterization: Parameterization,
  axis: CoordinateAxis,
  section: string,
): Promise<Checked> {
  const sweep = parseSweep(checkText(`parameterization: ${parameterization}, ${section}`), "check.yaml");
  const runs: Line["runs"][number][] = [];
  for (const { coordinates: c, plan } of modelCells(expandPhase(sweep.phases[0], data).cells()))
    runs.push({
      seed: c.seed,
      x: Math.log2(axis === "density" ? 1 - c.sparsity : c[axis]),
      outcome: "measured",
      sizes: await traceCoordinates(plan, place.directory),
    });
  const slopes = fitLine(
    { axis, heads_grow: section.includes("heads"), runs },
    { steps: STEPS, tolerance: TOLERANCE },
  );
  const off = slopes.filter((slope) => slope.verdict === "not flat").map((slope) => slope.module);
  return { verdict: verdictOf(slopes), off: new Set(off) };
}

/** The same with one rule of a parameterization replaced. */
async function brokenAlong(
  axis: CoordinateAxis,
  parameterization: Parameterization,
  rule: Partial<Rules>,
  section: string,
): Promise<Checked> {
  const sound = RULES[parameterization];
  RULES[parameterization] = { ...sound, ...rule };
  try {
    return await check(parameterization, axis, section);
  } finally {
    RULES[parameterization] = sound;
  }
}
const broken = (rule: Partial<Rules>, section: string): Promise<Checked> =>
  brokenAlong("width", "mup", rule, section);

const DENSITIES = "density: [1, 0.125]";
const WIDTHS = "width: [32, 256]";
const WIDTHS_HEADS = `${WIDTHS}, heads: 4`;

describe("along density", () => {
  it("SμPar keeps every activation; SP and μP keep none of the blocks'", async () => {
    expect(await check("supar", "density", DENSITIES)).toEqual({ verdict: "flat", off: new Set() });
    for (const parameterization of ["sp", "mup"] as const) {
      const { verdict, off } = await check(parameterization, "density", DENSITIES);
      expect([parameterization, verdict]).toEqual([parameterization, "not flat"]);
      for (const module of ["attention_scores", "attention", "ffn"] as const) expect(off).toContain(module);
    }
  });

  it("neither of SμPar's corrections is enough", async () => {
    expect((await check("supar-init-only", "density", DENSITIES)).verdict).toBe("not flat");
    expect((await check("supar-lr-only", "density", DENSITIES)).verdict).toBe("not flat");
  });
});

describe("along width", () => {
  it("μP keeps every activation, also where heads grow; SP does not", async () => {
    expect(await check("mup", "width", WIDTHS)).toEqual({ verdict: "flat", off: new Set() });
    expect(await check("mup", "width", WIDTHS_HEADS)).toEqual({ verdict: "flat", off: new Set() });
    expect((await check("sp", "width", WIDTHS)).verdict).toBe("not flat");
  });

  it("a hidden learning rate that is not scaled is caught", async () => {
    const { off } = await broken({ hidden_rate_divisor: { adamw: () => 1 } }, WIDTHS);
    expect(off).toContain("attention");
    expect(off).toContain("ffn");
  });

  it("initial weights that are not scaled are caught", async () => {
    const { off } = await broken({ hidden_variance_divisor: () => 1 }, WIDTHS);
    expect(off).toContain("ffn");
  });

  it("logits without α_out/m_d are caught, and nothing else is blamed", async () => {
    const { off } = await broken({ logits_multiplier: (m) => m.alpha_output }, WIDTHS);
    expect(off).toEqual(new Set(["logits"]));
  });

  it("attention by 1/√d_head is caught where heads grow", async () => {
    const { off } = await broken({ attention_scale: (m) => 1 / Math.sqrt(m.d_head) }, WIDTHS_HEADS);
    expect(off).toEqual(new Set(["attention_scores"]));
  });
});

describe("along depth", () => {
  const DEPTHS = "width: 64, layers: [2, 16]";

  it("CompleteP keeps every activation, with SμPar's correction too; μP does not", async () => {
    for (const parameterization of ["completep", "supar-completep"] as const)
      expect(await check(parameterization, "layers", DEPTHS)).toEqual({ verdict: "flat", off: new Set() });
    expect((await check("mup", "layers", DEPTHS)).verdict).toBe("not flat");
  });

  it("a residual stream without its multiplier is caught", async () => {
    const { off } = await brokenAlong("layers", "completep", { residual_multiplier: () => 1 }, DEPTHS);
    expect(off.size).toBeGreaterThan(0);
  });
});
