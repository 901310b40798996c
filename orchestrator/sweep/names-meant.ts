/** Names as people give them who come from another tool, or from another corner of the file, and what they are called here. */
import { HYPERPARAMETER_NAMES, type HyperparameterName, homeOf } from "../../schema/sweep/hyperparameters.ts";
import {
  INSTEAD,
  LOOSE_NAMES,
  OTHER_NAMES,
  OTHER_WORDS,
  parameterizationNamed,
} from "../../schema/sweep/other-names.ts";
import { BUILT_IN_TRAINER, settingNameSchema } from "../../schema/wire/plan.ts";
import { ofExponents } from "./foreign-values.ts";
import { inYaml, isMap, placeOf } from "./habits.ts";
import { didYouMean, nearestName, type Path } from "./problems.ts";

/** A key as it is compared: without case, and of a dotted path, optimizer.beta2, the end. */
const plainKey = (key: string): string => key.toLowerCase().replaceAll("-", "_").split(".").at(-1)!;

/** The hyperparameter that is called so, here or elsewhere; by its place in the file, too. */
const nameCalled = (key: string): HyperparameterName | undefined =>
  HYPERPARAMETER_NAMES.find(
    (name) => key.includes(".") && `.${homeOf(name)?.join(".")}`.endsWith(`.${key}`),
  ) ??
  HYPERPARAMETER_NAMES.find((name) =>
    [name, ...(OTHER_NAMES[name] ?? []), ...(LOOSE_NAMES[name] ?? [])].includes(plainKey(key)),
  );
const insteadOfKey = (key: string) => INSTEAD.find(({ names }) => names.includes(plainKey(key)));

const hasAxes = (file: object): boolean => ["axes", "phases", "coordinate_check"].some((key) => key in file);

/** What a file is that another tool reads, by its tell-tale keys; null: one of ours, whatever is wrong in it. */
export function otherToolsFile(file: unknown): string | null {
  if (!isMap(file) || hasAxes(file)) return null;
  const tool =
    "method" in file && "parameters" in file
      ? "a sweep of Weights & Biases"
      : "hydra" in file
        ? "a configuration of Hydra"
        : null;
  return (
    tool &&
    `this is ${tool}; \`musweep init\` writes a sweep file to start from, and docs/sweep-file.md says what goes where`
  );
}

const LIKE_AXES = [
  "parameters",
  "hyperparameters",
  "params",
  "grid",
  "matrix",
  "search_space",
  "space",
  "sweep",
  "axis",
];

/** The key of a file that stands for its axes; null where it has such, or nothing like them. */
export function keyOfAxes(file: unknown): string | null {
  if (!isMap(file) || hasAxes(file)) return null;
  return LIKE_AXES.find((key) => typeof file[key] === "object" && file[key] !== null) ?? null;
}

/** Every hyperparameter that a key can have meant. */
export function namesMeantBy(key: string): readonly string[] {
  const name = nameCalled(key) ?? logOf(key)?.name ?? nearestName(key, HYPERPARAMETER_NAMES);
  return [...(name === null ? [] : [name]), ...(insteadOfKey(key)?.give ?? [])];
}

/** Where the file has a hyperparameter, beside an axis. */
const placeInFile = (name: HyperparameterName): string => homeOf(name)?.join(".") ?? `axes.${name}`;

/**
 * @param at the section that the key stands in
 * @param value what it has there
 * @returns `; did you mean "learning_rate"?` for "lr" where that may stand, else where it may; empty for a key that nobody uses
 */
export function meantBy(key: string, valid: readonly string[], at: Path, value: unknown): string {
  const parameterization = parameterizationNamed(key);
  if (parameterization !== undefined && valid.includes(parameterization))
    return didYouMeanThis(parameterization);
  if (key.trim() !== "" && Number.isFinite(Number(key)))
    return "; several values are a list, in brackets, such as [1, 2]";
  const exponents = exponentsOf(key, valid, at, value);
  if (exponents !== null) return `; write ${exponents}`;
  // Further inside, what the section takes says more.
  const isSection = at.length <= (at[0] === "phases" ? 3 : 1) || at.at(-1) === "optimizer";
  const instead = insteadOfKey(key);
  if (instead !== undefined) {
    const { give, why, all } = instead;
    const places = give.map((name) => (valid.includes(name) ? name : isSection ? placeInFile(name) : null));
    return places.includes(null) ? "" : `; ${why}: set ${places.join(all ? " and " : " or ")}`;
  }
  const name = nameCalled(key);
  if (name === undefined) return "";
  if (name === "seed" && typeof value === "number" && placeOf([...at, name])?.kind === "axis")
    return `; write seed: {count: ${value}}`;
  if (valid.includes(name)) return didYouMeanThis(name);
  if (!isSection) return "";
  const home = homeOf(name);
  if (home !== undefined && key.includes(".")) return `; write ${nested(home)}`;
  return `; did you mean ${home === undefined ? "" : `${home.join(".")} or `}axes.${name}?`;
}

function logOf(key: string): { range: string; name: HyperparameterName } | undefined {
  const [, range, of = ""] = /^(log2|log10)_(.+)$/.exec(plainKey(key)) ?? [];
  const name = nameCalled(of);
  return range === undefined || name === undefined ? undefined : { range, name };
}

/** "log2_lr: [-9, -8]": the axis whose exponents these are; null: a key that is no such thing. */
function exponentsOf(key: string, valid: readonly string[], at: Path, value: unknown): string | null {
  const { range, name } = logOf(key) ?? {};
  if (range === undefined || name === undefined || !valid.includes(name)) return null;
  if (placeOf([...at, name])?.kind !== "axis") return null;
  if (isMap(value)) return `${name}: ${inYaml({ [range]: value })}`;
  const meant = ofExponents(Array.isArray(value) ? value : [value], range);
  if (meant.kind === "list") return `${name}: ${inYaml(meant.values)}`;
  return meant.kind === "grid" ? `${name}: ${inYaml(meant.grid)}` : null;
}

/** Whether a file's trainer has a model of its own, and with it settings of any name. */
export const takesSettings = (file: unknown): boolean =>
  isMap(file) &&
  typeof file.trainer === "string" &&
  file.trainer !== BUILT_IN_TRAINER &&
  file.data === undefined;

/** Of a name that is none of ours, in a file of such a trainer. @param at the section that it stands in, which takes `valid` */
export function settingMeant(key: string, valid: readonly string[], at: Path): string {
  if (!settingNameSchema.safeParse(key).success) return "";
  const said = `; a setting of your own is settings.${key}`;
  if (valid.includes("settings")) return at.length === 0 ? `${said}, here or under axes` : said;
  return ["model", "training", "base"].includes(String(at.at(-1)))
    ? `${said}, at the top of the file or under axes`
    : "";
}

/** "training: {optimizer: {beta2: …}}" */
const nested = ([first = "", ...rest]: readonly string[]): string =>
  `${first}: ${rest.length === 0 ? "…" : `{${nested(rest)}}`}`;

const didYouMeanThis = (name: string): string => `; did you mean "${name}"?`;

/** The same for a value that is one of a few words. */
export function wordMeantBy(text: string, valid: readonly string[]): string {
  const name = parameterizationNamed(text) ?? OTHER_WORDS[text.toLowerCase()];
  return name !== undefined && valid.includes(name) ? didYouMeanThis(name) : didYouMean(text, valid);
}
