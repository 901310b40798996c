/** What a coordinate check trains, and what is said of a section that asks for something else. */
import { describe, expect, it } from "vitest";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { parseSweepFile } from "../../../orchestrator/sweep/parse-sweep.ts";
import type { Phase } from "../../../schema/sweep/sweep.ts";
import { modelCells } from "../../support/model-cells.ts";

const DATA = { hash: "0123456789abcdef", vocab_size: 256 };
const cells = (phase: Phase) => modelCells(expandPhase(phase, DATA).cells());
const read = (text: string, settings?: Record<string, unknown>) =>
  parseSweepFile(text, "check.yaml", settings).sweep;

const HEAD = `name: checked
data: { corpus: moby-dick }
model: { width: 128, layers: 2, d_head: 32, sequence_length: 64 }
training: { steps: 500, batch_size: 32, warmup_fraction: 0.1 }
base: { width: 64, init_std: 0.1 }
`;
const AXES = `axes:
  parameterization: [mup, supar]
  width: [128, 256]
  sparsity: [0, 0.5]
  learning_rate: [0.01, 0.02]
`;

describe("a coordinate check", () => {
  const alone = read(`${HEAD}coordinate_check:
  parameterization: supar
  width: [64, 128, 256]
  density: { log2: { from: -2, to: 0 } }
  layers: [1, 2]
  seeds: 2
`);

  it("varies one axis at a time around the file's model, and has the model itself once a seed", () => {
    expect(alone.phases.map((phase) => phase.name)).toEqual(["coordinate-check"]);
    const places = cells(alone.phases[0]).map(
      ({ coordinates: c }) => `${c.width} ${c.sparsity} ${c.layers} ${c.seed}`,
    );
    const once = ["64 0 2", "128 0 2", "256 0 2", "128 0.75 2", "128 0.5 2", "128 0 1"];
    expect(places.toSorted()).toEqual(once.flatMap((at) => [`${at} 1`, `${at} 2`]).toSorted());
  });

  it("trains ten constant steps of small batches, measured at each", () => {
    for (const { plan } of cells(alone.phases[0])) {
      expect(plan).toMatchObject({
        steps: 10,
        batch_size: 4,
        schedule: { warmup_steps: 0, decay: "constant" },
        coordinates: { steps: 10 },
        evaluation: { sequences: 4 },
      });
      expect(plan.groups.find((group) => group.name === "embedding")!.learning_rate).toBe(2 ** -9);
    }
  });

  it("takes axes and parameterizations from the grid where it does not say, and its model's width is the largest", () => {
    const { checks, phases } = read(`${HEAD.replace("width: 128, ", "")}${AXES}coordinate_check: {}\n`);
    expect(phases.map((phase) => phase.name)).toEqual(["grid"]);
    expect(checks.map((check) => check.name)).toEqual(["grid.coordinate-check"]);
    const found = new Set(
      cells(checks[0]!).map(({ coordinates: c }) => `${c.parameterization} ${c.width} ${c.sparsity}`),
    );
    const at = ["128 0", "256 0", "256 0.5"];
    expect(found).toEqual(new Set(["mup", "supar"].flatMap((p) => at.map((place) => `${p} ${place}`))));
  });

  it("with `heads` widens them along width alone", () => {
    const { phases } = read(
      `${HEAD}coordinate_check: { parameterization: mup, width: [64, 256], layers: [1, 2], heads: 4 }\n`,
    );
    const found = new Set(
      cells(phases[0]).map(({ plan: { shape: s } }) => `${s.d_model} ${s.d_head} ${s.layers}`),
    );
    expect(found).toEqual(new Set(["64 16 2", "256 64 2", "128 32 1", "128 32 2"]));
  });

  it("that is required comes before its phase, which waits for it", () => {
    const { phases } = read(`${HEAD}${AXES}coordinate_check: { required: true, seeds: 3 }\n`);
    expect(phases.map(({ name, after }) => [name, after])).toEqual([
      ["grid.coordinate-check", undefined],
      ["grid", "grid.coordinate-check"],
    ]);
  });

  it("of one phase says what differs from that of all", () => {
    const { phases } = read(`${HEAD}coordinate_check: { density: [1, 0.5], seeds: 3 }
phases:
  - name: proxy
    axes: { parameterization: supar, learning_rate: [0.01, 0.02] }
  - name: target
    coordinate_check: { required: true, steps: 5 }
    axes: { parameterization: supar, width: 256, learning_rate: { from: proxy } }
`);
    expect(phases.map((phase) => phase.name)).toEqual(["proxy", "target.coordinate-check", "target"]);
    expect(phases[1]).toMatchObject({ coordinates: { steps: 5 } });
    expect(cells(phases[1]!)).toHaveLength(6);
  });

  it("takes a command's settings over the file's; density takes the place of sparsity", () => {
    const text = `${HEAD}coordinate_check: { parameterization: supar, sparsity: [0, 0.5], seeds: 3 }\n`;
    const { phases } = read(text, { density: [1, 0.25], seeds: 1 });
    expect(cells(phases[0]).map(({ coordinates: c }) => c.sparsity)).toEqual([0, 0.75]);
  });

  it("leaves the runs of a sweep as they were", () => {
    const plain = cells(read(`${HEAD}${AXES}`).phases[0]);
    const gated = cells(read(`${HEAD}${AXES}coordinate_check: { required: true }\n`).phases[1]!);
    expect(gated.map((cell) => cell.run)).toEqual(plain.map((cell) => cell.run));
  });
});

describe("mistakes in the section", () => {
  it.each<[string, string]>([
    [
      "coordinate_check: { parameterization: mup }",
      "6:1: coordinate_check: nothing varies; expected width, density (or sparsity) or layers with at least two values",
    ],
    [
      "coordinate_check: { parameterization: mup, width: [100, 128] }",
      "6:52: coordinate_check.width[0]: width 100 is not divisible by d_head 32; the nearest that is: 96",
    ],
    [
      "coordinate_check: { parameterization: mup, width: [128, 130], heads: 4 }",
      "6:70: coordinate_check.heads: width 130 cannot be divided among 4 heads; expected widths that are multiples of it",
    ],
    [
      "coordinate_check: { parameterization: mup, density: [1, 0.5], sparsity: [0] }",
      "6:44: coordinate_check.density: sparsity and density are both given; expected one of them, since density is 1 − sparsity",
    ],
    [
      "coordinate_check: { parameterization: mup, density: [1, 0.001] }",
      "6:57: coordinate_check.density[1]: sparsity 0.999 leaves neurons",
    ],
    ["coordinate_check: { width: [64, 128] }", "6:1: coordinate_check: parameterization is missing"],
    [
      "coordinate_check: { widths: [64, 128] }",
      'coordinate_check.widths: unknown key "widths"; did you mean "width"?',
    ],
    [
      "",
      '1:1: "axes" is missing; expected a map of axes, or a list of such maps (or phases, or a coordinate_check alone)',
    ],
  ])("%s", (section, message) => {
    expect(() => read(`${HEAD}${section}\n`)).toThrow(message);
  });

  it("in a phase are told in the phase", () => {
    const text = `${HEAD}phases:
  - name: only
    coordinate_check: { width: [64, 100] }
    axes: { parameterization: mup, learning_rate: 0.01 }
`;
    expect(() => read(text)).toThrow("8:37: phases[0].coordinate_check.width[1]: width 100 is not divisible");
  });
});
