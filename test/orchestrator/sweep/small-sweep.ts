/** Sweep files for tests. */
import { parseSweep } from "../../../orchestrator/sweep/parse-sweep.ts";
import { SweepFileError } from "../../../orchestrator/sweep/problems.ts";

const SECTIONS = {
  name: "name: small",
  data: "data: {corpus: moby-dick}",
  model: "model: {width: 64, layers: 2, d_head: 16, sequence_length: 32}",
  training: "training: {steps: 100, batch_size: 8}",
  base: "base: {width: 256, learning_rate: 0.01}",
  axes: "axes: {parameterization: [sp, supar]}",
};

/** A valid sweep of two runs, with sections replaced where a test says so. */
export const sweepText = (sections: Partial<Record<keyof typeof SECTIONS, string>> = {}): string =>
  `${Object.values({ ...SECTIONS, ...sections }).join("\n")}\n`;

export const smallSweep = (sections: Parameters<typeof sweepText>[0] = {}) =>
  parseSweep(sweepText(sections), "small.yaml");

export function errorOf(text: string, file = "small.yaml"): SweepFileError {
  try {
    parseSweep(text, file);
  } catch (error) {
    if (error instanceof SweepFileError) return error;
    throw error;
  }
  throw new Error("the file was accepted");
}

/** A text in which § stands before every place where a problem is expected: the text without the marks, and the places. */
export function marked(text: string): { text: string; places: { line: number; column: number }[] } {
  const places: { line: number; column: number }[] = [];
  let [line, column, plain] = [1, 1, ""];
  for (const char of text) {
    if (char === "§") {
      places.push({ line, column });
      continue;
    }
    plain += char;
    if (char === "\n") [line, column] = [line + 1, 1];
    else column += 1;
  }
  return { text: plain, places };
}
