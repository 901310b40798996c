/** The sweep files that ship: all valid, and each grid is what its header says. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { expandPhase } from "../../../orchestrator/sweep/expand-sweep.ts";
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";
import { flopsPerToken, parameterCount, tokenCount } from "../../../schema/wire/cost.ts";
import { modelCells } from "../../support/model-cells.ts";

const directory = new URL("../../../sweeps/", import.meta.url);
const data = { hash: "0123456789abcdef", vocab_size: 256 };
const read = (name: string) =>
  parseSweep(readFileSync(new URL(`${name}.yaml`, directory), "utf8"), `sweeps/${name}.yaml`);
const cellsOf = (name: string, identity = data) =>
  read(name).phases.flatMap((phase) => modelCells(expandPhase(phase, identity).cells()));

describe("sweeps/", () => {
  it.each(readdirSync(directory))("%s is valid and named after its file", (file) => {
    const name = file.replace(/\.yaml$/, "");
    expect(read(name).name).toBe(name);
    expect(cellsOf(name).length).toBeGreaterThan(0);
  });

  // (2·5 + 2·6 + 3·6 + 2·5 + 2·5 + 3·6 + 7·7 + 2·1 + 3·2 + 3·1) points of three seeds
  it("lr-vs-sparsity has the paper's seven sparsities and three seeds", () => {
    const cells = cellsOf("lr-vs-sparsity");
    expect(cells).toHaveLength(414);
    expect([...new Set(cells.map((c) => c.coordinates.sparsity))].sort()).toEqual(
      [0, 1, 2, 3, 4, 5, 6].map((n) => 1 - 2 ** -n),
    );
  });

  it("iso-parameter keeps width² · density", () => {
    const products = cellsOf("iso-parameter").map(
      ({ coordinates: c }) => (c.width as number) ** 2 * (1 - (c.sparsity as number)),
    );
    expect(new Set(products)).toEqual(new Set([96 ** 2]));
  });

  it("iso-wpn keeps width · density, and with it SμPar's rates and deviations of hidden matrices", () => {
    const supar = cellsOf("iso-wpn").filter((c) => c.coordinates.parameterization === "supar");
    const query = supar
      .filter((c) => c.coordinates.learning_rate === 2 ** -8 && c.coordinates.seed === 1)
      .map(({ plan }) => plan.groups.find((g) => g.name === "attention_query")!);
    expect(query).toHaveLength(3);
    for (const group of query) {
      expect(group.fan_in * group.density).toBe(64);
      // m_d · m_ρ = 64/256
      expect(group.learning_rate).toBeCloseTo(2 ** -6, 12);
      expect(group.init_std).toBeCloseTo(2 * 0.08665602, 12);
    }
  });

  // 50,257 · 256 + 24 · (4·256² + 3·256·1,024 + 2·256) + 256
  it("proxy-40m has the parameters that its header counts", () => {
    const [cell] = cellsOf("proxy-40m", { ...data, vocab_size: 50_257 });
    expect(parameterCount(cell!.plan)).toBe(38_044_160);
  });

  // Tokens: steps · sequences · 2,048. FLOPs of a token: 6 · weights of products + 12 · layers · 2,048 · width.
  it.each([
    [
      "proxy",
      38_044_160,
      1526 * 256 * 2048,
      6 * (24 * (4 * 256 ** 2 + 3 * 256 * 1024) + 50_257 * 256),
      24 * 256,
    ],
    [
      "target",
      606_265_344,
      11_752 * 504 * 2048,
      6 * (10 * (4 * 2048 ** 2 + 3 * 2048 * 5461) + 50_257 * 2048),
      10 * 2048,
    ],
  ])(
    "target-610m's %s has the parameters, tokens and FLOPs that its header counts",
    (name, parameters, tokens, products, units) => {
      const phase = read("target-610m").phases.find((p) => p.name === name)!;
      // At any learning rate: the target's is the proxy's.
      const axes = { parameterization: ["supar" as const], learning_rate: [2 ** -6] };
      const [cell] = modelCells(expandPhase({ ...phase, axes }, { ...data, vocab_size: 50_257 }).cells());
      expect(parameterCount(cell!.plan)).toBe(parameters);
      expect(tokenCount(cell!.plan)).toBe(tokens);
      expect(flopsPerToken(cell!.plan)).toBe(products + 12 * 2048 * units);
    },
  );
});
