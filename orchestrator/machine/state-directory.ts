/** The state directory (--dir, default ./.musweep): where everything of one musweep lies. */
import { join, resolve } from "node:path";

export interface StateDirectory {
  readonly root: string;
  readonly database: string;
  /** Tokenized data sets, by content hash. */
  readonly data: string;
  readonly checkpoints: string;
  readonly weights: string;
  readonly logs: string;
  /** The private Redis. */
  readonly redis: string;
  /** Keeps two orchestrators from collecting into the same database (orchestrator/database/state-lock.ts). */
  readonly lock: string;
  /** Of the dashboard (token.ts). */
  readonly token: string;
  /** Where that listens (dashboard-address.ts). */
  readonly dashboard: string;
}

/**
 * @param options dir: the state directory; shared: where data, checkpoints and weights lie instead, for machines that share
 *   a file system (SQLite itself wants a local disk)
 */
export function stateDirectory(options: { dir: string; shared?: string }): StateDirectory {
  const root = resolve(options.dir);
  const at = (name: string): string => join(root, name);
  const shared = (name: string): string => join(resolve(options.shared ?? root), name);
  return {
    root,
    database: at("musweep.db"),
    data: shared("data"),
    checkpoints: shared("checkpoints"),
    weights: shared("weights"),
    logs: at("logs"),
    redis: at("redis"),
    lock: at("orchestrator.lock"),
    token: at("token"),
    dashboard: at("dashboard.url"),
  };
}

/** What is written there for as long as musweep runs. */
export const logsOf = ({ logs, redis }: StateDirectory): string[] => [
  join(logs, "orchestrator.log"),
  join(logs, "worker.log"),
  join(redis, "redis.log"),
];
