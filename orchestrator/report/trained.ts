/** What was trained, in words: so that a report can be understood by who has not seen the sweep file. */
import { parse } from "yaml";
import { packageVersion } from "../../schema/wire/package.ts";
import { isScriptPlan, type Plan } from "../../schema/wire/plan.ts";
import type { Database } from "../database/open.ts";
import { firstPlan, hostsOf, varyingAxes } from "../database/phase-axes.ts";
import { readPhases, type StoredPhase } from "../database/phases.ts";
import { findSweep } from "../database/sweeps.ts";
import { plural, quantity } from "../terminal/format.ts";
import type { Answer } from "./answer.ts";

interface Fact {
  name: string;
  value: string;
}

/** A list for each phase that has begun, under its name; and what holds for all of them, first, under none. */
export interface Trained {
  phase: string | null;
  facts: Fact[];
}

export function readTrained(db: Database, { progress, engines }: Answer): Trained[] {
  const { id, sweep, submitted_at, last_result_at } = progress;
  const phases = readPhases(db, id);
  const hosts = hostsOf(db, id);
  const common = facts({
    data: dataText(findSweep(db, sweep)?.file),
    "trained by": engines.map(({ engine, runs }) => `${engine} (${plural(runs, "run")})`).join(", "),
    hosts:
      hosts.length > 8 ? `${hosts.slice(0, 8).join(", ")} and ${hosts.length - 8} more` : hosts.join(", "),
    submitted: date(submitted_at),
    "last result": last_result_at === null ? "" : date(last_result_at),
    version: `musweep ${packageVersion()}`,
  });
  const each = phases.flatMap((phase) => phaseFacts(db, phase, phases.length > 1));
  return [{ phase: null, facts: common }, ...each];
}

const facts = (values: Record<string, string>): Fact[] =>
  Object.entries(values).flatMap(([name, value]) => (value === "" ? [] : [{ name, value }]));

const date = (at: number): string => `${new Date(at).toISOString().slice(0, 16).replace("T", " ")} UTC`;

/** As the file says it: "corpus state-of-the-union, tokenizer bytes". */
function dataText(file: string | undefined): string {
  try {
    const { data } = parse(file ?? "") as { data?: Record<string, unknown> };
    return Object.entries(data ?? {})
      .filter(([, value]) => typeof value !== "object")
      .map(([name, value]) => `${name.replaceAll("_", " ")} ${value}`)
      .join(", ");
  } catch {
    // Imported results have no file of ours.
    return "";
  }
}

function phaseFacts(db: Database, { id, name, definition }: StoredPhase, isNamed: boolean): Trained[] {
  const plan = firstPlan(db, id);
  if (plan === undefined || definition.imported !== undefined) return [];
  const axes = varyingAxes(db, id);
  const varied = axes.map((axis) => `${axis.name.replaceAll("_", " ")} (${axis.values})`).join(", ");
  const own = isScriptPlan(plan)
    ? {
        trainer: `${plan.trainer.name}, revision ${plan.trainer.revision}`,
        model: `width ${plan.model.width}, ${plural(plan.model.layers, "layer")}; the script's own`,
        training: plan.steps === null ? "" : plural(plan.steps, "step"),
      }
    : modelFacts(plan, new Set(axes.map((axis) => axis.name)));
  return [{ phase: isNamed ? name : null, facts: facts({ ...own, varied }) }];
}

/** What varies is not given here: its values are in the tables. */
function modelFacts(plan: Plan, varied: ReadonlySet<string>): Record<string, string> {
  const { shape, schedule, optimizer, steps, batch_size, clip_norm, precision } = plan;
  const unless = (names: readonly string[], text: string): string[] =>
    names.some((name) => varied.has(name)) ? [] : [text];
  const lengths = ["steps", "tokens", "batch_size", "sequence_length"];
  const model = [
    ...unless(["layers"], plural(shape.layers, "layer")),
    ...unless(["width"], `width ${shape.d_model}`),
    ...unless(["width", "ffn_width"], `feed-forward width ${shape.d_ffn}`),
    ...unless(["d_head"], `heads of ${shape.d_head}`),
    ...unless(["sequence_length"], `sequences of ${shape.sequence_length}`),
    ...unless(["norm"], shape.norm),
    ...unless(["positions"], shape.positions === "alibi" ? "ALiBi" : "no positions"),
    ...unless(["tied_embeddings"], `${shape.tied_embeddings ? "tied" : "untied"} embeddings`),
    `vocabulary ${plan.data.vocab_size}`,
  ];
  const training = [
    ...unless(lengths, `${plural(steps, "step")} of ${plural(batch_size, "sequence")}`),
    ...unless(
      ["schedule", "warmup_steps", "warmup_fraction", "final_fraction", ...lengths],
      `warm-up over ${schedule.warmup_steps}, then ${schedule.decay}${schedule.decay === "constant" ? "" : ` to ${schedule.final_fraction} of the peak`}`,
    ),
    ...unless(["beta1", "beta2"], `AdamW β ${optimizer.beta1} and ${optimizer.beta2}`),
    ...unless(["clip_norm"], clip_norm === null ? "no clipping" : `gradients clipped to ${clip_norm}`),
    precision,
  ];
  return {
    "tokens per run": unless(lengths, quantity(steps * batch_size * shape.sequence_length)).join(""),
    model: model.join(", "),
    training: training.join(", "),
  };
}
