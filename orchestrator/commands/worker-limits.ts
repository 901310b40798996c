/** The options of `worker` that say when it stops of itself, as jobs of a cluster do. */
import type { Command } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { MIN_GRACE_SECONDS } from "../../schema/wire/worker.ts";
import { parseCount, parseSeconds } from "./common.ts";
import { GRACE_SECONDS, type Limits } from "./worker-options.ts";

export interface LimitOptions {
  untilEmpty?: boolean;
  maxRuns?: number;
  maxTime?: number;
  grace: number;
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400 };

export const limitOptions = (command: Command): Command =>
  command
    .option(
      "--until-empty",
      "stop when nothing waits that it can train: after ten seconds; where what waits is not for this host, after a minute",
    )
    .option("--max-runs <n>", "stop after so many runs", parseCount("--max-runs"))
    .option(
      "--max-time <time>",
      "stop before so long has passed: 45m, 1h30m, 2d, or 12:00:00 as Slurm writes it (default: by $SLURM_JOB_END_TIME)",
      parseTime,
    )
    .option(
      "--grace <seconds>",
      "from a signal to the end: what cannot be checkpointed by then goes on from its last checkpoint",
      parseGrace,
      GRACE_SECONDS,
    );

/** @returns seconds. @throws MusweepError bad-option */
function parseTime(text: string): number {
  const clock = /^(?:(\d+)-)?(?:(\d+):)?(\d+):(\d{2})$/.exec(text);
  if (clock) {
    const [days, hours, minutes, seconds] = clock.slice(1).map((part) => Number(part ?? 0));
    return ((days! * 24 + hours!) * 60 + minutes!) * 60 + seconds!;
  }
  const parts = [...text.matchAll(/(\d+)([smhd])/g)];
  const seconds = parts.reduce(
    (sum, [, n, unit]) => sum + Number(n) * SECONDS[unit as keyof typeof SECONDS],
    0,
  );
  if (seconds > 0 && parts.map(([part]) => part).join("") === text) return seconds;
  throw new MusweepError(
    "bad-option",
    `--max-time wants a time such as 45m, 1h30m or 12:00:00, not "${text}"`,
    {
      kind: "usage",
    },
  );
}

function parseGrace(text: string): number {
  const seconds = parseSeconds("--grace")(text);
  if (seconds >= MIN_GRACE_SECONDS) return seconds;
  throw new MusweepError(
    "bad-option",
    `--grace ${text}: a worker needs ${MIN_GRACE_SECONDS} s to stop in order`,
    {
      kind: "usage",
    },
  );
}

/** @param environment SLURM_JOB_END_TIME: Unix time, seconds, as Slurm tells its jobs */
export function limitsOf(
  { untilEmpty, maxRuns, maxTime, grace }: LimitOptions,
  environment: NodeJS.ProcessEnv = process.env,
  now = Date.now(),
): Partial<Limits> {
  const slurm = Number(environment.SLURM_JOB_END_TIME);
  const ends = [
    ...(maxTime === undefined ? [] : [now + maxTime * 1000]),
    ...(slurm > 0 ? [slurm * 1000] : []),
  ];
  return {
    grace,
    ...(untilEmpty ? { untilEmpty } : {}),
    ...(maxRuns === undefined ? {} : { maxRuns }),
    ...(ends.length === 0 ? {} : { endsAt: Math.min(...ends) }),
  };
}
