/** Runs that are added along every kind of axis beside the learning rate, trained by a trainer of one's own. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { sql, succeed } from "../../support/musweep.ts";
import { scratch } from "../../support/scratch.ts";

const VALLEY = fileURLToPath(new URL("../../fixtures/trainers/valley.mjs", import.meta.url));

/** The valley's optimum is 2^-2.2 / width, an octave lower for each unit of `shift`, whatever else a run has. */
const HEAD = `trainer: mine
model: { width: 32, layers: 1 }
training: { steps: 2, batch_size: 8, optimizer: { decay_mode: independent } }
settings: { shift: 0 }
base: { width: 32 }
`;
const OPTIMUM = -7.2;
const AXES = [
  "settings: { shift: [0, 2] }",
  "settings: { dropout: [0, 0.5] }",
  "batch_size: [8, 16]",
  "steps: [2, 4]",
  "sequence_length: [16, 32]",
  "weight_decay: [0, 0.1]",
];
const axes = (rates: string, which: readonly string[]): string =>
  `axes:\n${which.map((axis) => `  - { parameterization: mup, ${axis}, learning_rate: ${rates}, seed: [1, 2] }\n`).join("")}`;

interface Optimum {
  flag: string;
  log2_lr: number;
  curve: string;
}

it("extends at the edge and refines between, on every curve along any axis, and suggests what goes on", async () => {
  const place = scratch();
  const write = (name: string, text: string): void =>
    writeFileSync(join(place.directory, `${name}.yaml`), `name: ${name}\n${HEAD}${text}`);
  const run = (name: string) =>
    succeed(place, "run", `${name}.yaml`, "--trainer", `mine=${process.execPath} ${VALLEY}`, "--slots", "2");
  const optima = (name: string): Optimum[] =>
    sql(place, `SELECT flag, log2_lr, curve FROM optima WHERE sweep = '${name}'`);
  const reasons = (name: string): string[] =>
    sql<{ reason: string }>(
      place,
      `SELECT DISTINCT reason FROM run_results WHERE sweep = '${name}' AND reason <> 'grid' ORDER BY reason`,
    ).map(({ reason }) => reason);

  write("edge", `extend: { max: 6 }\n${axes("{ log2: { from: -5, to: -3 } }", AXES)}`);
  await run("edge");
  // The file's own values make one curve of five grids; it has neither dropout nor a sequence length.
  expect(optima("edge")).toHaveLength(9);
  for (const { flag, log2_lr, curve } of optima("edge")) {
    const { "settings.shift": shift } = JSON.parse(curve) as { "settings.shift": number };
    expect(flag, curve).toBe("bracketed");
    expect(Math.abs(log2_lr - (OPTIMUM - shift)), curve).toBeLessThan(0.15);
  }
  expect(reasons("edge")).toContain("extend: optimum at the low edge of 2^-5 to 2^-3");

  // To a twentieth of an octave nothing is decided between rates that are two apart.
  const rough = `criterion: octaves\nmargin: { octaves: 0.05 }\n${axes("{ log2: { from: -11, to: -3, step: 2 } }", AXES)}`;
  write("gap", rough);
  await run("gap");
  const { suggestions } = JSON.parse((await succeed(place, "suggest", "gap", "--json")).stdout) as {
    suggestions: { coordinates: Record<string, number>; values: number[]; reason: string }[];
  };
  // All but the curve that has surely moved.
  expect(suggestions).toHaveLength(8);
  for (const { coordinates, values } of suggestions) {
    expect(coordinates["settings.shift"]).toBe(0);
    expect(values).toEqual([2 ** -8]);
  }
  write("further", (await succeed(place, "suggest", "gap", "--yaml")).stdout);
  await succeed(place, "validate", "further.yaml");

  write("gap", `refine: { budget: 16 }\n${rough}`);
  await run("gap");
  expect(reasons("gap")).toEqual([
    "refine: between 2^-9 and 2^-7, the verdict needs points near the optimum",
  ]);
  expect(
    sql(place, "SELECT DISTINCT curve FROM run_results WHERE sweep = 'gap' AND reason <> 'grid'"),
  ).toHaveLength(8);
}, 300_000);
