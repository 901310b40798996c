/**
 * The rules of one phase of a sweep file that involve more than one field: what is missing, what excludes what, and values that do not
 * fit together, found without walking the whole grid: each rule sees the combinations of only the axes it reads.
 */
import { HYPERPARAMETER_NAMES, type HyperparameterName } from "../../schema/hyperparameters.ts";
import type { Phase, SweepData } from "../../schema/sweep.ts";
import { SETTINGS_CHECKS, type Settings } from "../parameterization/settings.ts";
import { type Dimension, type Grid, type Point, readGrids, type Values } from "./grids.ts";
import type { Finding, Path } from "./problems.ts";
import { EXCLUSIVE, fileValues, HOME, type PartialSettings, partialSettings } from "./settings-of.ts";

/** Points of one sweep. Ten times what musweep is built for: more is a slip of the pen. */
const MAX_POINTS = 1_000_000;

/** What a setting that a rule reads depends on, where that is more than itself. */
const DEPENDS_ON: { [K in keyof Settings]?: readonly HyperparameterName[] } = {
  ffn_width: ["ffn_width", "width"],
  base_ffn_width: ["ffn_width", "base_width"],
  steps: ["steps", "tokens", "batch_size", "sequence_length"],
  warmup_steps: ["warmup_steps", "warmup_fraction", "steps", "tokens", "batch_size", "sequence_length"],
};

/**
 * @param damaged hyperparameters that the file does set, but wrongly: already reported, so not missing
 */
export function checkPhase(sweep: Phase, damaged: ReadonlySet<string>): Finding[] {
  const { grids, findings } = readGrids(sweep.axes);
  const file = fileValues(sweep);
  const all = [
    ...findings,
    ...EXCLUSIVE.filter(([a, b]) => file[a] !== undefined && file[b] !== undefined).map(([a, b]) => ({
      path: HOME[b] as Path,
      atKey: true,
      message: `${a} and ${b} are both given; expected one of them`,
    })),
    ...tooManyPoints(grids),
    ...grids.flatMap((grid) => [
      ...missingFindings(sweep, grid, file, damaged),
      ...tuneFindings(sweep, grid),
      ...exclusiveAxes(grid),
      ...shadowedOverrides(sweep, grid),
      ...mismatches(sweep, grid, file),
    ]),
  ];
  const seen = new Set<string>();
  return all.filter(({ path, message }) => {
    const key = JSON.stringify([path, message]);
    return seen.has(key) ? false : seen.add(key);
  });
}

export function checkData(data: SweepData): Finding[] {
  return "vocab_size" in data && data.dtype === "uint16" && data.vocab_size > 65_536
    ? [
        {
          path: ["data", "vocab_size"],
          message: `${data.vocab_size} ids do not fit dtype uint16; expected at most 65536, or dtype: uint32`,
        },
      ]
    : [];
}

const namesOf = (grid: Grid): readonly HyperparameterName[] => grid.dimensions.flatMap((d) => d.names);

export const declaredPoints = (grids: readonly Grid[]): number =>
  grids.reduce((sum, grid) => sum + grid.dimensions.reduce((product, d) => product * d.declared, 1), 0);

function tooManyPoints(grids: readonly Grid[]): Finding[] {
  const points = declaredPoints(grids);
  if (points <= MAX_POINTS) return [];
  const sizes = grids.map((g) => g.dimensions.map((d) => `${d.names.join("+")} ${d.declared}`).join(" × "));
  return [
    {
      path: ["axes"],
      atKey: true,
      message: `${points} points (${sizes.join("; ")}); expected at most ${MAX_POINTS} in one sweep`,
    },
  ];
}

const REQUIRED: readonly (readonly [HyperparameterName, ...HyperparameterName[]])[] = [
  ["parameterization"],
  ["width"],
  ["layers"],
  ["sequence_length"],
  ["batch_size"],
  ["steps", "tokens"],
  ["learning_rate"],
];

function missingFindings(sweep: Phase, grid: Grid, file: Values, damaged: ReadonlySet<string>): Finding[] {
  const names = namesOf(grid);
  return REQUIRED.flatMap((oneOf) => {
    if (oneOf.some((name) => names.includes(name) || file[name] !== undefined || damaged.has(name)))
      return [];
    const home = HOME[oneOf[0]];
    const what = oneOf.join(" or ");
    if (home === undefined)
      return [
        {
          path: grid.path,
          atKey: true,
          message: `${what} is missing; expected as an axis, such as [sp, mup, supar]`,
        },
      ];
    if (oneOf[0] === "learning_rate" && everyOverrideHasRate(sweep, grid)) return [];
    return [
      {
        path: home.slice(0, -1),
        atKey: true,
        message: `${what} is missing; expected under ${home.slice(0, -1).join(".")}, or as an axis`,
      },
    ];
  });
}

function everyOverrideHasRate(sweep: Phase, grid: Grid): boolean {
  const used = valuesOf(grid, "parameterization");
  return (
    used.length > 0 &&
    used.every(
      ({ values: { parameterization: p } }) =>
        p !== undefined && sweep.base.overrides[p]?.learning_rate !== undefined,
    )
  );
}

