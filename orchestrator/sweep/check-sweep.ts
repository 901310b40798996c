/**
 * The rules of one phase of a sweep file that involve more than one field: what is missing, what excludes what, and values that do not
 * fit together, found without walking the whole grid: each rule sees the combinations of only the axes it reads.
 */
import {
  type AxisName,
  type HyperparameterName,
  homeOf,
  isSettingName,
} from "../../schema/sweep/hyperparameters.ts";
import type { Phase, SweepData } from "../../schema/sweep/sweep.ts";
import { BUILT_IN_TRAINER } from "../../schema/wire/plan.ts";
import { saysSchedule } from "../parameterization/resolve-script-plan.ts";
import { SETTINGS_CHECKS, type Settings } from "../parameterization/settings.ts";
import { Allowance, combinations } from "./combinations.ts";
import { tunedOf } from "./expand-sweep.ts";
import { type Grid, type Point, readGrids, type Values } from "./grids.ts";
import { precisionsOf } from "./needs-of-phase.ts";
import type { Finding, Path } from "./problems.ts";
import {
  decidedBy,
  EXCLUSIVE,
  fileValues,
  type PartialSettings,
  type SettingsReader,
  settingsReader,
} from "./settings-of.ts";
import { isRandomSearch, takenAxes } from "./taken-axes.ts";

/** Mistakes of one rule in one grid that are looked for: more are told as such. */
const MAX_MISTAKES = 1000;

/**
 * @param damaged hyperparameters that the file does set, but wrongly: already reported, so not missing
 */
export function checkPhase(
  sweep: Phase,
  damaged: ReadonlySet<string>,
  allowance = new Allowance(),
): Finding[] {
  const { grids, findings } = readGrids(sweep.axes);
  const settings = settingsReader(sweep);
  const file = fileValues(sweep);
  const all = [
    ...findings,
    ...placementFindings(sweep, grids),
    ...searchFindings(sweep),
    ...EXCLUSIVE.filter(([a, b]) => file[a] !== undefined && file[b] !== undefined).map(([a, b]) => ({
      path: homeOf(b) as Path,
      atKey: true,
      message: `${a} and ${b} are both given; expected one of them`,
    })),
    ...grids.flatMap((grid) => [
      ...missingFindings(sweep, grid, file, damaged),
      ...tuneFindings(sweep, grid),
      ...exclusiveAxes(grid),
      ...shadowedOverrides(sweep, grid),
      ...scriptFindings(sweep, grid, settings),
      ...mismatches(sweep, grid, settings, damaged, allowance),
    ]),
  ];
  const seen = new Set<string>();
  return all.filter(({ path, message }) => {
    const key = JSON.stringify([path, message]);
    return seen.has(key) ? false : seen.add(key);
  });
}

/** What no worker could train. */
function placementFindings(phase: Phase, grids: readonly Grid[]): Finding[] {
  const { trainer, device, engine } = phase;
  if (engine === undefined) return [];
  if (trainer !== BUILT_IN_TRAINER)
    return [
      { path: ["engine"], atKey: true, message: `the trainer ${trainer} has no engines; remove engine` },
    ];
  if (engine !== "musweep-cpu") return [];
  return [
    ...(device === "cuda"
      ? [{ path: ["device"], message: "musweep-cpu has no GPUs; expected cpu, or engine: musweep-torch" }]
      : []),
    ...(precisionsOf(phase, grids).includes("bfloat16")
      ? [{ path: ["engine"], message: "musweep-cpu has no bfloat16; expected musweep-torch, or none" }]
      : []),
  ];
}

/** A search looks for optima of curves; it goes beyond edges and adds seeds by itself. */
function searchFindings({ search, axes, extend, refine }: Phase): Finding[] {
  if (search === undefined) return [];
  const too = [...(extend === undefined ? [] : ["extend"]), ...(refine === undefined ? [] : ["refine"])];
  return [
    ...too.map((name) => ({
      path: [name],
      atKey: true,
      message: `${name} and search are both given; expected one of them: a search adds rates and seeds by itself`,
    })),
    ...(isRandomSearch(axes)
      ? [
          {
            path: ["search"],
            atKey: true,
            message: "search needs curves; expected learning rates that are not drawn at random",
          },
        ]
      : []),
  ];
}

