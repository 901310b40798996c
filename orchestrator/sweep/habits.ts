/** What people write who come from another tool, and how it is written here: added to the message that refuses it. */
import { type HyperparameterName, TABLE } from "../../schema/sweep/hyperparameters.ts";
import { OTHER_NAMES } from "../../schema/sweep/other-names.ts";
import { excerpt, type Path } from "./problems.ts";

const HEADS = ["n_head", "n_heads", "num_heads", "num_attention_heads", "heads"];

/**
 * @param at the section that the key stands in
 * @returns `; did you mean "learning_rate"?` for "lr" where that may stand, else where it may; empty for a key that nobody uses
 */
export function meantBy(key: string, valid: readonly string[], at: Path): string {
  const plain = key.toLowerCase().replaceAll("-", "_");
  if (HEADS.includes(plain) && valid.includes("d_head"))
    return "; the number of heads is width ÷ d_head: set d_head";
  const names = Object.keys(TABLE) as HyperparameterName[];
  const name = names.find((n) => n === plain || OTHER_NAMES[n]?.includes(plain));
  if (name === undefined) return "";
  if (valid.includes(name)) return `; did you mean "${name}"?`;
  // Further inside, what the section takes says more.
  if (at.length > (at[0] === "phases" ? 3 : 1)) return "";
  const { section, key: there = name } = TABLE[name] as { section: string | null; key?: string };
  return `; did you mean ${section === null ? "" : `${section}.${there} or `}axes.${name}?`;
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value);

/** A few values as a list is written. */
const listed = (values: readonly unknown[]): string =>
  `[${excerpt(values.slice(0, 4).map(String).join(", "))}${values.length > 4 ? ", …" : ""}]`;

/**
 * How the value of an axis is written that another tool writes so: Weights & Biases ({values}, {value}, {min, max, distribution}),
 * Hydra and Optuna's plugin for it ("a,b", choice(a, b), range(…), interval(…)).
 * @returns empty for what is no tool's habit
 */
export function insteadOf(value: unknown): string {
  if (isMap(value)) {
    if (Array.isArray(value.values)) return `; write the list itself: ${listed(value.values)}`;
    if ("value" in value) return "; write the value itself";
    if ("min" in value && "max" in value) return ofBounds(value);
    return "";
  }
  if (typeof value !== "string") return "";
  const choice = /^choice\((.*)\)$/.exec(value)?.[1] ?? (value.includes(",") ? value : undefined);
  if (/^(tag\(.*)?(interval|range|uniform|log_uniform)\(/.test(value)) return `; ${RANGES}`;
  if (choice === undefined) return "";
  return `; several values are a list: ${listed(choice.split(",").map((part) => part.trim()))}`;
}

const RANGES =
  "a grid is {log2: {from: -9, to: -5}}, {log10: {from: -4, to: -2}} or {linear: {from: 0, to: 1, step: 0.25}}; random draws stand under random";

function ofBounds({ min, max, distribution }: Record<string, unknown>): string {
  if (typeof min !== "number" || typeof max !== "number" || !(min < max)) return `; ${RANGES}`;
  const isLog = typeof distribution === "string" && distribution.includes("log");
  const drawn = `random draws are {${isLog ? "log_uniform" : "uniform"}: {from: ${min}, to: ${max}}} under random.distributions`;
  if (min <= 0) return `; ${drawn}`;
  const [from, to] = [Math.floor(Math.log2(min)), Math.ceil(Math.log2(max))];
  return `; a grid is {log2: {from: ${from}, to: ${to}}}; ${drawn}`;
}
