import { existsSync, statSync } from "node:fs";
import type { Command } from "commander";
import { escapePath, isDynamicPattern } from "tinyglobby";
import { dataSchema } from "../../schema/sweep/sweep.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { prepareData } from "../data/prepare.ts";
import { requireSource } from "../data/source-identity.ts";
import { isJsonLines, resolvePaths } from "../data/spec.ts";
import { openState } from "../machine/open-state.ts";
import { stateDirectory } from "../machine/state-directory.ts";
import { explainIssues } from "../sweep/explain-issues.ts";
import { amount, quantity } from "../terminal/format.ts";
import { progressLine } from "../terminal/progress.ts";
import { type CommonOptions, common, print, sayGone } from "./common.ts";

interface Options extends CommonOptions {
  tokenizer?: string;
  field?: string;
  vocabSize?: string;
  dtype?: string;
  headerBytes?: string;
  validationTokens?: string;
  validationFraction?: string;
  limitTokens?: string;
  maxExpansion?: string;
}

export function addData(program: Command): void {
  const data = program.command("data").description("text and token files to train on");
  common(
    data
      .command("prepare <source...>")
      .description(
        "tokenize a text once into the cache: a shipped corpus (state-of-the-union, moby-dick), .txt, .jsonl, .ndjson or .json (an object a line), each also .gz or .zst, a folder or a quoted pattern of such files, or nanoGPT-style .bin",
      )
      .option("--tokenizer <name>", "bytes or gpt2 (default: bytes)")
      .option("--field <name>", ".jsonl: the field that holds the text")
      .option(
        "--max-expansion <x>",
        ".gz, .zst: text at most so many times as long as its file (default: 200)",
      )
      .option("--vocab-size <n>", ".bin: the vocabulary size")
      .option("--dtype <type>", ".bin: uint16 or uint32 (default: uint16)")
      .option("--header-bytes <n>", ".bin: bytes before the first id; llm.c's files have 1024 (default: 0)")
      .option("--validation-tokens <file>", ".bin: held-out tokens")
      .option("--validation-fraction <x>", "share of the text that is held out")
      .option("--limit-tokens <n>", "only so many tokens, of the beginning of the source"),
    [
      "musweep data prepare state-of-the-union",
      "musweep data prepare corpus.jsonl.zst --field text --tokenizer gpt2",
      "musweep data prepare 'texts/**/*.txt.zst' --tokenizer gpt2 --limit-tokens 30000000",
      "musweep data prepare train.bin --vocab-size 50257 --validation-tokens val.bin",
      "musweep data prepare tinyshakespeare_train.bin --vocab-size 50257 --header-bytes 1024",
    ],
  ).action(async (sources: string[], options: Options) => {
    const source = sources.join(", ");
    const described = describe(sources, options);
    const spec = dataSchema.safeParse(described, { reportInput: true });
    if (!spec.success) {
      const [mistake] = explainIssues(dataSchema, described, spec.error.issues);
      throw badOption(`${optionOf(mistake!.path.at(-1)) ?? source}: ${mistake!.message}`);
    }
    // What was prepared in it before is known without its file; where nothing was, nothing is made for a file that is not there.
    if (!existsSync(stateDirectory(options).data))
      await requireSource(resolvePaths(spec.data, process.cwd()));
    const line = progressLine();
    const prepared = await prepareData(spec.data, {
      cacheDirectory: openState(options).data,
      onGone: sayGone,
      verify: true,
      onProgress: ({ read_bytes, total_bytes }) =>
        line.update(
          total_bytes > 0 ? read_bytes / total_bytes : 0,
          `tokenizing ${source}: ${amount(read_bytes, "B")}`,
        ),
    }).finally(() => line.end());
    // What was prepared earlier under another name is this source too.
    const meta = { ...prepared, source };
    print(
      options,
      meta,
      () =>
        `${meta.source}: ${quantity(meta.train_tokens)} training and ${quantity(meta.validation_tokens)} validation tokens (${meta.tokenizer}, vocabulary ${meta.vocab_size}), data set ${meta.hash}`,
    );
  });
}

const badOption = (message: string): MusweepError =>
  new MusweepError("bad-option", message, {
    kind: "usage",
    remedy: "`musweep data prepare --help` shows the options.",
  });

/** Every option as the data section's key, and the sources that it says something about. */
const OPTIONS: {
  option: keyof Options;
  key: string;
  isNumber?: true;
  of: readonly Kind[];
}[] = [
  { option: "tokenizer", key: "tokenizer", of: ["corpus", "text", "lines", "files"] },
  { option: "field", key: "field", of: ["lines", "files"] },
  { option: "maxExpansion", key: "max_expansion", isNumber: true, of: ["text", "lines", "files"] },
  { option: "vocabSize", key: "vocab_size", isNumber: true, of: ["tokens"] },
  { option: "dtype", key: "dtype", of: ["tokens"] },
  { option: "headerBytes", key: "header_bytes", isNumber: true, of: ["tokens"] },
  { option: "validationTokens", key: "validation_tokens", of: ["tokens"] },
  {
    option: "validationFraction",
    key: "validation_fraction",
    isNumber: true,
    of: ["corpus", "text", "lines", "files", "tokens"],
  },
  {
    option: "limitTokens",
    key: "limit_tokens",
    isNumber: true,
    of: ["corpus", "text", "lines", "files", "tokens"],
  },
];

const KINDS = {
  corpus: { key: "corpus", name: "a corpus that comes with musweep" },
  text: { key: "file", name: "a text" },
  lines: { key: "file", name: "a .jsonl file" },
  files: { key: "files", name: "a folder or pattern of files" },
  tokens: { key: "tokens", name: "a token file" },
} as const;
type Kind = keyof typeof KINDS;

function kindOf(source: string): Kind {
  if (isDynamicPattern(source) || statSync(source, { throwIfNoEntry: false })?.isDirectory()) return "files";
  if (source.endsWith(".bin")) return "tokens";
  if (isJsonLines(source)) return "lines";
  return /[./]/.test(source) ? "text" : "corpus";
}

const flagOf = (key: string): string => `--${key.replaceAll("_", "-")}`;
const optionOf = (key: string | number | undefined): string | undefined =>
  OPTIONS.some((row) => row.key === key) ? flagOf(String(key)) : undefined;

/** The data section of a sweep file that the arguments describe; the schema judges it. */
function describe(sources: readonly string[], options: Options): Record<string, unknown> {
  // Several: a shell has made files of a pattern.
  const isOne = sources.length === 1;
  const source = isOne ? sources[0]! : sources.join(", ");
  const kind = isOne ? kindOf(source) : "files";
  const given = OPTIONS.filter(({ option }) => options[option] !== undefined);
  const strange = given.find(({ of }) => !of.includes(kind));
  if (strange !== undefined)
    throw badOption(`${flagOf(strange.key)} says nothing about ${KINDS[kind].name}, which ${source} is`);
  return {
    [KINDS[kind].key]: isOne ? source : sources.map(escapePath),
    ...Object.fromEntries(
      given.map(({ option, key, isNumber }) => {
        const text = String(options[option]);
        const value = text.trim() === "" ? Number.NaN : Number(text);
        return [key, isNumber && !Number.isNaN(value) ? value : text];
      }),
    ),
  };
}
