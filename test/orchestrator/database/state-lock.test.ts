/** The lock of a state directory: one orchestrator at a time, and none for ever. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { lockHolder, lockState } from "../../../orchestrator/database/state-lock.ts";
import { programAt } from "../../../orchestrator/machine/program.ts";
import { type StateDirectory, stateDirectory } from "../../../orchestrator/machine/state-directory.ts";
import { scratch } from "../../support/scratch.ts";

function freshState(): StateDirectory {
  const state = stateDirectory({ dir: scratch().directory });
  mkdirSync(state.root, { recursive: true });
  return state;
}

/** A process that holds the directory until it is killed. */
async function holder({ root }: StateDirectory): Promise<ChildProcess> {
  const program = programAt("../../test/orchestrator/database/fixtures/hold-lock");
  const child = spawn(process.execPath, [...program, root], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child, "message");
  return child;
}

/** Taken by this process, and free again afterwards. */
function expectFree(state: StateDirectory): void {
  expect(lockHolder(state)).toBeUndefined();
  const release = lockState(state);
  expect(lockHolder(state)).toBe(process.pid);
  release();
  expect(lockHolder(state)).toBeUndefined();
}

describe("the lock of a state directory", () => {
  it("is held while its process lives, stopped or not, and by nobody once it was killed", async () => {
    const state = freshState();
    const other = await holder(state);
    expect(lockHolder(state)).toBe(other.pid);
    other.kill("SIGSTOP");
    expect(lockHolder(state)).toBe(other.pid);
    expect(() => lockState(state)).toThrow(
      expect.objectContaining({
        code: "state-locked",
        kind: "conflict",
        message: expect.stringContaining(`${other.pid}`),
      }),
    );
    other.kill("SIGKILL");
    await once(other, "exit");
    expectFree(state);
  });

  it("is held against this process too, and stays held when this process looks who holds it", async () => {
    const state = freshState();
    const release = lockState(state);
    expect(() => lockState(state)).toThrow(expect.objectContaining({ code: "state-locked" }));
    expect(lockHolder(state)).toBe(process.pid);
    const other = spawn(
      process.execPath,
      [...programAt("../../test/orchestrator/database/fixtures/hold-lock"), state.root],
      { stdio: ["ignore", "ignore", "pipe", "ipc"] },
    );
    expect(await once(other, "exit")).toEqual([4, null]);
    release();
    expectFree(state);
  });

  it("does not take a process for the holder that has the holder's id by now", async () => {
    const state = freshState();
    const killed = await holder(state);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    // As if the id had been given to a process that runs: what the file says of it is this one's.
    const file = readFileSync(state.lock);
    file.writeUInt32BE(process.ppid, 60);
    writeFileSync(state.lock, file);
    expectFree(state);
  });

  it.each(["", "12345", "x".repeat(5000)])("in a file that is none of this version's is free: %#", (text) => {
    const state = freshState();
    writeFileSync(state.lock, text);
    expectFree(state);
  });

  it("in a directory that is not there, or that nobody made, is free", () => {
    const state = stateDirectory({ dir: join(scratch().directory, "not", "there") });
    expectFree(state);
  });
});
