/**
 * What a value means that is written as another tool writes it: Weights & Biases, Optuna, Ray Tune, Hydra, NumPy; and ranges of
 * our own with another tool's keys. Nothing here knows for which hyperparameter it stands.
 */

export type Meant =
  | { kind: "list"; values: unknown[] }
  | { kind: "value"; value: unknown }
  /** Anything between two numbers, both included; or so many of them, or in such steps. */
  | { kind: "between"; from: number; to: number; isLog: boolean; count?: number; step?: number }
  /** A grid as it is written here. */
  | { kind: "grid"; grid: Grid }
  /** A range or a distribution, of which not all that is needed is said. */
  | { kind: "range" };

export type Grid = Record<string, unknown>;

const isMap = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value);
const number = (value: unknown): number | undefined =>
  typeof value === "number" && Number.isFinite(value) ? value : undefined;

/** Enough digits to say the number, without those that arithmetic adds. */
const rounded = (value: number): number => Number(value.toPrecision(6));

/** Where one begins and another ends, by whatever keys. */
const ENDS = [
  ["from", "to"],
  ["min", "max"],
  ["low", "high"],
  ["lower", "upper"],
  ["start", "stop"],
  ["start", "end"],
] as const;
const LISTS = ["values", "choices", "choice", "grid_search", "categorical", "options"];
const DISTRIBUTIONS = /^q?(log_?)?(uniform|normal|randn)$/;
const RANGES = ["log2", "log10", "linear"];
const COUNTS = ["n", "num", "count", "steps", "points", "n_points", "num_points", "samples", "size"];
const SPACES = /^((log|lin|geom)space|a?range)$/;

/** @returns null for what is no tool's way to write values, and for what is as it should be here */
export function meaningOf(value: unknown): Meant | null {
  if (typeof value === "string") return ofText(value);
  if (!isMap(value)) return null;
  for (const key of LISTS) if (Array.isArray(value[key])) return { kind: "list", values: value[key] };
  if ("value" in value) return { kind: "value", value: value.value };
  for (const key of RANGES) if (key in value) return ofRange(value, key);
  const [key, inner] = Object.entries(value)[0] ?? [];
  if (key !== undefined && DISTRIBUTIONS.test(key)) return between(endsOf(inner), key.includes("log"));
  if (key === "log" && endsOf(inner) !== undefined) return between(endsOf(inner), true);
  if (key !== undefined && SPACES.test(key)) {
    const ends = endsOf(inner) ?? [];
    const rest = Array.isArray(inner) ? inner.slice(2) : isMap(inner) ? [countOf(inner) ?? inner.step] : [];
    return ofSpace(
      key,
      [...ends, ...rest].flatMap((one) => number(one) ?? []),
    );
  }
  // From an earlier phase, where it names one.
  if (typeof value.from === "string") return null;
  return "distribution" in value || endsOf(value) !== undefined ? ofBounds(value) : null;
}

function endsOf(value: unknown): [number, number] | undefined {
  const pairs: unknown[][] = Array.isArray(value)
    ? [value]
    : isMap(value)
      ? ENDS.map(([from, to]) => [value[from], value[to]])
      : [];
  for (const [from, to] of pairs) {
    const ends = [number(from), number(to)];
    if (ends[0] !== undefined && ends[1] !== undefined) return [ends[0], ends[1]];
  }
  return undefined;
}

const between = (
  ends: readonly [number, number] | undefined,
  isLog: boolean,
  { count, step }: { count?: number | undefined; step?: number | undefined } = {},
): Meant =>
  ends === undefined || ends[0] >= ends[1] || (isLog && ends[0] <= 0)
    ? { kind: "range" }
    : {
        kind: "between",
        from: ends[0],
        to: ends[1],
        isLog,
        ...(count === undefined || count < 2 || !Number.isInteger(count) ? {} : { count }),
        ...(step === undefined || step <= 0 ? {} : { step }),
      };

const countOf = (value: Record<string, unknown>): number | undefined =>
  number(value[COUNTS.find((key) => key in value) ?? ""]);

function ofBounds(value: Record<string, unknown>): Meant {
  const { mu, sigma, step } = value;
  // {distribution: log_uniform}, {scale: log}, {log: true}
  const isLog =
    value.log === true || Object.values(value).some((one) => typeof one === "string" && /log|geom/.test(one));
  const [middle, deviation] = [number(mu), number(sigma)];
  const ends =
    endsOf(value) ??
    (middle !== undefined && deviation !== undefined
      ? ([rounded(middle - 2 * deviation), rounded(middle + 2 * deviation)] as const)
      : undefined);
  // Weights & Biases has exponents of e there, unless the distribution's name ends in _values.
  const isExponent = isLog && ends !== undefined && (ends[0] <= 0 || endsOf(value) === undefined);
  return between(isExponent ? [rounded(Math.exp(ends[0])), rounded(Math.exp(ends[1]))] : ends, isLog, {
    count: countOf(value),
    step: number(step),
  });
}

