/**
 * From what the schema says about a value to findings that a person can act on: one per mistake, with what was expected
 * and the nearest valid name.
 */
import { z } from "zod";
import { foreignValue, inYaml, scalarInstead } from "./habits.ts";
import { meantBy, settingMeant, takesSettings, wordMeantBy } from "./names-meant.ts";
import { didYouMean, excerpt, type Finding, type Path, quoted } from "./problems.ts";

type Issue = z.core.$ZodIssue;
type Schema = z.core.$ZodType;

export interface Explained extends Finding {
  /** What to take away so that the rest of the file can still be checked. */
  remove: Path;
}

/** @param value what was parsed, with `reportInput` set */
export function explainIssues(schema: Schema, value: unknown, issues: readonly Issue[]): Explained[] {
  const ownSettings = takesSettings(value);
  return issues.flatMap((issue) => explain(schema, value, issue, [], { ownSettings, schema }));
}

interface File {
  /** Whether names of somebody's own have a place in it. */
  ownSettings: boolean;
  /** Of the whole. */
  schema: Schema;
}

function explain(root: Schema, value: unknown, issue: Issue, prefix: Path, file: File): Explained[] {
  const path = [...prefix, ...(issue.path as (string | number)[])];
  const input = valueAt(value, issue.path as Path);
  const here = (message: string): Explained[] => [{ path, message, remove: path }];
  const foreign = foreignValue(value, prefix, issue.path as Path);
  if (foreign !== null) {
    const way = (issue.path as Path).slice(0, foreign.depth);
    const isHere = way.length === issue.path.length && issue.code === "invalid_union" && hasOwnMessage(issue);
    const expected = isHere ? issue.message : shapesOf(schemaAt(root, way));
    const at = [...prefix, ...way];
    const message = `expected ${expected}; got ${show(valueAt(value, way))}${foreign.hint}`;
    return [{ path: at, message, remove: at }];
  }
  const isTaken = (other: unknown): boolean =>
    z.core.safeParse(writtenAt(root, issue.path as Path), other).success;
  const got = `got ${show(input)}${scalarInstead(input, path, isTaken)}`;
  switch (issue.code) {
    case "unrecognized_keys": {
      const keys = keysOf(schemaAt(root, issue.path as Path));
      // Of a union, those of the options that have the other keys.
      const others = Object.keys(input as object).filter((key) => !issue.keys.includes(key));
      const fitting = keys.filter((names) => others.every((key) => names.includes(key)));
      const valid = (fitting.length > 0 ? fitting : keys).flat().filter((key) => !issue.keys.includes(key));
      return issue.keys.map((key) => ({
        path: [...path, key],
        atKey: true,
        message: `unknown key ${quoted(key)}${
          meantBy(key, valid, path, valueAt(input, [key])) ||
          placedElsewhere(key, path, file.schema) ||
          didYouMean(key, valid) ||
          (file.ownSettings ? settingMeant(key, valid, path) : "") ||
          `; expected one of ${valid.join(", ")}`
        }`,
        remove: [...path, key],
      }));
    }
    case "invalid_union": {
      const schema = schemaAt(root, issue.path as Path);
      if (!(schema instanceof z.ZodUnion)) return here(issue.message);
      const options = schema.options as readonly Schema[];
      const closest = closestOption(issue.errors, input);
      if (closest === null) {
        const expected = hasOwnMessage(issue) ? issue.message : shapesOf(schema);
        if (input === undefined) return missing(path, expected);
        return here(`expected ${expected}; ${got}${nearKey(input, keysOf(schema).flat())}`);
      }
      return (issue.errors[closest] ?? []).flatMap((inner) =>
        explain(options[closest] as Schema, input, inner, path, file),
      );
    }
    case "invalid_type":
      if (input === undefined && path.length > 0) return missing(path, expectedType(root, issue));
      if (hasOwnMessage(issue)) return here(`${issue.message}; ${got}`);
      return here(`expected ${expectedType(root, issue)}; ${got}`);
    case "invalid_value": {
      if (input === undefined) return missing(path, issue.values.map(String).join(", "));
      const valid = issue.values.map(String);
      const near = ["string", "number"].includes(typeof input) ? wordMeantBy(String(input), valid) : "";
      if (hasOwnMessage(issue)) return here(`${issue.message}${near}`);
      return here(`expected ${valid.join(", ")}; ${got}${near}`);
    }
    case "too_small":
      if (issue.origin === "array")
        return here(`expected at least ${issue.minimum} value; the list is empty`);
      return here(`expected ${issue.inclusive ? "at least" : "more than"} ${issue.minimum}; ${got}`);
    case "too_big":
      if (issue.origin === "array")
        return here(`expected at most ${issue.maximum} values; the list has ${(input as unknown[]).length}`);
      return here(`expected ${issue.inclusive ? "at most" : "less than"} ${issue.maximum}; ${got}`);
    default:
      return here(`${issue.message}; ${got}`);
  }
}

/** Of a key that stands in another section, or at the top of the file. */
function placedElsewhere(key: string, path: Path, schema: Schema): string {
  const [keys = []] = keysOf(schema);
  if (path.length > 0) return keys.includes(key) ? "; it stands at the top of the file" : "";
  const section = keys.find((name) => keysOf(schemaAt(schema, [name])).some((its) => its.includes(key)));
  return section === undefined ? "" : `; did you mean ${section}.${key}?`;
}

/** Of each option that is a map. */
function keysOf(schema: Schema): string[][] {
  const options = schema instanceof z.ZodUnion ? (schema.options as readonly Schema[]) : [schema];
  return options
    .map(unwrap)
    .flatMap((option) => (option instanceof z.ZodObject ? [Object.keys(option.shape)] : []));
}

