/**
 * The phases of a sweep file, each with every section decided, and what is wrong with them: the rules within each phase
 * (check-sweep.ts), and those on what a phase takes from an earlier one (check-taken.ts).
 */
import type { Axes } from "../../schema/sweep/axes.ts";
import { HYPERPARAMETER_NAMES, type HyperparameterName, homeOf } from "../../schema/sweep/hyperparameters.ts";
import { PARAMETERIZATIONS } from "../../schema/sweep/rules.ts";
import {
  type CoordinateCheck,
  type Phase,
  type Script,
  type Sections,
  type Sweep,
  type SweepFile,
  sectionsSchema,
} from "../../schema/sweep/sweep.ts";
import type { Placement } from "../../schema/wire/need.ts";
import { BUILT_IN_TRAINER } from "../../schema/wire/plan.ts";
import { checkData, checkPhase, idleAdditions } from "./check-sweep.ts";
import { checkTaken } from "./check-taken.ts";
import { Allowance, MAX_COMBINATIONS, TooManyCombinations } from "./combinations.ts";
import {
  checkCoordinates,
  checkName,
  coordinatePhase,
  givenAxes,
  ONLY_CHECK,
  varies,
} from "./coordinate-phase.ts";
import { type AxesSize, sizeMistake, sizeOf } from "./grid-sizes.ts";
import { type Point, readGrids } from "./grids.ts";
import { insteadOf } from "./habits.ts";
import { nearTwins } from "./near-twins.ts";
import { type Finding, type Path, quoted } from "./problems.ts";
import { EXCLUSIVE } from "./settings-of.ts";
import { gridsOf } from "./taken-axes.ts";

/** What a phase without a name of its own is called: that of a file without `phases`. */
const ONLY_PHASE = "grid";

type Raw = Record<string, unknown>;

export interface ReadSweep {
  /** Null where the findings leave none. */
  sweep: Sweep | null;
  findings: Finding[];
  /** What is odd and no mistake. */
  remarks: Finding[];
  /** The longest sequence that a phase trains on, and where the file says so; null: its trainer knows of none. */
  longest: { length: number; path: Path } | null;
}

/**
 * @param raw the file's value as written: which fields a phase sets itself is lost once defaults are in
 * @param file the same, as the schema reads it
 * @param damaged names that the file does set, but wrongly: already reported, so not missing
 */
export function readPhases(raw: Raw, file: SweepFile, damaged: ReadonlySet<string>): ReadSweep {
  const findings = [...checkTrained(file, damaged), ...checkPresence(file, damaged), ...unheard(raw, file)];
  // Phases that could not be read are reported already, and leave nothing to check.
  if (file.phases === undefined && damaged.has("phases")) return refused(findings);
  const written = (raw.phases as Raw[] | undefined) ?? [undefined];
  const read = written.map((own, i) => phaseOf(raw, file, own, file.phases?.[i]));
  const phases = read.map(({ phase }) => phase);
  const places = written.map(placeIn);
  const own = phases.map(({ axes }, i) => ({ path: places[i]!(["axes"]), size: sizeOf(axes) }));
  const ofCheck = (i: number, size: AxesSize) => ({ path: places[i]!(["coordinate_check"]), size });
  // Nothing is made of axes before their size is known: first what a check is made of, then the check itself.
  const given = read.flatMap(({ check }, i) =>
    check === undefined ? [] : [ofCheck(i, { ...sizeOf(givenAxes(check)), points: 0 })],
  );
  const tooLarge = checkSizes([...own, ...given]);
  if (tooLarge.length > 0) return refused([...findings, ...tooLarge]);
  const isCheckAlone =
    file.coordinate_check !== undefined && file.axes === undefined && file.phases === undefined;
  const checks = read.map(({ phase, check }) => coordinatesOf(phase, check, isCheckAlone));
  const made = checks.flatMap((check, i) => (check === null ? [] : [ofCheck(i, sizeOf(check.axes))]));
  const tooLargeWithChecks = checkSizes([...own, ...made]);
  if (tooLargeWithChecks.length > 0) return refused([...findings, ...tooLargeWithChecks]);
  const anyVaries = checks.some((check) => check !== null && varies(check));
  const allowance = new Allowance();
  for (const [i, { phase, check: settings }] of read.entries()) {
    const place = places[i]!;
    const check = checks[i];
    const checked = () => [
      ...(isCheckAlone
        ? []
        : [
            ...checkPhase(phase, damaged, allowance),
            ...checkTaken(phase, phases.slice(0, i), phases, allowance),
          ]),
      // Of a section for all phases, those without anything to check are passed over.
      ...(check != null && settings !== undefined && (varies(check) || settings.required || !anyVaries)
        ? checkCoordinates(check, settings, damaged, allowance)
        : []),
    ];
    const { findings: found, exhausted } = withinAllowance(checked);
    findings.push(...found.map((finding) => ({ ...finding, path: place(finding.path) })));
    if (exhausted) break;
    if (phases.findIndex((p) => p.name === phase.name) < i)
      findings.push({ path: ["phases", i, "name"], message: `there is already a phase "${phase.name}"` });
  }
  const [first, ...rest] = isCheckAlone
    ? checks.filter((check) => check !== null)
    : read.flatMap(({ phase, check: settings }, i) => {
        const check = checks[i];
        return check != null && settings?.required ? [check, { ...phase, after: check.name }] : [phase];
      });
  return {
    sweep:
      first === undefined
        ? null
        : {
            name: file.name,
            ...(file.data === undefined ? {} : { data: file.data }),
            priority: file.priority,
            phases: [first, ...rest],
            checks: checks.filter((check) => check !== null && varies(check)) as Phase[],
          },
    findings,
    longest: longestSequence(phases, places),
    remarks: [
      ...severalInOne(file),
      ...phases.flatMap((phase, i) =>
        [...nearTwins(readGrids(phase.axes).grids), ...idleAdditions(phase)].map((remark) => ({
          ...remark,
          path: places[i]!(remark.path),
        })),
      ),
    ],
  };
}