/** {log2: {min, max}}, {log10: {start, stop, num}}, {multiples_of: 3, log10: {…}}, {log2: [-9, -8, -7]} */
function ofRange(value: Record<string, unknown>, key: string): Meant | null {
  const inner = value[key];
  if (Array.isArray(inner) && inner.length !== 2) return ofExponents(inner, key, value.multiples_of);
  if ("multiples_of" in value && key !== "log2") {
    const [from, to] = endsOf(inner) ?? [-3, 3];
    const log2 = key === "log10" ? octaves(10 ** from, 10 ** to) : { from: -3, to: 3 };
    return { kind: "grid", grid: { multiples_of: value.multiples_of, log2 } };
  }
  const ends = endsOf(inner);
  if (
    isMap(inner) &&
    ("from" in inner || "to" in inner) &&
    (ends === undefined || !COUNTS.some((count) => count in inner))
  )
    return null;
  if (ends === undefined) return { kind: "range" };
  const [from, to] = ends;
  const { multiples_of } = value;
  // No exponents: those of rates are below 0, those of sizes are whole.
  if (key !== "linear" && multiples_of === undefined && from > 0 && to <= 1 && from < to)
    return between(ends, true);
  const { step, count } = isMap(inner) ? { step: inner.step, count: countOf(inner) } : {};
  const grid = { [key]: stepped(from, to, key === "linear", number(step), count) };
  return { kind: "grid", grid: multiples_of === undefined ? grid : { multiples_of, ...grid } };
}

/** A grid of such values, or of exponents, where they are evenly spaced; else each of them. */
export function ofExponents(listed: readonly unknown[], key: string, multiplesOf: unknown = 1): Meant {
  const values = listed.flatMap((one) => number(one) ?? []);
  const [from, second = from] = values;
  const scale = number(multiplesOf);
  if (from === undefined || values.length < listed.length || scale === undefined) return { kind: "range" };
  const step = rounded(second! - from);
  const isEven = step > 0 && values.every((value, i) => Math.abs(value - (from + i * step)) < 1e-9);
  if (isEven && scale === 1) {
    const needsStep = key === "linear" || step !== 1;
    return { kind: "grid", grid: { [key]: { from, to: values.at(-1), ...(needsStep ? { step } : {}) } } };
  }
  const base = { log2: 2, log10: 10 }[key];
  const power = (one: number): number => rounded(scale * (base === undefined ? one : base ** one));
  // As a power no digit is lost.
  const isPlain = base === 2 && scale === 1;
  return { kind: "list", values: values.map((one) => (isPlain ? `2^${one}` : power(one))) };
}

/** Whole exponents of two that enclose two numbers. */
export const octaves = (from: number, to: number): { from: number; to: number } => ({
  from: Math.floor(Math.log2(from)),
  to: Math.ceil(Math.log2(to)),
});

/** The same of ten. */
export const decades = (from: number, to: number): { from: number; to: number } => ({
  from: Math.floor(rounded(Math.log10(from))),
  to: Math.ceil(rounded(Math.log10(to))),
});

export function stepped(from: number, to: number, needsStep: boolean, step?: number, count?: number): Grid {
  const distance = step ?? (count !== undefined && count > 1 ? stepOf(from, to, count) : undefined);
  if (distance === undefined && !needsStep) return { from, to };
  return { from, to, step: distance ?? rounded((to - from) / 4) };
}

/** Thousands with separators; of two numbers the second is hardly 000. */
const THOUSANDS = /^\d{1,3}([_,])\d{3}(?:\1\d{3})*$/;
const FACTORS: Record<string, number> = { k: 1e3, m: 1e6, b: 1e9, g: 1e9 };
const WORDS: Record<string, boolean> = {
  yes: true,
  on: true,
  true: true,
  no: false,
  off: false,
  false: false,
};

/** A text that stands for a number or a truth value elsewhere: 2**-8, 1/256, 75%, 1k, 1_000, yes; or that has quotes too many. */
export function scalarMeant(text: string): number | boolean | undefined {
  const plain = text.trim().toLowerCase();
  if (plain === "" || text.length > LONGEST_SCALAR) return undefined;
  if (Object.hasOwn(WORDS, plain)) return WORDS[plain];
  const meant = numberMeant(plain);
  return meant !== undefined && Number.isFinite(meant) ? meant : undefined;
}

const LONGEST_SCALAR = 40;
const NUMBER = String.raw`[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?`;
const POWER = new RegExp(`^(${NUMBER})\\s*(?:\\^|\\*\\*)\\s*\\(?(${NUMBER})\\)?$`);
const FRACTION = new RegExp(`^(${NUMBER})\\s*/\\s*(${NUMBER})$`);
const SCALED = new RegExp(`^(${NUMBER})\\s*([%kmbg])$`);

