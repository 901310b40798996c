import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Command, Option } from "commander";
import { packageRoot, withDocPaths } from "../../schema/wire/package.ts";
import { inOneLine } from "../../schema/wire/printable.ts";
import { writeNewFile } from "../machine/new-path.ts";
import { SWEEP_TEMPLATE } from "../sweep/template.ts";
import { type CommonOptions, commandLine, common, print } from "./common.ts";

/** What is written: a sweep file, a training script beside it where one belongs to it, and how it is run. */
interface Start {
  file: string;
  text: string;
  script?: { file: string; text: string };
  /** Options of `musweep run`. */
  options?: readonly string[];
  /** What is to be done before that, for people. */
  first?: (path: string) => string;
}

const shipped = (...names: string[]): string =>
  readFileSync(join(packageRoot(), ...names), "utf8")
    // Editors would look for the schema where the file lay.
    .replace(/^# yaml-language-server.*\n#\n/, "");

const TEMPLATE = "template";

/** @param path where the file is written, if that is said: what is in it may name itself */
const STARTS: Record<string, (path?: string) => Start> = {
  [TEMPLATE]: () => ({ file: "sweep.yaml", text: SWEEP_TEMPLATE }),
  quickstart: () => ({ file: "quickstart.yaml", text: shipped("sweeps", "quickstart.yaml") }),
  "own-text": () => ({
    file: "sweep.yaml",
    text: SWEEP_TEMPLATE.replace("name: my-sweep", "name: my-text").replace(
      /data:\n(?: .*\n)+/,
      `data:
  file: my-text.txt # yours: .txt, .jsonl, .ndjson or .json, each also .gz or .zst; a path is relative to this file
  tokenizer: bytes # or gpt2
  validation_fraction: 0.05 # the text's end, which is never trained on
`,
    ),
    first: (path) => `Name your text in ${path} first, under data.`,
  }),
  "own-model": (path = "sweep.yaml") => {
    const options = ["--trainer", "mlp=python3 train.py"];
    const text = shipped("examples", "mlp", "sweep.yaml").replace(/musweep run .*/, () =>
      inOneLine(commandLine(["run", path, ...options])),
    );
    const script = { file: "train.py", text: shipped("examples", "mlp", "train.py") };
    const first = () => "train.py needs PyTorch in that python3: python3 -m pip install torch";
    return { file: path, text, script, options, first };
  },
  paper: () => ({ file: "lr-vs-sparsity.yaml", text: shipped("sweeps", "lr-vs-sparsity.yaml") }),
};

export function addInit(program: Command): void {
  common(
    program
      .command("init [file]")
      .description("write a commented sweep file to start from (default: sweep.yaml); never overwrites")
      .addOption(
        new Option(
          "--from <what>",
          "template: every section; quickstart; own-text; own-model, with a training script; paper: its main figure",
        )
          .choices(Object.keys(STARTS))
          .default(TEMPLATE),
      ),
    ["musweep init", "musweep init mine.yaml", "musweep init --from own-text"],
    "none",
  ).action((file: string | undefined, options: CommonOptions & { from: string }) => {
    const start = STARTS[options.from]!(file);
    const path = file ?? start.file;
    const from = options.from === TEMPLATE ? [] : ["--from", options.from];
    writeNewFile(
      path,
      withDocPaths(start.text),
      `Name another file: ${commandLine(["init", ...from, "FILE"])}.`,
    );
    if (start.script !== undefined) writeBeside(path, start.script);
    const script = start.script?.file ?? null;
    print(options, { file: path, script }, () =>
      [
        `Wrote ${path}${script === null ? "" : ` and ${script}`}.`,
        ...(start.first === undefined ? [] : [start.first(path)]),
        `Next: ${["plan", "run"].map((command) => commandLine([command, path, ...(start.options ?? [])])).join(", then ")}`,
      ].join("\n"),
    );
  });
}

/** Both, or none: the same command is to go when what was in its way has gone. */
function writeBeside(path: string, { file, text }: { file: string; text: string }): void {
  try {
    writeNewFile(file, text, "Move it away, or run this in another directory.");
  } catch (error) {
    rmSync(path);
    throw error;
  }
}