const valuesOf = (grid: Grid, name: HyperparameterName): readonly Point[] =>
  grid.dimensions.find((d) => d.names.includes(name))?.points ?? [];

/** Without an axis over what is tuned every curve would be a point. For the learning rate that may be wanted. */
function tuneFindings({ tune }: Phase, grid: Grid): Finding[] {
  if (tune === undefined || tune === "learning_rate" || namesOf(grid).includes(tune)) return [];
  return [{ path: ["tune"], message: `${tune} is not varied; expected an axis over it` }];
}

/** Two axes that would set the same thing. */
function exclusiveAxes(grid: Grid): Finding[] {
  const names = namesOf(grid);
  const twice = names.filter((name, i) => names.indexOf(name) !== i && name === "sparsity");
  const pairs = EXCLUSIVE.filter(([a, b]) => names.includes(a) && names.includes(b));
  return [
    ...twice.map(() => ({
      path: grid.path,
      atKey: true,
      message: "sparsity and density are both varied; expected one of them, since density is 1 − sparsity",
    })),
    ...pairs.map(([a, b]) => ({
      path: grid.path,
      atKey: true,
      message: `${a} and ${b} are both varied; expected one of them`,
    })),
  ];
}

/** An override that an axis of the same grid would silence. */
function shadowedOverrides(sweep: Phase, grid: Grid): Finding[] {
  const names: readonly string[] = namesOf(grid);
  const used = new Set(valuesOf(grid, "parameterization").map((p) => p.values.parameterization));
  return Object.entries(sweep.base.overrides).flatMap(([parameterization, override]) =>
    [...used].some((p) => p === parameterization)
      ? Object.keys(override ?? {})
          .filter((name) => names.includes(name))
          .map((name) => ({
            path: ["base", "overrides", parameterization, name],
            atKey: true,
            message: `has no effect, because ${name} is an axis for ${parameterization}; remove it, or give ${parameterization} a grid of its own`,
          }))
      : [],
  );
}

/** Applies every rule to every combination of the axes it reads. */
function mismatches(sweep: Phase, grid: Grid, file: Values): Finding[] {
  return SETTINGS_CHECKS.flatMap(({ reads, find }) => {
    const names = new Set(reads.flatMap((name): readonly string[] => DEPENDS_ON[name] ?? [name]));
    const dimensions = grid.dimensions.filter((d) => d.names.some((name) => names.has(name)));
    // One finding per place: a range has one place for all of its values.
    const places = new Map<string, { place: Omit<Finding, "message">; messages: Set<string> }>();
    for (const point of product(dimensions)) {
      const settings = partialSettings(sweep, file, point.values);
      if (!hasAll(settings, reads)) continue;
      const mistake = find(settings);
      if (mistake === null) continue;
      const place = placeOf(mistake.blame, reads, point, grid);
      const key = JSON.stringify(place);
      const known = places.get(key) ?? { place, messages: new Set<string>() };
      places.set(key, { place, messages: known.messages.add(mistake.message) });
    }
    return [...places.values()].map(({ place, messages: [first = "", ...others] }) => ({
      ...place,
      message: others.length === 0 ? first : `${first} (and ${others.length} more such values here)`,
    }));
  });
}

function hasAll(
  settings: PartialSettings,
  names: readonly (keyof Settings)[],
): settings is PartialSettings & Settings {
  return names.every((name) => settings[name] !== undefined);
}

/** The axis value to blame; else another axis value the rule read; else the file's own value; else the nearest section. */
function placeOf(
  blame: keyof Settings,
  reads: readonly (keyof Settings)[],
  point: Point,
  grid: Grid,
): { path: Path; atKey?: boolean } {
  const sources = hyperparametersAmong(
    [blame, ...reads].flatMap((name) => [name as string, ...(DEPENDS_ON[name] ?? [])]),
  );
  if (blame === "base_width" || blame === "base_ffn_width")
    return { path: point.paths.parameterization ?? grid.path };
  for (const name of sources) {
    const path = point.paths[name];
    if (path !== undefined) return { path };
  }
  const home = sources.map((name) => HOME[name]).find((p) => p !== undefined);
  return { path: home ?? grid.path };
}

/** Only the hyperparameters among setting names, in the given order. */
function hyperparametersAmong(names: readonly string[]): HyperparameterName[] {
  return names.flatMap((name) => HYPERPARAMETER_NAMES.filter((known) => known === name));
}

/** Every combination of the points of some dimensions; one empty point for none. */
export function* product(dimensions: readonly Dimension[]): Generator<Point> {
  const [first, ...rest] = dimensions;
  if (first === undefined) {
    yield { values: {}, paths: {} };
    return;
  }
  for (const outer of first.points)
    for (const inner of product(rest))
      yield {
        values: { ...outer.values, ...inner.values },
        paths: { ...outer.paths, ...inner.paths },
      };
}
