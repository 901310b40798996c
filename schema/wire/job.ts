/** What the orchestrator puts on the queue: names of queues and keys, the job, and what lies beside it. */
import { z } from "zod";
import type { Need } from "./need.ts";
import { packageVersion } from "./package.ts";
import { runIdSchema, runPlanSchema } from "./plan.ts";
import { shapeKeySchema } from "./shape-key.ts";

/** One BullMQ queue for each need. */
export const queueName = (need: Need): string => `musweep-for-${need}`;
/** Pub/sub channel on which the orchestrator says that it has put jobs on a queue (message: the need). */
export const WORK_CHANNEL = "musweep:work";
/** Hash: job id → what the worker needs beside the job (see dispatchSchema). Jobs themselves stay small. */
export const DISPATCH_KEY = "musweep:dispatch";
/** Pub/sub channel on which the orchestrator asks workers to cancel a run (message: run id). */
export const CANCEL_CHANNEL = "musweep:cancel";

export const jobSchema = z.strictObject({
  run: runIdSchema,
  /** How many times the orchestrator has put this run on the queue. With the pick-up count it makes the attempt number. */
  dispatch: z.int().positive(),
  /** Runs of one shape may be trained together; one without is trained alone. */
  shape: shapeKeySchema.optional(),
});
export type Job = z.infer<typeof jobSchema>;

export const jobId = (run: string, dispatch: number): string => `${run}-${dispatch}`;

/**
 * The attempt number that fences writes: later pick-ups, and later dispatches above all, win.
 * @param pickups BullMQ's attemptsStarted, from 1
 */
export const attemptNumber = (dispatch: number, pickups: number): number =>
  dispatch * 1000 + Math.min(pickups, 999);

const REFUSED = "refused: ";
/** Of why a job ended, so much is kept: whoever can write to Redis can write more. */
export const REASON_CHARACTERS = 2000;

/** How a job ends that is not what an orchestrator writes, or cannot be read: no attempt at anything is made. */
export const refusal = (why: string): string => `${REFUSED}${why}`;
export const isRefusal = (reason: string): boolean => reason.startsWith(REFUSED);

/** The dispatch that an attempt number belongs to. */
export const dispatchOf = (attempt: number): number => Math.floor(attempt / 1000);

export const dispatchSchema = z.strictObject({
  /** Of the musweep that wrote it: a worker of another one gives it back unread. */
  version: z.string(),
  plan: runPlanSchema,
  keep_weights: z.boolean(),
});

/** @param plan canonical JSON, as the database keeps it: it goes into the dispatch as it is */
export const dispatchText = (plan: string, keepWeights: boolean): string =>
  `{"version":${JSON.stringify(packageVersion())},"plan":${plan},"keep_weights":${keepWeights}}`;