function numberMeant(text: string): number | undefined {
  if (Number.isFinite(Number(text))) return Number(text);
  if (THOUSANDS.test(text) && (text.includes("_") || text.endsWith(",000")))
    return Number(text.replaceAll(/[_,]/g, ""));
  const [, base, exponent] = POWER.exec(text) ?? [];
  if (exponent !== undefined)
    return Number(base) === 10
      ? Number((10 ** Number(exponent)).toPrecision(12))
      : Number(base) ** Number(exponent);
  const [, over, under] = FRACTION.exec(text) ?? [];
  if (under !== undefined) return Number(over) / Number(under);
  const [, amount, unit] = SCALED.exec(text) ?? [];
  if (unit === undefined) return undefined;
  return Number((unit === "%" ? Number(amount) / 100 : Number(amount) * FACTORS[unit]!).toPrecision(12));
}

/** What is longer was not written by hand, and calls in calls would take long to take apart. */
const LONGEST_TEXT = 1000;

/** Six digits of the distance between so many values, rounded down: the last one must not lie beyond the end. */
function stepOf(from: number, to: number, count: number): number {
  const step = (to - from) / (count - 1);
  const unit = 10 ** (Math.floor(Math.log10(step)) - 5);
  return rounded(Math.floor(step / unit + 1e-6) * unit);
}

const CALL = /^(?:(?:tune|trial|optuna|ray|np|numpy|hp|torch)\.)*([a-z_]+)\((.*)\)$/s;

/** "a,b", choice(a, b), tune.loguniform(1e-4, 1e-1), np.logspace(-4, -1, 4) */
function ofText(text: string): Meant | null {
  if (text.length > LONGEST_TEXT || scalarMeant(text) !== undefined) return null;
  const plain = text.trim();
  const [, name, inside] = CALL.exec(plain) ?? [];
  if (name === undefined || inside === undefined)
    return plain.includes(",") && !/[(){}]/.test(plain) ? listOf(plain) : null;
  if (name === "tag") {
    const [first = "", ...rest] = inside.split(/,(.*)/s);
    const meant = ofText(rest.join(""));
    return meant?.kind === "between" && first.trim() === "log"
      ? between([meant.from, meant.to], true)
      : meant;
  }
  if (/^(choice|grid_search|suggest_categorical|categorical|sample)$/.test(name)) return listOf(inside);
  const isLog = /log|geom/.test(name) || /log\s*=\s*true/i.test(inside);
  const numbers = inside
    .split(",")
    .map((part) => part.replace(/^.*=/s, "").trim())
    .flatMap((part) => (part !== "" && Number.isFinite(Number(part)) ? [Number(part)] : []));
  const [from, to] = numbers;
  if (!/uniform|suggest_|interval|range|space|normal|randn|randint/.test(name)) return null;
  if (from === undefined) return { kind: "range" };
  if (/normal|randn/.test(name)) return { kind: "range" };
  if (SPACES.test(name)) {
    const base = /base\s*=\s*(\d+)/.exec(inside)?.[1] ?? "10";
    return ["2", "10"].includes(base) ? ofSpace(name, numbers, `log${base}`) : { kind: "range" };
  }
  return to === undefined || !(from < to) ? { kind: "range" } : between([from, to], isLog);
}

/** NumPy's, by their names: from, to, and how many or how far apart. @param key the grid that stands for logspace */
function ofSpace(name: string, numbers: readonly number[], key = "log10"): Meant {
  const [from, to, third] = numbers;
  if (from === undefined) return { kind: "range" };
  if (/range$/.test(name)) return ofPythonRange(numbers);
  if (to === undefined || !(from < to)) return { kind: "range" };
  if (name === "geomspace") return between([from, to], true, { count: third });
  if (name === "linspace")
    return { kind: "grid", grid: { linear: stepped(from, to, true, undefined, third) } };
  return ofLogspace(from, to, key, third);
}

/** Without the end, as Python's and Hydra's. */
function ofPythonRange(numbers: readonly number[]): Meant {
  const [from, to, step = 1] = numbers.length === 1 ? [0, numbers[0]!] : (numbers as [number, number]);
  if (!(from < to && step > 0)) return { kind: "range" };
  const last = from + (Math.ceil((to - from) / step) - 1) * step;
  return { kind: "grid", grid: { linear: { from, to: rounded(last), step } } };
}

/** NumPy's has exponents; who writes numbers between 0 and 1 means these. */
function ofLogspace(from: number, to: number, key: string, count: number | undefined): Meant {
  if (from > 0 && to <= 1) return between([from, to], true, { count });
  return { kind: "grid", grid: { [key]: stepped(from, to, false, undefined, count) } };
}

const listOf = (text: string): Meant => ({
  kind: "list",
  values: text
    .replaceAll(/[[\]'"]/g, "")
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "" && !/^[a-z_]+=/.test(part))
    .map((part) => scalarMeant(part) ?? part),
});
