/** The lock of a state directory: one orchestrator at a time, and none for ever. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { describe, expect, it, onTestFinished } from "vitest";
import { lockHolder, lockState, stateDirectory } from "../../../orchestrator/state.ts";
import { MusweepError } from "../../../schema/errors.ts";
import { scratch } from "../../support/scratch.ts";

function lockedBy(pid: number | string) {
  const state = stateDirectory({ dir: scratch().directory });
  mkdirSync(state.root, { recursive: true });
  writeFileSync(state.lock, String(pid));
  return state;
}

describe("the lock of a state directory", () => {
  it("is held while its process lives", async () => {
    const other = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    onTestFinished(() => void other.kill("SIGKILL"));
    const state = lockedBy(other.pid!);
    expect(lockHolder(state)).toBe(other.pid);
    expect(() => lockState(state)).toThrow(MusweepError);
    other.kill("SIGKILL");
    await once(other, "exit");
    expect(lockHolder(state)).toBeUndefined();
    lockState(state)();
    expect(existsSync(state.lock)).toBe(false);
  });

  it("left by a killed process with this one's id, as in a restarted container, is taken over", () => {
    const state = lockedBy(process.pid);
    lockState(state)();
  });

  it("that says nothing is taken over", () => {
    lockState(lockedBy("not a process"))();
  });
});