export const refused = (findings: Finding[]): ReadSweep => ({
  sweep: null,
  findings,
  remarks: [],
  longest: null,
});

function longestSequence(
  phases: readonly Phase[],
  places: readonly ((path: Path) => Path)[],
): ReadSweep["longest"] {
  let longest: ReadSweep["longest"] = null;
  for (const [i, { axes, model }] of phases.entries())
    for (const { dimensions } of readGrids(axes).grids) {
      const own = dimensions.find(({ names }) => names.includes("sequence_length"))?.points;
      for (const { values, paths } of own ?? [{ values: model, paths: {} as Point["paths"] }]) {
        const { sequence_length: length } = values;
        if (length === undefined || length <= (longest?.length ?? 0)) continue;
        longest = { length, path: places[i]!(paths.sequence_length ?? ["model", "sequence_length"]) };
      }
    }
  return longest;
}

/** Whether the grids of all phases together are of a size that musweep is made for; if not, where they grow beyond it. */
function checkSizes(grids: readonly { path: Path; size: AxesSize }[]): Finding[] {
  const all = { points: 0, values: 0 };
  for (const { path, size } of grids) {
    all.points += size.points;
    all.values += size.values;
    const message = sizeMistake(size, all);
    if (message !== null) return [{ path, atKey: true, message }];
  }
  return [];
}

/** What a check finds, or, where it runs out of its allowance, that. */
function withinAllowance(check: () => Finding[]): { findings: Finding[]; exhausted: boolean } {
  try {
    return { findings: check(), exhausted: false };
  } catch (error) {
    if (!(error instanceof TooManyCombinations)) throw error;
    const message = `the values of these axes meet in too many ways to check all of them against each other; expected at most ${MAX_COMBINATIONS} combinations, over the whole file, of the axes that a rule reads, such as width × d_head`;
    return { findings: [{ path: ["axes"], atKey: true, message }], exhausted: true };
  }
}

const coordinatesOf = (phase: Phase, check: CoordinateCheck | undefined, alone: boolean): Phase | null =>
  check === undefined ? null : coordinatePhase(phase, check, alone ? ONLY_CHECK : checkName(phase.name));

function checkPresence(file: SweepFile, damaged: ReadonlySet<string>): Finding[] {
  if (file.axes !== undefined && file.phases !== undefined)
    return [
      {
        path: ["axes"],
        atKey: true,
        message: "axes and phases are both given; expected one of them: each phase has axes of its own",
      },
    ];
  if (file.axes !== undefined || file.phases !== undefined || damaged.has("axes") || damaged.has("phases"))
    return [];
  if (file.coordinate_check !== undefined || damaged.has("coordinate_check")) return [];
  return [
    {
      path: [],
      atKey: true,
      message:
        '"axes" is missing; expected a map of axes, or a list of such maps (or phases, or a coordinate_check alone)',
    },
  ];
}

