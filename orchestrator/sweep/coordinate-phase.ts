/**
 * The phase that a coordinate check is: short runs that differ from one model in width, density or depth alone, each
 * measured after every update. Pure.
 */
import type { GridFile } from "../../schema/sweep/axes.ts";
import {
  HYPERPARAMETER_NAMES,
  type HyperparameterName,
  type Hyperparameters,
  rowOf,
} from "../../schema/sweep/hyperparameters.ts";
import type { CoordinateCheck, Phase } from "../../schema/sweep/sweep.ts";
import { checkPhase } from "./check-sweep.ts";
import type { Allowance } from "./combinations.ts";
import { type Grid, readGrids } from "./grids.ts";
import type { Finding, Path } from "./problems.ts";

/** What a file without axes calls its coordinate check; that of a phase has the phase's name before it. */
export const ONLY_CHECK = "coordinate-check";
export const checkName = (phase: string): string => `${phase}.${ONLY_CHECK}`;

/** Hyperparameters whose value a check takes from a grid, where the file gives none: the first of an axis. */
const CARRIED = HYPERPARAMETER_NAMES.filter((name) => rowOf(name).carried);

/** What a check gives its runs, whatever the file says. */
const SAID_BY_CHECKS = ["steps", "batch_size", "warmup_steps", "schedule"] as const;

/** Distinct values of a hyperparameter over some grids, in their order. */
function valuesIn<K extends HyperparameterName>(grids: readonly Grid[], name: K): Hyperparameters[K][] {
  const values = grids.flatMap((grid) =>
    grid.dimensions.flatMap((d) =>
      d.points.map((point) => point.values[name] as Hyperparameters[K] | undefined),
    ),
  );
  return [...new Set(values)].filter((value) => value !== undefined) as Hyperparameters[K][];
}

/** The axes that a check gives itself. */
export const givenAxes = ({ width, sparsity, density, layers }: CoordinateCheck): GridFile => ({
  ...(width === undefined ? {} : { width }),
  ...(sparsity === undefined ? {} : { sparsity }),
  ...(density === undefined ? {} : { density }),
  ...(layers === undefined ? {} : { layers }),
});

/** @param phase whose model, base and, where the check does not say, axes are looked at */
export function coordinatePhase(phase: Phase, check: CoordinateCheck, name: string): Phase {
  const given = readGrids(givenAxes(check)).grids;
  const own = readGrids(phase.axes).grids;
  const varied = <K extends "width" | "sparsity" | "layers">(axis: K): Hyperparameters[K][] => {
    const values = valuesIn(given, axis);
    return values.length > 0 ? values : valuesIn(own, axis);
  };
  const widths = varied("width");
  const depths = varied("layers");
  const parameterization = check.parameterization ?? valuesIn<"parameterization">(own, "parameterization");
  const shared: GridFile = {
    ...(parameterization.length > 0 ? { parameterization } : {}),
    learning_rate: check.learning_rate,
    seed: { count: check.seeds, first: 1 },
    ...Object.fromEntries(
      CARRIED.flatMap((hyperparameter) => {
        const [first] = valuesIn(own, hyperparameter);
        return first === undefined ? [] : [[hyperparameter, first]];
      }),
    ),
  };
  const { d_head: _d_head, ...withoutHeads } = shared;
  const { heads } = check;
  const grids: GridFile[] = [
    heads === undefined
      ? { ...shared, width: widths }
      : { ...withoutHeads, together: widths.map((w) => ({ width: w, d_head: w / heads })) },
    { ...shared, sparsity: varied("sparsity") },
    { ...shared, layers: depths },
  ];
  const { tokens: _tokens, warmup_fraction: _fraction, ...training } = phase.training;
  const [firstDepth] = depths;
  const [firstWidth] = widths;
  const widest = widths.reduce((a, b) => Math.max(a, b), firstWidth ?? 0);
  return {
    name,
    trainer: phase.trainer,
    revision: phase.revision,
    ...(phase.device === undefined ? {} : { device: phase.device }),
    ...(phase.engine === undefined ? {} : { engine: phase.engine }),
    model: {
      ...phase.model,
      ...(phase.model.width === undefined && firstWidth !== undefined ? { width: widest } : {}),
      ...(phase.model.layers === undefined && firstDepth !== undefined ? { layers: firstDepth } : {}),
    },
    training: {
      ...training,
      steps: check.steps,
      batch_size: check.batch_size,
      micro_batch_size: null,
      warmup_steps: 0,
      schedule: "constant",
      evaluation: { every_steps: null, sequences: check.batch_size },
    },
    base: phase.base,
    axes: grids.filter((grid) => variesIn(grid)),
    keep_weights: false,
    allow_unbracketed: false,
    ...(phase.script === undefined
      ? {}
      : {
          script: {
            ...phase.script,
            said: [...new Set([...phase.script.said, ...SAID_BY_CHECKS])].filter(
              (name) => name !== "tokens" && name !== "warmup_fraction",
            ),
          },
        }),
    coordinates: { steps: check.steps, tolerance: check.tolerance },
  };
}

/** Whether there is anything to check. */
export const varies = ({ axes }: Phase): boolean => [axes].flat().length > 0;

const variesIn = ({ width, sparsity, layers, together }: GridFile): boolean =>
  [width, sparsity, layers, together].some((values) => Array.isArray(values) && values.length > 1);

/** What is wrong with a check, at places within the section `coordinate_check`, or in other sections of the file. */
export function checkCoordinates(
  check: Phase,
  settings: CoordinateCheck,
  damaged: ReadonlySet<string>,
  allowance: Allowance,
): Finding[] {
  const here: Path = ["coordinate_check"];
  if (settings.sparsity !== undefined && settings.density !== undefined)
    return [
      {
        path: [...here, "density"],
        atKey: true,
        message: "sparsity and density are both given; expected one of them, since density is 1 − sparsity",
      },
    ];
  // Axes that cannot be read are told; the check would go on with the grid's in their place.
  const { findings } = readGrids(givenAxes(settings));
  if (findings.length > 0)
    return findings.map((finding) => ({ ...finding, path: [...here, ...finding.path.slice(1)] }));
  if (!varies(check))
    return [
      {
        path: here,
        atKey: true,
        message: "nothing varies; expected width, density (or sparsity) or layers with at least two values",
      },
    ];
  const { heads } = settings;
  const broken = [check.axes]
    .flat()
    .flatMap((grid) => grid.together ?? [])
    .find(({ d_head }) => !Number.isInteger(d_head));
  if (heads !== undefined && broken !== undefined)
    return [
      {
        path: [...here, "heads"],
        message: `width ${broken.width} cannot be divided among ${heads} heads; expected widths that are multiples of it`,
      },
    ];
  return checkPhase(check, damaged, allowance).map((finding) => ({
    ...finding,
    ...placeInSection(finding, settings),
  }));
}

/** A place in the check's own grids is one in the section that they come from; a list of values keeps its order. */
function placeInSection({ path }: Finding, settings: CoordinateCheck): Pick<Finding, "path" | "atKey"> {
  if (path[0] !== "axes") return { path };
  const at = path.findIndex((part) => typeof part === "string" && part !== "axes");
  const axis = path[at] === "sparsity" && settings.density !== undefined ? "density" : path[at];
  const given = settings[axis as keyof CoordinateCheck];
  if (given === undefined) return { path: ["coordinate_check"], atKey: true };
  return { path: ["coordinate_check", axis!, ...(Array.isArray(given) ? path.slice(at + 1) : [])] };
}
