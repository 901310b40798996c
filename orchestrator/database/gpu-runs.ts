/** Runs of the model that ships that have trained on GPUs: how fast they were. */
import { and, desc, eq, gt, like } from "drizzle-orm";
import { attempts, plans, runs } from "../../schema/database/tables.ts";
import { isScriptPlan, type Plan, runPlanSchema } from "../../schema/wire/plan.ts";
import { type Database, prepared } from "./connection.ts";

/** The last ones say enough of every shape. */
const LOOKED_AT = 500;

const trained = prepared(({ orm }) =>
  orm
    .select({ plan: plans.plan, tokens: runs.tokens, seconds: runs.seconds })
    .from(runs)
    .innerJoin(attempts, and(eq(attempts.run_id, runs.id), eq(attempts.attempt, runs.attempt)))
    .innerJoin(plans, eq(plans.run_id, runs.id))
    .where(and(eq(runs.state, "finished"), like(attempts.device, "cuda%"), gt(runs.seconds, 0)))
    .orderBy(desc(runs.updated_at))
    .limit(LOOKED_AT)
    .prepare(),
);

export const gpuRuns = (db: Database): { plan: Plan; tokens_per_second: number }[] =>
  trained(db)
    .all()
    .flatMap(({ plan: text, tokens, seconds }) => {
      const plan = runPlanSchema.parse(JSON.parse(text));
      return isScriptPlan(plan) ? [] : [{ plan, tokens_per_second: (tokens ?? 0) / seconds! }];
    });