interface ReadPhase {
  phase: Phase;
  check: CoordinateCheck | undefined;
}

/** What of a file goes over from its own sections to those of its phases. */
const SECTIONS = [
  "model",
  "training",
  "base",
  "tune",
  "extend",
  "refine",
  "search",
  "margin",
  "criterion",
  "noise",
  "pooling",
  "coordinate_check",
] as const;
/** Those that a phase may do without. */
const OPTIONAL = ["tune", "extend", "refine", "search", "margin", "criterion", "noise", "pooling"] as const;

function phaseOf(
  raw: Raw,
  file: SweepFile,
  own: Raw | undefined,
  parsed: NonNullable<SweepFile["phases"]>[number] | undefined,
): ReadPhase {
  const axes: Axes = parsed?.axes ?? (file.phases === undefined ? file.axes : undefined) ?? {};
  const sections = sectionsOf(raw, file, own);
  const { coordinate_check, model, training, base } = sections;
  const script = isForScript(file) ? scriptOf(raw, file, own) : undefined;
  const phase: Phase = {
    name: parsed?.name ?? ONLY_PHASE,
    trainer: file.trainer,
    revision: file.revision,
    ...placementOf(file, parsed),
    model,
    training,
    base,
    axes,
    keep_weights: file.keep_weights,
    allow_unbracketed: parsed?.allow_unbracketed ?? false,
    ...(script === undefined ? {} : { script }),
    ...Object.fromEntries(
      OPTIONAL.flatMap((name) => (sections[name] === undefined ? [] : [[name, sections[name]]])),
    ),
  };
  return { phase, check: coordinate_check };
}

/** The phase's own word over the file's. */
function placementOf(file: SweepFile, own: NonNullable<SweepFile["phases"]>[number] | undefined): Placement {
  const device = own?.device ?? file.device ?? "any";
  const engine = own?.engine ?? file.engine;
  return { ...(device === "any" ? {} : { device }), ...(engine === undefined ? {} : { engine }) };
}

/** Whether the runs train a model and data of the trainer's own. */
const isForScript = ({ trainer, data }: SweepFile): boolean =>
  trainer !== BUILT_IN_TRAINER && data === undefined;

function scriptOf(raw: Raw, file: SweepFile, own: Raw | undefined): Script {
  const merged = Object.fromEntries(SECTIONS.map((name) => [name, over(raw[name], own?.[name], name)]));
  const said = (path: readonly string[]): unknown =>
    path.reduce<unknown>((at, part) => (isMap(at) ? at[part] : undefined), merged);
  const patience = said(["training", "divergence", "patience_steps"]);
  return {
    settings: file.settings ?? {},
    data_version: file.data_version ?? null,
    said: HYPERPARAMETER_NAMES.filter((name) => {
      const home = homeOf(name);
      return home !== undefined && said(home) !== undefined;
    }),
    patience_steps: typeof patience === "number" ? patience : null,
  };
}

/** Whose the model and the data are. */
function checkTrained(file: SweepFile, damaged: ReadonlySet<string>): Finding[] {
  if (file.data === undefined && file.trainer === BUILT_IN_TRAINER && !damaged.has("data"))
    return [
      {
        path: [],
        atKey: true,
        message: `"data" is missing; expected {corpus: state-of-the-union}, {file: my.txt}, {files: texts/**/*.txt} or {tokens: train.bin, vocab_size: 50257}`,
      },
    ];
  const mine = (["settings", "data_version"] as const).filter((name) => file[name] !== undefined);
  if (!isForScript(file))
    return [
      ...(file.data === undefined ? [] : checkData(file.data)),
      ...mine.map((name) => ({
        path: [name],
        atKey: true,
        message: `${name} is for a trainer with a model and data of its own; expected another trainer than ${BUILT_IN_TRAINER}, and no data`,
      })),
    ];
  return Object.keys(file.settings ?? {})
    .filter((name) => HYPERPARAMETER_NAMES.some((known) => known === name))
    .map((name) => ({
      path: ["settings", name],
      atKey: true,
      message: `${name} is a hyperparameter; expected ${homeOf(name as HyperparameterName)?.join(".") ?? "an axis"} in place of it`,
    }));
}

