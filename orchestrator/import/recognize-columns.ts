/**
 * Which column of a table is what: by the names that people and tools give (Weights & Biases, Optuna, MLflow exports as they come),
 * or as the user says. What is not recognized is left out, and told.
 */
import { HYPERPARAMETER_NAMES, type HyperparameterName } from "../../schema/sweep/hyperparameters.ts";
import { OTHER_NAMES } from "../../schema/sweep/other-names.ts";
import { MusweepError } from "../../schema/wire/errors.ts";
import { shellWord } from "../../schema/wire/shell-line.ts";
import { didYouMean } from "../sweep/problems.ts";

/** What a column can be: the loss, how a run ended, a hyperparameter, or a setting of the user's own. */
export type Meaning = "loss" | "state" | HyperparameterName | `settings.${string}`;

export interface Recognized {
  /** By meaning, the column's name. */
  columns: Map<Meaning, string>;
  ignored: string[];
  /** Of those that are ignored: columns that could have been the loss, where nobody has said which is. */
  other_losses: string[];
}

/**
 * Other names, best first, beside a hyperparameter's own; compared without case, separators and prefixes. Of the loss these are
 * all: where a validation loss is, one that is called loss is of training.
 */
const ALIASES: Partial<Record<Meaning, readonly string[]>> = {
  loss: [
    "validation_loss",
    "val_loss",
    "valid_loss",
    "eval_loss",
    "final_val_loss",
    "best_val_loss",
    "test_loss",
    "value",
    "loss",
    "train_loss",
    "final_loss",
  ],
  state: ["state", "status", "outcome"],
  ...OTHER_NAMES,
};

/** What tools put before a name: params_lr, params.lr, config/lr, metrics.val_loss, summary_metrics.val_loss, val/loss. */
const PREFIX =
  /^(params?|config|hparams|hyperparameters|metrics|summary_metrics|summary|user_attrs|args)[._/]/i;

/** A configuration of W&B as its API gives it: {"lr": {"value": 0.1, "desc": null}}. */
const VALUE = /^(config[._/].+)[._/]value$/i;

const plain = (name: string): string =>
  name
    .replace(VALUE, "$1")
    .replace(PREFIX, "")
    .replaceAll(/([a-z0-9])([A-Z])/g, "$1_$2")
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "_")
    .replaceAll(/^_|_$/g, "");

/** "val/loss", "loss/val" are val_loss. */
const spellings = (name: string): string[] => {
  const one = plain(name);
  const parts = one.split("_");
  return [one, parts.toReversed().join("_")];
};

const NAMED = 20;

/** Names in a sentence; of many the first. */
export const listed = (names: readonly string[]): string =>
  `${names.slice(0, NAMED).join(", ")}${names.length > NAMED ? ` and ${names.length - NAMED} more` : ""}`;

const MEANINGS: readonly Meaning[] = ["loss", "state", ...HYPERPARAMETER_NAMES];
/** Tables have what was measured under the same names as what was set: these are axes only when the user says so. */
const ONLY_WHEN_SAID: ReadonlySet<Meaning> = new Set(["tokens"]);

/**
 * @param mapped what the user says: meaning → column; a meaning that is none of ours is a setting of their own
 * @param ignored columns that the user leaves out
 * @throws MusweepError (usage): a column that is not there, or several that could be the same thing
 */
export function recognizeColumns(
  columns: readonly string[],
  mapped: ReadonlyMap<string, string>,
  ignored: readonly string[] = [],
): Recognized {
  const known = new Set(columns);
  const left = new Set(ignored);
  for (const column of [...mapped.values(), ...ignored])
    if (!known.has(column))
      throw new MusweepError(
        "results-column",
        `there is no column ${JSON.stringify(column)}${didYouMean(column, columns) || `; there are ${listed(columns)}`}`,
        { kind: "usage", remedy: "Nothing was stored." },
      );
  const found = new Map([...mapped].map(([name, column]) => [meaningOf(name), column]));
  const taken = new Set(found.values());
  const spelled = columns.map((column): Spelled => ({ column, spellings: spellings(column) }));
  for (const meaning of MEANINGS) {
    if (found.has(meaning) || ONLY_WHEN_SAID.has(meaning)) continue;
    const column = bestColumn(
      meaning,
      spelled.filter(({ column: name }) => !taken.has(name) && !left.has(name)),
    );
    if (column === undefined) continue;
    found.set(meaning, column);
    taken.add(column);
  }
  const rest = columns.filter((name) => !taken.has(name));
  const isLoss = (name: string): boolean => spellings(name).some((one) => ALIASES.loss!.includes(one));
  return {
    columns: found,
    ignored: rest,
    other_losses: mapped.has("loss") ? [] : rest.filter((name) => !left.has(name) && isLoss(name)),
  };
}

function meaningOf(name: string): Meaning {
  const known = MEANINGS.find((meaning) => meaning === name);
  if (known !== undefined) return known;
  return name.startsWith("settings.") ? (name as Meaning) : `settings.${name}`;
}

interface Spelled {
  column: string;
  /** As it stands, and backwards. */
  spellings: readonly string[];
}

function bestColumn(meaning: Meaning, columns: readonly Spelled[]): string | undefined {
  for (const alias of meaning === "loss" ? ALIASES.loss! : [meaning, ...(ALIASES[meaning] ?? [])]) {
    const fitting = columns
      .filter(({ spellings: [plainly, backwards] }) =>
        meaning === "loss" ? plainly === alias || backwards === alias : plainly === alias,
      )
      .map(({ column }) => column);
    if (fitting.length > 1)
      throw new MusweepError(
        "results-column",
        fitting.length === 2
          ? `${fitting.map((name) => JSON.stringify(name)).join(" and ")} could both be the ${meaning}`
          : `${listed(fitting.map((name) => JSON.stringify(name)))} could all be the ${meaning}`,
        { kind: "usage", remedy: `Say which: --column ${shellWord(`${meaning}=${fitting[0]}`)}` },
      );
    if (fitting[0] !== undefined) return fitting[0];
  }
  return undefined;
}
