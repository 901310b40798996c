/** What a coordinate check found, as data: its slopes and verdicts as stored, and the means behind them for the figures. */

import type { Parameterization } from "../../schema/sweep/rules.ts";
import { broken, type FittedLine } from "../analysis/coordinate-lines.ts";
import type { CoordinateAxis } from "../analysis/coordinates.ts";
import { readFits, readLines } from "../database/coordinates.ts";
import type { Database } from "../database/open.ts";
import type { StoredPhase } from "../database/phases.ts";

export interface CoordinateAnswer {
  phase: string;
  steps: number;
  /** What is added to the slopes that theory allows. */
  tolerance: number;
  /** Whether every parameterization keeps sizes where its rules say so; null while runs are to be trained. */
  passed: boolean | null;
  /** Empty while runs are to be trained. */
  lines: FittedLine[];
  means: CoordinateMean[];
}

/** Mean over seeds, and over layers, of log2 of a module's size. */
export interface CoordinateMean {
  parameterization: Parameterization;
  axis: CoordinateAxis;
  /** log2 of the value on the axis. */
  x: number;
  module: string;
  step: number;
  log2_size: number;
}

/** @returns null for a phase that is no coordinate check */
export function answerCheck(db: Database, phase: StoredPhase): CoordinateAnswer | null {
  const settings = phase.definition.phase.coordinates;
  if (settings === undefined) return null;
  const lines = readFits(db, phase.id);
  return {
    phase: phase.name,
    ...settings,
    passed: phase.state === "complete" ? broken(lines).length === 0 : null,
    lines,
    means: readLines(db, phase.id).flatMap(({ parameterization, axis, runs }) => {
      const logs = new Map<string, { x: number; module: string; step: number; values: number[] }>();
      for (const { x, sizes } of runs)
        sizes.forEach((modules, step) => {
          for (const { module, size } of modules ?? []) {
            if (size === null || size === 0) continue;
            const key = `${x} ${module} ${step}`;
            const mean = logs.get(key) ?? { x, module, step, values: [] };
            logs.set(key, mean);
            mean.values.push(Math.log2(size));
          }
        });
      return [...logs.values()].map(({ values, ...at }) => ({
        parameterization,
        axis,
        ...at,
        log2_size: values.reduce((a, b) => a + b, 0) / values.length,
      }));
    }),
  };
}
