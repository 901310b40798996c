/** What a report says of what was trained: by whom has only the report. */
import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { readAnswer } from "../../../orchestrator/report/answer.ts";
import { readTrained } from "../../../orchestrator/report/trained.ts";
import { freshDatabase, submitText } from "../../support/database.ts";

function factsOf(text: string): Record<string, string> {
  const db = freshDatabase();
  submitText(db, text);
  const lists = readTrained(db, readAnswer(db, "told"));
  return Object.fromEntries(lists.flatMap(({ facts }) => facts.map(({ name, value }) => [name, value])));
}

const FILES = `name: told
data: { files: [texts/*.txt, more], tokenizer: bytes }
model: { width: 64, layers: 1, d_head: 16, sequence_length: 32 }
training: { tokens: 102400, batch_size: 4, warmup_fraction: 0.1 }
base: { width: 64, overrides: { sp: { init_std: 0.03 }, mup: { alpha_output: 2 } } }
axes:
  parameterization: [sp, mup]
  sparsity: [0, 0.75]
  batch_size: [2, 4, 8]
  learning_rate: { log2: { from: -12, to: -2 } }
`;

it("names the data and the file, what varied with its values, and what follows from that as a range", () => {
  const facts = factsOf(FILES);
  expect(facts.data).toBe("files texts/*.txt and more, tokenizer bytes");
  const sum = createHash("sha256").update(FILES).digest("hex");
  expect(facts["sweep file"]).toBe(`test.yaml, SHA-256 ${sum.slice(0, 16)}…`);
  expect(facts.varied!.split("; ").sort()).toEqual([
    "batch size 2, 4, 8",
    "learning rate 2^-12 to 2^-2 (11 values)",
    "parameterization SP, μP",
    "sparsity 0, 0.75",
  ]);
  // 102,400 tokens are 3,200 sequences of 32: 1,600 steps of 2 down to 400 of 8, a tenth of them warm-up.
  expect(facts["tokens per run"]).toBe("102 k");
  expect(facts.training).toMatch(
    /^400 to 1600 steps, warm-up over 40 to 160, linear to 0\.1 of the peak after it, /,
  );
  expect(facts.base).toBe(
    "width 64, init std 0.03 (SP), init std 0.08666 (μP), alpha input 9.171, alpha output 1.095, μP: alpha output 2",
  );
});

it("of a plain grid says one number each; and whose version it gives", () => {
  const facts = factsOf(
    FILES.replace("  batch_size: [2, 4, 8]\n", "")
      .replace("[sp, mup]", "[mup]")
      .replace("tokens: 102400", "steps: 10"),
  );
  expect(facts.training).toMatch(/^10 steps of 4 sequences, warm-up over 1, /);
  expect(facts.base).toContain("init std 0.08666, ");
  expect(Object.keys(facts)).toContain("report by");
  expect(Object.keys(facts)).not.toContain("version");
});

it("of a script's own model says what the script was told", () => {
  const facts = factsOf(`name: told
trainer: mine
data_version: digits, May
model: { width: 32, layers: 2 }
training: { steps: 40, warmup_steps: 4, schedule: cosine, batch_size: 16 }
settings: { dropout: 0.1, activation: relu }
base: { width: 32, init_std: 0.1, alpha_input: 1, alpha_output: 1 }
axes: { parameterization: [mup], settings: { dropout: [0, 0.1] }, learning_rate: [0.1, 0.2] }
`);
  expect(facts.data).toBe("digits, May");
  expect(facts.training).toMatch(/^40 steps, warm-up over 4, cosine to /);
  expect(facts.settings).toMatch(/activation relu/);
  expect(facts.settings).not.toMatch(/dropout/);
  expect(facts.varied).toContain("settings.dropout 0, 0.1");
});
