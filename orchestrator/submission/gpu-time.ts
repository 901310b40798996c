/**
 * How long runs take on one GPU: at the speed that runs of the same shape had on GPUs, as far as there were some; else at a rate that is
 * stated, by the same count of FLOPs.
 */

import type { Phase } from "../../schema/sweep/sweep.ts";
import { tokenCount, trainingFlops } from "../../schema/wire/cost.ts";
import { needsGpu } from "../../schema/wire/need.ts";
import type { Plan } from "../../schema/wire/plan.ts";
import { gpuRuns } from "../database/gpu-runs.ts";
import type { Database } from "../database/open.ts";
import { needsOfPhase } from "../sweep/needs-of-phase.ts";
import { speedKey } from "./speed.ts";

/** Dense bfloat16 peak of an H100 SXM, TFLOP/s (NVIDIA H100 data sheet), and a share of it that PyTorch reaches on decoders of 1B. */
export const H100_TFLOPS = 989;
export const USUAL_UTILIZATION = 0.4;

export interface GpuTime {
  runs: number;
  /** On one GPU, one run after the other. */
  seconds: number;
  /** Of the runs, those whose shape has trained on a GPU before. */
  measured: number;
}

/** Whether all its runs wait for a GPU. */
export const isForGpu = (phase: Phase): boolean => needsOfPhase(phase).every(needsGpu);

/** Tokens per second of runs that have trained on a GPU, by what makes runs equally fast. */
export function gpuSpeeds(db: Database): ReadonlyMap<string, number> {
  const speeds = new Map<string, number>();
  for (const { plan, tokens_per_second } of gpuRuns(db))
    speeds.set(keyOf(plan), Math.max(tokens_per_second, speeds.get(keyOf(plan)) ?? 0));
  return speeds;
}

const keyOf = (plan: Plan): string => `${speedKey(plan)} ${plan.precision}`;

/** @param tflops what a GPU keeps up where nothing was measured, in 10^12 of the FLOPs that cost.ts counts */
export function gpuTimeOf(
  plans: readonly Plan[],
  speeds: ReadonlyMap<string, number>,
  tflops: number,
): GpuTime {
  const time: GpuTime = { runs: plans.length, seconds: 0, measured: 0 };
  for (const plan of plans) {
    const known = speeds.get(keyOf(plan));
    if (known !== undefined) time.measured++;
    time.seconds += known === undefined ? trainingFlops(plan) / (tflops * 1e12) : tokenCount(plan) / known;
  }
  return time;
}
