/** What runs need, who meets it, and what people are told. */
import { describe, expect, it } from "vitest";
import { describeNeed, meets, needOfRun, needSchema, workerCommandFor } from "../../../schema/wire/need.ts";

const run = (name: string, precision: "float32" | "bfloat16") => ({
  trainer: { name, revision: "1" },
  precision,
});
const embedded = { name: "musweep", engine: "musweep-cpu" } as const;
const torch = { name: "musweep", engine: "musweep-torch" } as const;
const mine = { name: "mine", engine: null };

describe("a need", () => {
  it.each([
    ["any worker", run("musweep", "float32"), {}, "musweep", "musweep worker"],
    [
      "a GPU",
      run("musweep", "float32"),
      { device: "cuda" },
      "musweep@cuda",
      "musweep worker --trainer torch",
    ],
    ["bfloat16", run("musweep", "bfloat16"), {}, "musweep-torch", "musweep worker --trainer torch"],
    [
      "bfloat16 on the CPU",
      run("musweep", "bfloat16"),
      { device: "cpu" },
      "musweep-torch@cpu",
      "musweep worker --trainer torch --devices cpu",
    ],
    ["an engine", run("musweep", "float32"), { engine: "musweep-cpu" }, "musweep-cpu", "musweep worker"],
    ["somebody's own", run("mine", "bfloat16"), {}, "mine", 'musweep worker --trainer mine="COMMAND"'],
    [
      "somebody's own on a GPU",
      run("mine", "float32"),
      { device: "cuda" },
      "mine@cuda",
      'musweep worker --trainer mine="COMMAND" --devices all',
    ],
  ] as const)("of %s", (_what, plan, placement, need, command) => {
    expect(needOfRun(plan, placement)).toBe(need);
    expect(needSchema.parse(need)).toBe(need);
    expect(workerCommandFor(need)).toBe(command);
  });

  it.each([
    [embedded, "cpu", ["musweep", "musweep@cpu", "musweep-cpu", "musweep-cpu@cpu"]],
    [torch, "cpu", ["musweep", "musweep@cpu", "musweep-torch", "musweep-torch@cpu"]],
    [torch, "cuda", ["musweep", "musweep@cuda", "musweep-torch", "musweep-torch@cuda"]],
    [mine, "cuda", ["mine", "mine@cuda"]],
  ] as const)("is met by %j on %s where it is one of %j", (offer, device, needs) => {
    const all = ["musweep", "musweep-cpu", "musweep-torch", "mine"].flatMap((who) => [
      who,
      `${who}@cpu`,
      `${who}@cuda`,
    ]);
    expect(all.filter((need) => meets(offer, device, need))).toEqual([...needs]);
  });

  it.each(["", "@cuda", "Musweep", "musweep@tpu", "a b", "musweep@"])("is not %j", (text) => {
    expect(needSchema.safeParse(text).success).toBe(false);
  });

  it("is told in words", () => {
    expect(
      ["musweep", "musweep@cuda", "musweep-torch@cpu", "musweep-cpu", "mine@cuda"].map(describeNeed),
    ).toEqual([
      "a worker",
      "a cuda worker",
      "a cpu worker with PyTorch",
      "a worker with the embedded engine",
      "a cuda worker with the trainer mine",
    ]);
  });
});
