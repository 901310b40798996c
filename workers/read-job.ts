/** What a worker takes out of Redis: jobs and the plans of their runs, as anything that can write there has put them. */
import { type Job as BullJob, UnrecoverableError } from "bullmq";
import { z } from "zod";
import { dispatchSchema, type Job, jobSchema, refusal } from "../schema/wire/job.ts";
import { packageVersion } from "../schema/wire/package.ts";
import { type RunPlan, runIdOf } from "../schema/wire/plan.ts";

/** Thrown by whatever comes out of Redis and is not what an orchestrator writes: no attempt at anything is made. */
export const refused = (why: string): UnrecoverableError => new UnrecoverableError(refusal(why));

export function readJob(job: BullJob<Job>): Job {
  const parsed = jobSchema.safeParse(job.data);
  if (!parsed.success)
    throw refused(`the job is none of an orchestrator's (${parsed.error.issues[0]?.message})`);
  return parsed.data;
}

/**
 * A run is its plan: one that does not hash to the run's id is another run's, whoever wrote it there.
 * @returns another version's name where one has written it
 */
export function readDispatch(run: string, stored: string): { plan: RunPlan; keep_weights: boolean } | string {
  const unreadable = (why: string): UnrecoverableError =>
    refused(`the plan of ${run} cannot be read: ${why}`);
  let json: unknown;
  try {
    json = JSON.parse(stored);
  } catch (error) {
    throw unreadable((error as Error).message);
  }
  const { version } = z.object({ version: z.string().optional() }).catch({}).parse(json);
  if (version !== undefined && version !== packageVersion()) return version;
  const parsed = dispatchSchema.safeParse(json);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw unreadable(`${path.join(".")}: ${message}`);
  }
  const id = runIdOf(parsed.data.plan);
  if (id !== run) throw refused(`the plan of ${run} is another run's, ${id}`);
  return parsed.data;
}
