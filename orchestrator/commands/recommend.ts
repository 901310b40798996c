import { type Command, Option } from "commander";
import { parameterizationNamed } from "../../schema/sweep/other-names.ts";
import { PARAMETERIZATIONS, type Parameterization } from "../../schema/sweep/rules.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { recommend } from "../report/recommend.ts";
import { pytorchSnippet, recommendationText } from "../report/recommend-text.ts";
import { type CommonOptions, common, parseCount, print, withDatabase } from "./common.ts";

interface Options extends CommonOptions {
  width?: number;
  sparsity?: number;
  layers?: number;
  dHead?: number;
  ffnWidth?: number;
  vocab?: number;
  steps?: number;
  batch?: number;
  parameterization?: Parameterization;
}

export function addRecommend(program: Command): void {
  common(
    program
      .command("recommend <sweep>")
      .description(
        "for a model you are about to train: base learning rate, effective init and rate per tensor group",
      )
      .option("--width <n>", "its d_model: needed", parseCount("--width"))
      .option(
        "--sparsity <x>",
        "its sparsity, 0 for dense: needed, unless the sweep has only one",
        parseSparsity,
      )
      .option("--layers <n>", "its depth, if not the sweep's", parseCount("--layers"))
      .option("--d-head <n>", "width of one attention head, if not the sweep's", parseCount("--d-head"))
      .option("--ffn-width <n>", "its feed-forward width, if not the sweep's", parseCount("--ffn-width"))
      .option("--vocab <n>", "its vocabulary, if not the sweep's", parseCount("--vocab"))
      .option("--steps <n>", "its training steps, if not the sweep's", parseCount("--steps"))
      .option("--batch <n>", "its sequences per step, if not the sweep's", parseCount("--batch"))
      .addOption(
        new Option(
          "--parameterization <name>",
          "default: the one whose rules carry the rate to this model; of several, the one of lowest loss",
        )
          .choices(PARAMETERIZATIONS)
          .argParser(parseParameterization),
      ),
    [
      "musweep recommend quickstart --width 4096 --sparsity 0.9",
      "musweep recommend quickstart --width 1024 --sparsity 0.5 --layers 24 --d-head 64 --vocab 50257",
      "musweep recommend quickstart --width 512 --sparsity 0 --parameterization mup --json",
    ],
  ).action(async (sweep: string, options: Options) => {
    await withDatabase(options, { readonly: true }, (db) => {
      const { width, sparsity, layers, steps, parameterization } = options;
      const recommendation = recommend(db, sweep, {
        width,
        sparsity,
        layers,
        d_head: options.dHead,
        ffn_width: options.ffnWidth,
        vocab_size: options.vocab,
        steps,
        batch_size: options.batch,
        parameterization,
      });
      print(options, { ...recommendation, pytorch: pytorchSnippet(recommendation) }, () =>
        recommendationText(recommendation),
      );
    });
  });
}

/** By its title, as tables print it, too. */
function parseParameterization(text: string): Parameterization {
  const named = parameterizationNamed(text);
  if (named !== undefined) return named;
  throw new MusweepError(
    "bad-option",
    `--parameterization wants one of ${PARAMETERIZATIONS.join(", ")}, not "${text}"`,
    { kind: "usage" },
  );
}

function parseSparsity(text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value >= 0 && value < 1) return value;
  throw new MusweepError("bad-option", `--sparsity wants a number from 0 to below 1, not "${text}"`, {
    kind: "usage",
  });
}
