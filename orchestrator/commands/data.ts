import type { Command } from "commander";
import { MusweepError } from "../../schema/errors.ts";
import { dataSchema } from "../../schema/sweep.ts";
import { prepareData } from "../data/prepare.ts";
import { stateDirectory } from "../state.ts";
import { quantity } from "../terminal/format.ts";
import { progressLine } from "../terminal/progress.ts";
import { type CommonOptions, common, print } from "./common.ts";

interface Options extends CommonOptions {
  tokenizer?: string;
  field?: string;
  vocabSize?: string;
  validationTokens?: string;
  validationFraction?: string;
}

export function addData(program: Command): void {
  const data = program.command("data").description("text and token files to train on");
  common(
    data
      .command("prepare <source>")
      .description(
        "tokenize a text once into the cache: a shipped corpus (state-of-the-union, moby-dick), .txt, .jsonl, each also .gz or .zst, or nanoGPT-style .bin",
      )
      .option("--tokenizer <name>", "bytes or gpt2 (default: bytes)")
      .option("--field <name>", ".jsonl: the field that holds the text")
      .option("--vocab-size <n>", ".bin: the vocabulary size")
      .option("--validation-tokens <file>", ".bin: held-out tokens")
      .option("--validation-fraction <x>", "share of the text that is held out"),
    [
      "musweep data prepare state-of-the-union",
      "musweep data prepare corpus.jsonl.zst --field text --tokenizer gpt2",
      "musweep data prepare train.bin --vocab-size 50257 --validation-tokens val.bin",
    ],
  ).action(async (source: string, options: Options) => {
    const spec = dataSchema.safeParse(describe(source, options), { reportInput: true });
    if (!spec.success) {
      const issue = spec.error.issues[0]!;
      throw new MusweepError("bad-option", `${issue.path.join(".") || source}: ${issue.message}`, {
        kind: "usage",
        remedy: "`musweep data prepare --help` shows the options.",
      });
    }
    const line = progressLine();
    const meta = await prepareData(spec.data, {
      cacheDirectory: stateDirectory(options).data,
      onProgress: ({ read_bytes, total_bytes }) =>
        line.update(
          total_bytes > 0 ? read_bytes / total_bytes : 0,
          `tokenizing ${source}: ${quantity(read_bytes)}B`,
        ),
    }).finally(() => line.end());
    print(
      options,
      meta,
      () =>
        `${meta.source}: ${quantity(meta.train_tokens)} training and ${quantity(meta.validation_tokens)} validation tokens (${meta.tokenizer}, vocabulary ${meta.vocab_size}), data set ${meta.hash}`,
    );
  });
}

/** The data section of a sweep file that the arguments describe; the schema judges it. */
function describe(source: string, options: Options): Record<string, unknown> {
  const number = (text: string | undefined) => (text === undefined ? {} : Number(text));
  const shared =
    options.validationFraction === undefined
      ? {}
      : { validation_fraction: number(options.validationFraction) };
  if (source.endsWith(".bin")) {
    return {
      tokens: source,
      ...(options.vocabSize === undefined ? {} : { vocab_size: number(options.vocabSize) }),
      ...(options.validationTokens === undefined ? {} : { validation_tokens: options.validationTokens }),
      ...shared,
    };
  }
  const tokenizer = options.tokenizer === undefined ? {} : { tokenizer: options.tokenizer };
  if (/[./]/.test(source)) {
    return {
      file: source,
      ...(options.field === undefined ? {} : { field: options.field }),
      ...tokenizer,
      ...shared,
    };
  }
  return { corpus: source, ...tokenizer, ...shared };
}