/** Settings of a script's own, which any text may be, with what others write for several values. */
function severalInOne(file: SweepFile): Finding[] {
  const axes = [
    { axes: file.axes ?? {}, place: [] as Path },
    ...(file.phases ?? []).map(({ axes }, i) => ({ axes, place: ["phases", i] })),
  ];
  const maps: { settings: object; place: Path }[] = [
    { settings: file.settings ?? {}, place: [] },
    ...axes.flatMap(({ axes, place }) =>
      gridsOf(axes).map(({ grid, path }) => ({ settings: grid.settings ?? {}, place: [...place, ...path] })),
    ),
  ];
  return maps.flatMap(({ settings, place }) =>
    Object.entries(settings).flatMap(([name, value]): Finding[] => {
      const path = [...place, "settings", name];
      const hint = typeof value === "string" ? insteadOf(value, path) : "";
      return hint === "" ? [] : [{ path, message: `${quoted(value as string)} is one text${hint}` }];
    }),
  );
}

/** What is said to the model that ships alone: a script would never hear of it. */
const OF_THE_MODEL_THAT_SHIPS: readonly { path: Path; instead: string }[] = [
  {
    path: ["training", "micro_batch_size"],
    instead: "settings: {micro_batch_size: …}, if your script reads it",
  },
  { path: ["training", "evaluation"], instead: "run.evaluate in your script, whenever it likes" },
  { path: ["model", "ffn", "ratio"], instead: "model.ffn.width, or a setting of your own" },
  { path: ["model", "ffn", "multiple_of"], instead: "model.ffn.width, or a setting of your own" },
];

/** @returns such fields of the file and of its phases */
function unheard(raw: Raw, file: SweepFile): Finding[] {
  if (!isForScript(file)) return [];
  const places: Path[] = [[], ...((raw.phases as unknown[] | undefined) ?? []).map((_, i) => ["phases", i])];
  return places.flatMap((place) =>
    OF_THE_MODEL_THAT_SHIPS.map(({ path, instead }) => ({ path: [...place, ...path], instead }))
      .filter(({ path }) => valueIn(raw, path) !== undefined)
      .map(({ path, instead }) => ({
        path,
        atKey: true,
        message: `a script is not told of it; expected ${instead}`,
      })),
  );
}

const valueIn = (raw: Raw, path: Path): unknown =>
  path.reduce<unknown>(
    (at, part) =>
      typeof at === "object" && at !== null ? (at as Record<string | number, unknown>)[part] : undefined,
    raw,
  );

/** The file's sections; read anew only where the phase has some of its own to go over them. */
function sectionsOf(raw: Raw, file: SweepFile, own: Raw | undefined): Sections {
  if (own === undefined || SECTIONS.every((name) => own[name] === undefined)) return file;
  const sections = SECTIONS.map((name) => [name, over(raw[name], own[name], name)]);
  return sectionsSchema.parse(Object.fromEntries(sections.filter(([, value]) => value !== undefined)));
}

const isMap = (value: unknown): value is Raw =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Maps of the file that hold fields side by side. Any other map is one value: a range, or a rule. */
const OF_FIELDS: ReadonlySet<string> = new Set([
  ...SECTIONS,
  "optimizer",
  "evaluation",
  "divergence",
  "overrides",
  ...PARAMETERIZATIONS,
]);

/** The phase's section over the sweep's, field by field; of two fields that exclude each other the phase's wins. */
function over(outer: unknown, inner: unknown, section: string): unknown {
  if (inner === undefined) return outer;
  if (!isMap(outer) || !isMap(inner) || !OF_FIELDS.has(section)) return inner;
  const excluding = [...EXCLUSIVE, ["sparsity", "density"] as const];
  const silenced = excluding.flatMap(([a, b]) => [a, b].filter((name) => (name === a ? b : a) in inner));
  const kept = Object.entries(outer).filter(([key]) => !silenced.some((name) => name === key));
  return {
    ...Object.fromEntries(kept),
    ...Object.fromEntries(Object.entries(inner).map(([key, value]) => [key, over(outer[key], value, key)])),
  };
}

/** Where a finding's place lies in the file: in the phase, if the phase has it, else in the sweep's own section. */
function placeIn(own: Raw | undefined, position: number): (path: Path) => Path {
  if (own === undefined) return (path) => path;
  const within = (path: Path): boolean => {
    let at: unknown = own;
    for (const part of path) {
      if (typeof at !== "object" || at === null || !(part in at)) return false;
      at = (at as Record<string | number, unknown>)[part];
    }
    return true;
  };
  return (path) => (path[0] === "axes" || within(path) ? ["phases", position, ...path] : path);
}
