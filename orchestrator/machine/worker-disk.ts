import { MusweepError } from "../../schema/wire/errors.ts";
import type { StateDirectory } from "./state-directory.ts";

/** Why a worker has ended by itself, having given back what it trained: its exit code says that what it needs is not there. */
export const workerDisk = ({ checkpoints, weights }: StateDirectory): MusweepError =>
  new MusweepError(
    "worker-disk",
    `the disk takes no more checkpoints or weights (${checkpoints}, ${weights})`,
    {
      kind: "unavailable",
      remedy:
        "Free some disk space, or make it writable: what is done is kept, and the same command goes on from there.",
    },
  );