/** `extend` or `refine` that can never add anything. No mistake: a phase may have them from the file. */
export function idleAdditions(phase: Phase): Finding[] {
  const tuned = tunedOf(phase);
  const grids = readGrids(phase.axes).grids;
  const values = new Set(grids.flatMap((grid) => valuesOf(grid, tuned).map((p) => p.values[tuned])));
  const why = isRandomSearch(phase.axes)
    ? "learning rates that are drawn at random make no curves"
    : values.size < 2 && takenAxes(phase.axes).every(({ name }) => name !== tuned)
      ? `without a second value of ${tuned} there are no curves`
      : null;
  return why === null
    ? []
    : (["extend", "refine"] as const).flatMap((name) =>
        phase[name] === undefined
          ? []
          : [{ path: [name], atKey: true, message: `adds nothing to phase ${phase.name}: ${why}` }],
      );
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

const namesOf = (grid: Grid): readonly AxisName[] => grid.dimensions.flatMap((d) => d.names);

const REQUIRED: readonly (readonly [HyperparameterName, ...HyperparameterName[]])[] = [
  ["parameterization"],
  ["width"],
  ["layers"],
  ["sequence_length"],
  ["batch_size"],
  ["steps", "tokens"],
  ["learning_rate"],
];

/** A script need not know of sequences, batches and steps. */
const OF_SCRIPTS = new Set<HyperparameterName>(["parameterization", "width", "layers", "learning_rate"]);

/** A plan gives a script a schedule over its steps. */
function scriptFindings(sweep: Phase, grid: Grid, settings: SettingsReader): Finding[] {
  if (sweep.script === undefined) return [];
  const said = new Set<string>([...sweep.script.said, ...namesOf(grid)]);
  const wants = ["tokens"].some((name) => said.has(name))
    ? "tokens"
    : saysSchedule(said)
      ? "a schedule"
      : null;
  const values = Object.assign({}, ...grid.dimensions.map((d) => d.points[0]?.values ?? {})) as Values;
  if (wants === null || settings.some(["steps"], values).steps !== undefined) return [];
  return [
    {
      path: ["training"],
      atKey: true,
      message:
        wants === "tokens"
          ? "tokens without batch_size and sequence_length say no number of steps; expected both, or steps"
          : "steps is missing; a schedule (warm-up, decay) goes over the run's steps",
    },
  ];
}

function missingFindings(sweep: Phase, grid: Grid, file: Values, damaged: ReadonlySet<string>): Finding[] {
  const names = namesOf(grid);
  const required = sweep.script === undefined ? REQUIRED : REQUIRED.filter(([name]) => OF_SCRIPTS.has(name));
  return required.flatMap((oneOf) => {
    if (oneOf.some((name) => names.includes(name) || file[name] !== undefined || damaged.has(name)))
      return [];
    const home = homeOf(oneOf[0]);
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

/** What a script's model has, it alone knows. */
const OF_OUR_MODEL = new Set<keyof Settings>(["d_head", "ffn_width", "base_ffn_width", "micro_batch_size"]);

/** Applies every rule to every combination of the axes it reads. */
function mismatches(
  sweep: Phase,
  grid: Grid,
  reader: SettingsReader,
  damaged: ReadonlySet<string>,
  allowance: Allowance,
): Finding[] {
  const checks =
    sweep.script === undefined
      ? SETTINGS_CHECKS
      : SETTINGS_CHECKS.filter(({ reads }) => !reads.some((name) => OF_OUR_MODEL.has(name)));
  return checks.flatMap(({ reads, find }) => {
    // One finding per place: a range has one place for all of its values.
    const places = new Map<string, { place: Omit<Finding, "message">; messages: Set<string> }>();
    let mistakes = 0;
    for (const point of combinations(grid, new Set(reads.flatMap(decidedBy)), allowance)) {
      const settings = reader.some(reads, point.values);
      if (!hasAll(settings, reads)) continue;
      const mistake = find(settings);
      if (mistake === null || (OF_THE_BASE.has(mistake.blame) && damaged.has(mistake.blame))) continue;
      const place = placeOf(mistake.blame, reads, point, grid);
      const key = place.path.join("\n");
      const known = places.get(key) ?? { place, messages: new Set<string>() };
      places.set(key, { place, messages: known.messages.add(mistake.message) });
      if (++mistakes === MAX_MISTAKES) break;
    }
    const atLeast = mistakes === MAX_MISTAKES ? "at least " : "";
    return [...places.values()].map(({ place, messages: [first = "", ...others] }) => ({
      ...place,
      message:
        others.length === 0 ? first : `${first} (and ${atLeast}${others.length} more such values here)`,
    }));
  });
}

function hasAll(
  settings: PartialSettings,
  names: readonly (keyof Settings)[],
): settings is PartialSettings & Settings {
  return names.every((name) => settings[name] !== undefined);
}

/** What a parameterization lacks, where it is to blame. */
const OF_THE_BASE: ReadonlySet<keyof Settings> = new Set(["base_width", "base_ffn_width", "base_layers"]);

/** The axis value to blame; else another axis value the rule read; else the file's own value; else the nearest section. */
function placeOf(
  blame: keyof Settings,
  reads: readonly (keyof Settings)[],
  point: Point,
  grid: Grid,
): { path: Path; atKey?: boolean } {
  const sources = [blame, ...reads].flatMap(decidedBy);
  if (OF_THE_BASE.has(blame)) return { path: point.paths.parameterization ?? grid.path };
  for (const name of sources) {
    const path = point.paths[name];
    if (path !== undefined) return { path };
  }
  const home = sources
    .map((name) => (isSettingName(name) ? undefined : homeOf(name)))
    .find((p) => p !== undefined);
  return { path: home ?? grid.path };
}