/** Of a map that is none of a union's options: the key that was meant. */
function nearKey(input: unknown, valid: readonly string[]): string {
  if (input === null || typeof input !== "object" || Array.isArray(input)) return "";
  return didYouMean(Object.keys(input)[0] ?? "", valid);
}

/** Said at the section that should hold the key. */
const missing = (path: Path, expected: string): Explained[] => [
  {
    path: path.slice(0, -1),
    atKey: true,
    message: `${JSON.stringify(path.at(-1))} is missing; expected ${expected}`,
    remove: path.slice(0, -1),
  },
];

/** Whether the schema words this message itself; zod's own begin with "Invalid". Of a union: what was expected. */
const hasOwnMessage = (issue: Issue): boolean => !issue.message.startsWith("Invalid");

/** More than any number of missing keys costs. */
const STRANGE = 1e6;

/**
 * The option of a union that was probably meant: one whose outer shape fits, with the fewest unknown and missing keys.
 * Null when none has the right outer shape, or several have it and none has any of the keys.
 */
function closestOption(errors: readonly (readonly Issue[])[], input: unknown): number | null {
  const keys = typeof input === "object" && input !== null ? Object.keys(input).length : 0;
  const unknownKeys = (issues: readonly Issue[]): number =>
    issues.reduce(
      (sum, issue) =>
        sum + (issue.path.length === 0 && issue.code === "unrecognized_keys" ? issue.keys.length : 0),
      0,
    );
  const cost = (issues: readonly Issue[]): number =>
    // One that has some of the keys is meant, however much is wrong behind them.
    (keys > 0 && unknownKeys(issues) === keys ? STRANGE : 0) +
    issues.reduce((sum, issue) => {
      if (issue.path.length === 0 && issue.code !== "unrecognized_keys" && issue.code !== "too_small")
        return Number.POSITIVE_INFINITY;
      if (issue.code === "unrecognized_keys") return sum + 100 * issue.keys.length;
      const missing = issue.code === "invalid_type" && valueAt(input, issue.path as Path) === undefined;
      return sum + (missing ? 100 : 1);
    }, 0);
  // A single number out of range is an error of the number, not a wrong shape.
  const ofScalar = errors.findIndex(
    (issues) =>
      typeof input !== "object" && issues.every((i) => i.code !== "invalid_type" && i.path.length === 0),
  );
  if (ofScalar >= 0) return ofScalar;
  const costs = errors.map(cost);
  const least = Math.min(...costs);
  if (least >= STRANGE && costs.filter(Number.isFinite).length > 1) return null;
  return Number.isFinite(least) ? costs.indexOf(least) : null;
}

/** Strips what only wraps a schema: optional, default, nullable, another way to write it, what is made of it. */
function unwrap(schema: Schema): Schema {
  if (schema instanceof z.ZodPipe)
    return unwrap(schema.def.in instanceof z.ZodTransform ? schema.def.out : schema.def.in);
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodNullable
  )
    return unwrap(schema.def.innerType);
  return schema;
}

/**
 * The schema at a path. What lies behind a union comes as nested issues, unless only one option has the value's shape: then
 * the path leads through the union.
 */
const schemaAt = (root: Schema, path: Path): Schema => unwrap(writtenAt(root, path));

/** The same with what wraps it. */
function writtenAt(root: Schema, path: Path): Schema {
  return path.reduce<Schema>((written, part) => {
    const schema = unwrap(written);
    const options = schema instanceof z.ZodUnion ? (schema.options as readonly Schema[]) : [schema];
    for (const option of options.map(unwrap)) {
      if (option instanceof z.ZodArray && typeof part === "number") return option.element as Schema;
      if (option instanceof z.ZodRecord) return option.valueType as Schema;
      const field =
        option instanceof z.ZodObject ? (option.shape as Record<string, Schema>)[part] : undefined;
      if (field !== undefined) return field;
    }
    return written;
  }, root);
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, part) =>
      at !== null && typeof at === "object" ? (at as Record<string | number, unknown>)[part] : undefined,
    value,
  );
}

const shapesOf = (schema: Schema): string =>
  schema instanceof z.ZodUnion
    ? (schema.options as readonly Schema[]).map(shapeOf).join(", or ")
    : shapeOf(schema);

function shapeOf(schema: Schema): string {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodArray) return `a list of such values`;
  if (inner instanceof z.ZodObject) return `{${Object.keys(inner.shape).join(", ")}}`;
  if (inner instanceof z.ZodEnum) return inner.options.map(String).join(", ");
  if (inner instanceof z.ZodNumber) return inner.isInt ? "a whole number" : "a number";
  if (inner instanceof z.ZodBoolean) return "true or false";
  return "another value";
}

/** A whole-number schema first says that it expected a number; a section shows one that is valid. */
function expectedType(root: Schema, issue: z.core.$ZodIssueInvalidType): string {
  const schema = schemaAt(root, issue.path as Path);
  if (schema instanceof z.ZodNumber) return shapeOf(schema);
  const { examples } = z.globalRegistry.get(schema) ?? {};
  const example: unknown = Array.isArray(examples) ? examples[0] : undefined;
  return `${typeName(issue.expected)}${example === undefined ? "" : ` such as ${inYaml(example)}`}`;
}

const typeName = (expected: string): string =>
  ({
    int: "a whole number",
    number: "a number",
    string: "text",
    boolean: "true or false",
    array: "a list",
    object: "a map of keys",
    record: "a map of keys",
  })[expected] ?? expected;

function show(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return `{${excerpt(Object.keys(value).join(", "))}}`;
  return typeof value === "string" ? `the text ${quoted(value)}` : String(value);
}
