/** The published JSON Schema is the one that the program itself reads sweep files with. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { HYPERPARAMETERS } from "../../../schema/sweep/hyperparameters.ts";
import { sweepJsonSchema } from "../../../schema/sweep/json-schema.ts";
import { PARAMETERIZATIONS } from "../../../schema/sweep/rules.ts";
import { sweepSchema } from "../../../schema/sweep/sweep.ts";

const published = JSON.parse(
  readFileSync(new URL("../../../schema/sweep/sweep.schema.json", import.meta.url), "utf8"),
) as { definitions: { grid: { properties: object } } };

describe("schema/sweep/sweep.schema.json", () => {
  it("is up to date; npm run schema writes it", () => {
    expect(published).toEqual(JSON.parse(JSON.stringify(sweepJsonSchema())));
  });

  it("is draft-07 with every section and every axis", () => {
    expect(published).toMatchObject({
      $schema: "http://json-schema.org/draft-07/schema#",
      required: ["name"],
      anyOf: [{ required: ["data"] }, { required: ["trainer"] }],
    });
    const { grid } = published.definitions;
    expect(Object.keys(grid.properties).toSorted()).toEqual(
      [...Object.keys(HYPERPARAMETERS), "together", "random", "settings"].toSorted(),
    );
    for (const name of PARAMETERIZATIONS) expect(JSON.stringify(grid)).toContain(`"${name}"`);
  });

  it("describes every field, for editors to show", () => {
    const undescribed: string[] = [];
    const visit = (node: unknown, path: string): void => {
      if (node === null || typeof node !== "object") return;
      if ("properties" in node)
        for (const [name, field] of Object.entries(node.properties as Record<string, object>)) {
          const at = `${path}.${name}`;
          const shown = "description" in field || "$ref" in field;
          // The bounds of a range or distribution are explained by the description around them.
          if (!shown && !["from", "to", "step", "linear", "log_uniform", "uniform", "choice"].includes(name))
            undescribed.push(at);
        }
      for (const [key, child] of Object.entries(node)) visit(child, `${path}.${key}`);
    };
    visit(published, "");
    expect(undescribed).toEqual([]);
  });
});

describe("defaults", () => {
  it("are the paper's where the file says nothing", () => {
    const sweep = sweepSchema.parse({ name: "x", data: { corpus: "moby-dick" }, axes: {} });
    expect(sweep).toEqual({
      name: "x",
      trainer: "musweep",
      priority: 1,
      revision: "1",
      data: { corpus: "moby-dick", tokenizer: "bytes", validation_fraction: 0.05 },
      model: {
        sparsity: 0,
        d_head: 64,
        ffn: { ratio: 8 / 3, multiple_of: 1 },
        norm: "rmsnorm",
        norm_eps: 1e-5,
        positions: "alibi",
        tied_embeddings: true,
        mask: "exact",
      },
      training: {
        micro_batch_size: null,
        precision: "float32",
        seed: 1,
        schedule: "linear",
        final_fraction: 0.1,
        optimizer: { name: "adamw", beta1: 0.9, beta2: 0.95, eps: 1e-8, weight_decay: 0, decay_mode: "none" },
        clip_norm: 1,
        evaluation: { every_steps: null, sequences: 256 },
        divergence: { patience_steps: 100 },
      },
      base: {
        density: 1,
        alpha_input: 9.1705,
        alpha_output: 1.0951835,
        scale_residual_outputs: true,
        overrides: {},
      },
      axes: {},
      keep_weights: false,
    });
  });
});
