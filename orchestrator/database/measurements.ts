/** What runs measure along the way: their training curves, and the sizes of their activations. */
import { asc, eq, sql } from "drizzle-orm";
import { activationSizes, metrics } from "../../schema/database/tables.ts";
import type { ModuleSize } from "../../schema/wire/coordinates.ts";
import type { MetricPoint } from "../../schema/wire/events.ts";
import { type Database, given, prepared, proposed, putRow } from "./connection.ts";

const add = prepared(({ orm }) =>
  orm
    .insert(metrics)
    .values({
      run_id: given("run"),
      step: given("step"),
      attempt: given("attempt"),
      train_loss: given("train_loss"),
      validation_loss: given("validation_loss"),
      gradient_norm: given("gradient_norm"),
      tokens_per_second: given("tokens_per_second"),
    })
    .onConflictDoUpdate({
      target: [metrics.run_id, metrics.step],
      set: {
        attempt: proposed("attempt"),
        train_loss: sql`coalesce(${proposed("train_loss")}, ${metrics.train_loss})`,
        validation_loss: sql`coalesce(${proposed("validation_loss")}, ${metrics.validation_loss})`,
        gradient_norm: sql`coalesce(${proposed("gradient_norm")}, ${metrics.gradient_norm})`,
        tokens_per_second: sql`coalesce(${proposed("tokens_per_second")}, ${metrics.tokens_per_second})`,
      },
    })
    .prepare(),
);

/** A step may be told in parts, such as its training loss and then its evaluation. */
export const addPoint = (db: Database, run: string, attempt: number, point: MetricPoint): void =>
  void add(db).run({ run, attempt, ...point });

/** By rising step. Workers thin curves to a few hundred points. */
const read = prepared(({ orm }) =>
  orm
    .select({
      step: metrics.step,
      train_loss: metrics.train_loss,
      validation_loss: metrics.validation_loss,
      gradient_norm: metrics.gradient_norm,
      tokens_per_second: metrics.tokens_per_second,
    })
    .from(metrics)
    .where(eq(metrics.run_id, given("run")))
    .orderBy(asc(metrics.step))
    .prepare(),
);

export const readMetrics = (db: Database, run: string): MetricPoint[] => read(db).all({ run });

/** The layer of what a model has once: a key holds no NULL. */
const ONCE = -1;

const putSize = putRow(activationSizes);

export const addSize = (
  db: Database,
  of: { run: string; attempt: number; step: number },
  size: ModuleSize,
): void =>
  putSize(db, { ...size, run_id: of.run, attempt: of.attempt, step: of.step, layer: size.layer ?? ONCE });

const sizes = prepared(({ orm }) =>
  orm
    .select({
      step: activationSizes.step,
      module: activationSizes.module,
      layer: sql<number | null>`nullif(${activationSizes.layer}, ${sql.raw(String(ONCE))})`,
      size: activationSizes.size,
      change: activationSizes.change,
    })
    .from(activationSizes)
    .where(eq(activationSizes.run_id, given("run")))
    .orderBy(asc(activationSizes.step), asc(activationSizes.layer))
    .prepare(),
);

/** By step: updates done, from 0. */
export function readSizes(db: Database, run: string): (readonly ModuleSize[] | undefined)[] {
  const steps: ModuleSize[][] = [];
  for (const { step, ...size } of sizes(db).all({ run })) {
    const modules = steps[step] ?? [];
    steps[step] = modules;
    modules.push(size);
  }
  return steps;
}
