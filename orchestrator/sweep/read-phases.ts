/**
 * The phases of a sweep file, each with every section decided, and what is wrong with them: the rules within each phase
 * (check-sweep.ts), and those on what a phase takes from an earlier one (check-taken.ts).
 */
import type { Axes } from "../../schema/axes.ts";
import {
  type CoordinateCheck,
  type Phase,
  type Sweep,
  type SweepFile,
  sweepSchema,
} from "../../schema/sweep.ts";
import { checkData, checkPhase } from "./check-sweep.ts";
import { checkTaken } from "./check-taken.ts";
import { checkCoordinates, checkName, coordinatePhase, ONLY_CHECK, varies } from "./coordinate-phase.ts";
import type { Finding, Path } from "./problems.ts";
import { EXCLUSIVE, HOME } from "./settings-of.ts";

/** What a phase without a name of its own is called: that of a file without `phases`. */
const ONLY_PHASE = "grid";

type Raw = Record<string, unknown>;

/**
 * @param raw a value that sweepSchema accepts, as written: which fields a phase sets itself is lost once defaults are in
 * @param damaged names that the file does set, but wrongly: already reported, so not missing
 */
export function readPhases(
  raw: Raw,
  damaged: ReadonlySet<string>,
): { sweep: Sweep | null; findings: Finding[] } {
  const file = sweepSchema.parse(raw);
  const findings = [...checkData(file.data), ...checkPresence(file, damaged)];
  // Phases that could not be read are reported already, and leave nothing to check.
  if (file.phases === undefined && damaged.has("phases")) return { sweep: null, findings };
  const written = (raw.phases as Raw[] | undefined) ?? [undefined];
  const read = written.map((own, i) => phaseOf(raw, file, own, file.phases?.[i]));
  const phases = read.map(({ phase }) => phase);
  const isCheckAlone =
    file.coordinate_check !== undefined && file.axes === undefined && file.phases === undefined;
  const checks = read.map(({ phase, check }) => coordinatesOf(phase, check, isCheckAlone));
  const anyVaries = checks.some((check) => check !== null && varies(check));
  for (const [i, { phase, check: settings }] of read.entries()) {
    const place = placeIn(written[i], i);
    const check = checks[i];
    const own = [
      ...(isCheckAlone
        ? []
        : [...checkPhase(phase, damaged), ...checkTaken(phase, phases.slice(0, i), phases)]),
      // Of a section for all phases, those without anything to check are passed over.
      ...(check != null && settings !== undefined && (varies(check) || settings.required || !anyVaries)
        ? checkCoordinates(check, settings, damaged)
        : []),
    ];
    findings.push(...own.map((finding) => ({ ...finding, path: place(finding.path) })));
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
            data: file.data,
            phases: [first, ...rest],
            checks: checks.filter((check) => check !== null && varies(check)) as Phase[],
          },
    findings,
  };
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

function phaseOf(
  raw: Raw,
  file: SweepFile,
  own: Raw | undefined,
  parsed: NonNullable<SweepFile["phases"]>[number] | undefined,
): { phase: Phase; check: CoordinateCheck | undefined } {
  const axes: Axes = parsed?.axes ?? (file.phases === undefined ? file.axes : undefined) ?? {};
  const sections = (
    ["model", "training", "base", "tune", "extend", "refine", "coordinate_check"] as const
  ).map((name) => [name, over(raw[name], own?.[name], name)]);
  const { model, training, base, tune, extend, refine, coordinate_check, keep_weights } = sweepSchema.parse({
    ...raw,
    ...Object.fromEntries(sections.filter(([, value]) => value !== undefined)),
  });
  const phase: Phase = {
    name: parsed?.name ?? ONLY_PHASE,
    model,
    training,
    base,
    axes,
    keep_weights,
    allow_unbracketed: parsed?.allow_unbracketed ?? false,
    ...(tune === undefined ? {} : { tune }),
    ...(extend === undefined ? {} : { extend }),
    ...(refine === undefined ? {} : { refine }),
  };
  return { phase, check: coordinate_check };
}

const isMap = (value: unknown): value is Raw =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** The phase's section over the sweep's, key by key. `ffn` is one rule; of two fields that exclude each other the phase's wins. */
function over(outer: unknown, inner: unknown, section: string): unknown {
  if (inner === undefined) return outer;
  if (!isMap(outer) || !isMap(inner) || section === "ffn") return inner;
  const silenced = EXCLUSIVE.flatMap(([a, b]) =>
    [a, b].filter((_, i) => HOME[a]?.[0] === section && (i === 0 ? b : a) in inner),
  );
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
