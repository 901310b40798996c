/** Two processes begin in a new state directory at once: each finds what the other has half made, and neither fails of it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { openDatabase } from "../../../orchestrator/database/open.ts";
import { lockHolder, lockState } from "../../../orchestrator/database/state-lock.ts";
import { programAt } from "../../../orchestrator/machine/program.ts";
import { type StateDirectory, stateDirectory } from "../../../orchestrator/machine/state-directory.ts";
import { sqliteOf } from "../../support/database.ts";
import { musweep, succeed, writeSweep } from "../../support/musweep.ts";
import { type Scratch, scratch } from "../../support/scratch.ts";

const freshPlace = (): { place: Scratch; state: StateDirectory } => {
  const place = scratch();
  const state = stateDirectory({ dir: join(place.directory, ".musweep") });
  mkdirSync(state.root);
  return { place, state };
};

/** Another process that executes one part of these statements now, and the other half a second later. */
async function halfWay(file: string, before: string, after: string): Promise<ChildProcess> {
  const program = programAt("../../test/orchestrator/database/fixtures/in-between");
  const child = spawn(process.execPath, [...program, file, before, after], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child, "message");
  return child;
}

describe("a lock that is held, but its file does not say by whom", () => {
  const TAKEN = "PRAGMA journal_mode = MEMORY; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE";
  const SAID = "PRAGMA user_version = PID; COMMIT";

  it("is of the process that says so a moment later", async () => {
    const { state } = freshPlace();
    const other = await halfWay(state.lock, TAKEN, SAID);
    expect(statSync(state.lock).size).toBe(0);
    expect(lockHolder(state)).toBe(other.pid);
  });

  it("is of nobody when it is let go a moment later", async () => {
    const { state } = freshPlace();
    await halfWay(state.lock, "BEGIN EXCLUSIVE", "ROLLBACK");
    expect(lockHolder(state)).toBeUndefined();
    lockState(state)();
  });

  it("is held by somebody, when he says nothing in seconds", async () => {
    const { state } = freshPlace();
    const other = await halfWay(state.lock, TAKEN, SAID);
    other.kill("SIGSTOP");
    expect(lockHolder(state)).toBe(0);
    expect(() => lockState(state)).toThrow(
      expect.objectContaining({
        code: "state-locked",
        message: expect.stringMatching(/in use by another musweep$/),
      }),
    );
  });
});

describe("a database that another process has just begun to make", () => {
  it("is opened to write as soon as that one lets it go", async () => {
    const { state } = freshPlace();
    await halfWay(state.database, "BEGIN IMMEDIATE", "COMMIT");
    const db = openDatabase(state.database);
    onTestFinished(() => db.close());
    expect(sqliteOf(db).pragma("journal_mode", { simple: true })).toBe("wal");
  });

  it("has no sweeps yet for who reads it, and takes those of who writes", async () => {
    const { place, state } = freshPlace();
    const release = lockState(state);
    onTestFinished(release);
    writeFileSync(state.database, "");
    expect(await musweep(place, "status")).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(`no sweeps here yet: ${state.database} is empty`),
    });
    await succeed(place, "submit", writeSweep(place));
    expect((await succeed(place, "status")).stdout).toContain("tiny");
  });

  it("is made once, whoever comes first", async () => {
    const { place } = freshPlace();
    const file = writeSweep(place);
    const ended = await Promise.all(Array.from({ length: 6 }, () => musweep(place, "submit", file)));
    expect(ended.map(({ code, stderr }) => [code, stderr])).toEqual(ended.map(() => [0, ""]));
  });
});
