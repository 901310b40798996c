/** What runs measure along the way: their training curves, and the sizes of their activations. */
import { asc, eq, sql } from "drizzle-orm";
import { activationSizes, cells, metrics, phases, sweeps } from "../../schema/database/tables.ts";
import type { ModuleSize } from "../../schema/wire/coordinates.ts";
import type { MetricPoint } from "../../schema/wire/events.ts";
import { amongGiven, type Database, given, prepared, proposed, putRow } from "./connection.ts";

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
      own_metrics: given("own_metrics"),
    })
    .onConflictDoUpdate({
      target: [metrics.run_id, metrics.step],
      set: {
        attempt: proposed("attempt"),
        train_loss: sql`coalesce(${proposed("train_loss")}, ${metrics.train_loss})`,
        validation_loss: sql`coalesce(${proposed("validation_loss")}, ${metrics.validation_loss})`,
        gradient_norm: sql`coalesce(${proposed("gradient_norm")}, ${metrics.gradient_norm})`,
        tokens_per_second: sql`coalesce(${proposed("tokens_per_second")}, ${metrics.tokens_per_second})`,
        own_metrics: sql`coalesce(json_patch(${metrics.own_metrics}, ${proposed("own_metrics")}), ${proposed("own_metrics")}, ${metrics.own_metrics})`,
      },
    })
    .prepare(),
);

/** A step may be told in parts, such as its training loss and then its evaluation. */
export const addPoint = (db: Database, run: string, attempt: number, point: MetricPoint): void =>
  void add(db).run({
    run,
    attempt,
    ...point,
    own_metrics: point.own_metrics === undefined ? null : JSON.stringify(point.own_metrics),
  });

/** By rising step. Workers thin curves to a few hundred points. */
const read = prepared(({ orm }) =>
  orm
    .select({
      step: metrics.step,
      train_loss: metrics.train_loss,
      validation_loss: metrics.validation_loss,
      gradient_norm: metrics.gradient_norm,
      tokens_per_second: metrics.tokens_per_second,
      own_metrics: metrics.own_metrics,
    })
    .from(metrics)
    .where(eq(metrics.run_id, given("run")))
    .orderBy(asc(metrics.step))
    .prepare(),
);

export const readMetrics = (db: Database, run: string): MetricPoint[] =>
  read(db)
    .all({ run })
    .map(({ own_metrics, ...point }) => ({ ...point, ...ownOf(own_metrics) }));

/** Without a prototype: a script, or an address, may call a number whatever objects have of their own. */
const ownOf = (json: string | null): Pick<MetricPoint, "own_metrics"> =>
  json === null ? {} : { own_metrics: Object.assign(Object.create(null), JSON.parse(json)) };

/** Names of what a script has reported beside its losses, as they came. */
export const ownNames = (points: readonly Pick<MetricPoint, "own_metrics">[]): string[] => [
  ...new Set(points.flatMap(({ own_metrics }) => Object.keys(own_metrics ?? {}))),
];

const ofSweep = prepared(({ orm }) =>
  orm
    .selectDistinct({
      run: metrics.run_id,
      step: metrics.step,
      train_loss: metrics.train_loss,
      validation_loss: metrics.validation_loss,
      gradient_norm: metrics.gradient_norm,
      tokens_per_second: metrics.tokens_per_second,
      own_metrics: metrics.own_metrics,
    })
    .from(metrics)
    .innerJoin(cells, eq(cells.run_id, metrics.run_id))
    .innerJoin(phases, eq(phases.id, cells.phase_id))
    .innerJoin(sweeps, eq(sweeps.id, phases.sweep_id))
    .where(eq(sweeps.name, given("sweep")))
    .orderBy(asc(metrics.run_id), asc(metrics.step))
    .prepare(),
);

/** The training curves of a sweep's runs as a table to take away: a row per run and step, a column for every number of scripts' own. */
export function readCurvesTable(db: Database, sweep: string): Record<string, string | number | null>[] {
  const rows = ofSweep(db)
    .all({ sweep })
    .map(({ own_metrics, ...row }) => ({ row, ...ownOf(own_metrics) }));
  const names = ownNames(rows);
  return rows.map(({ row, own_metrics: own }) => ({
    ...row,
    ...Object.fromEntries(names.map((name) => [`metrics.${name}`, own?.[name] ?? null])),
  }));
}

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

const forgetting = prepared(({ orm }) =>
  [metrics, activationSizes].map((table) =>
    orm.delete(table).where(amongGiven(table.run_id, "runs")).prepare(),
  ),
);

/** Of runs that are trained anew from their first step: points of the old curve would stand among the new one's. */
export function forgetMeasurements(db: Database, runs: readonly string[]): void {
  for (const statement of forgetting(db)) statement.run({ runs: JSON.stringify(runs) });
}
