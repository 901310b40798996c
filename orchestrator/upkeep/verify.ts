/** Whether all of a state directory is what it must be: the database, prepared data, and files beside it. */
import { existsSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { RESULT_STATES } from "../../schema/database/states.ts";
import { verifyDataSet } from "../data/prepare.ts";
import { checkDatabase, type Finding, repairDatabase } from "../database/check.ts";
import { keptWeights, usedDataSets } from "../database/keep-and-remove.ts";
import type { Database } from "../database/open.ts";
import { lockHolder, lockState } from "../database/state-lock.ts";
import { appendOnlyDamage, moveAppendOnlyAside } from "../machine/append-only.ts";
import type { StateDirectory } from "../machine/state-directory.ts";
import { findLeftovers, type Leftover, removeLeftovers } from "./leftovers.ts";

export interface Verified {
  /** In the order in which they were looked for. */
  findings: (Finding & { repaired: boolean })[];
}

/**
 * @param repair does what loses nothing: counts and fits are made anew, needless checkpoints removed, damaged data sets taken out
 *   of the way, so that the next command prepares them again, and so is what the private Redis could not read
 */
export async function verifyState(
  db: Database,
  state: StateDirectory,
  options: { repair: boolean; shared: boolean },
): Promise<Verified> {
  const { repair, shared } = options;
  const own = checkDatabase(db);
  const broken = own.some(({ check }) => check === "integrity");
  const mended = repair && own.some((found) => found.repairable);
  if (mended) repairDatabase(db);
  const findings = own.map((found) => ({ ...found, repaired: mended && found.repairable }));
  if (broken) return { findings };

  // A failed run goes on from its checkpoint, once requeued.
  const files = findLeftovers(db, state, { before: Date.now(), shared, ended: RESULT_STATES }).filter(
    ({ kind }) => kind === "checkpoints" || kind === "unfinished data set",
  );
  if (repair) removeLeftovers(db, files);
  for (const { kind, what, why } of files)
    findings.push({ check: checkOf(kind), message: `${what}: ${why}`, repairable: true, repaired: repair });

  for (const hash of usedDataSets(db)) {
    const said = await verifyDataSet(state.data, hash, { remove: repair });
    if (said !== null)
      findings.push({
        check: "data",
        message: `${join(state.data, hash)}: ${said}`,
        repairable: true,
        repaired: repair,
      });
  }
  const damage = lockHolder(state) === undefined ? appendOnlyDamage(state.redis) : undefined;
  if (damage !== undefined) {
    if (repair) moveAside(state);
    findings.push({
      check: "redis",
      message: `${state.redis}: ${damage}; moved aside, the private Redis starts empty, and what waits is queued again`,
      repairable: true,
      repaired: repair,
    });
  }
  for (const { run, path } of keptWeights(db, hostname())) {
    if (existsSync(path)) continue;
    findings.push({
      check: "weights",
      message: `${path}: the weights of ${run} are not there (musweep requeue SWEEP --run ${run} trains them again)`,
      repairable: false,
      repaired: false,
    });
  }
  return { findings };
}

/** While no orchestrator starts. */
function moveAside(state: StateDirectory): void {
  const release = lockState(state);
  try {
    moveAppendOnlyAside(state.redis);
  } finally {
    release();
  }
}

const checkOf = (kind: Leftover["kind"]): string => (kind === "checkpoints" ? "checkpoints" : "data");
