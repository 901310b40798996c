/** Disks that take no more, in the middle of a sweep: one sentence, exit code 3, and with room again it goes on. */
import { appendFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { openDatabase } from "../../orchestrator/database/open.ts";
import { sqliteOf } from "../support/database.ts";
import { freePort, Musweep, musweep, sql, succeed, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";
import { mayMount, smallDisk } from "../support/small-disk.ts";

// Many commands each, on machines that may be busy.
vi.setConfig({ testTimeout: 180_000 });

const SWEEP = { steps: 600, seeds: "[1, 2]" };
const finished = (place: Scratch) =>
  sql<{ n: number }>(place, "SELECT count(*) AS n FROM runs WHERE state = 'finished'")[0]!.n;

describe.runIf(mayMount("a full disk"))("a disk that is full", () => {
  it("ends `run` in the middle of its sweep; the same command goes on when there is room", async () => {
    const place = scratch();
    const disk = smallDisk(join(place.directory, ".musweep"), 32);
    const file = writeSweep(place, SWEEP);
    const run = new Musweep(place, ["run", file, "--slots", "1", "--checkpoint-seconds", "1"]);
    await until(() => expect(finished(place)).toBeGreaterThan(1));
    disk.fill();
    const ended = await run.ended;
    expect(ended).toMatchObject({ code: 3, stdout: "" });
    // Whichever meets it first: the database, Redis or the trainer's checkpoint.
    expect(ended.stderr).toMatch(
      /^(no space is left on the disk of|Redis cannot write to its disk|the disk takes no more checkpoints)/m,
    );
    expect(ended.stderr).not.toMatch(/bug|at .*\.js:/);
    disk.clear();
    await succeed(place, "run", file);
    expect(sql(place, "SELECT state, count(*) AS n FROM runs GROUP BY 1")).toEqual([
      { state: "finished", n: 12 },
    ]);
    const db = openDatabase(join(disk.path, "musweep.db"), { readonly: true });
    expect(sqliteOf(db).pragma("integrity_check", { simple: true })).toBe("ok");
    db.close();
  });

  it("before anything is there, and one that is read-only, are said too", async () => {
    const place = scratch();
    const disk = smallDisk(join(place.directory, ".musweep"), 1);
    const file = writeSweep(place);
    disk.fill();
    const full = await musweep(place, "run", file);
    expect(full).toMatchObject({ code: 3, stderr: expect.stringMatching(/no space is left|disk full/) });
    expect(full.stderr).not.toMatch(/bug/);
    // Nothing half written is left to be in the way of the same command.
    const inside = join(".musweep", "sweep.yaml");
    expect(await musweep(place, "init", inside)).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/no space is left/),
    });
    disk.clear();
    await succeed(place, "init", inside);
    disk.setReadOnly(true);
    expect(await musweep(place, "init", `${inside}.2`)).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/read-only/),
    });
    const deep = ["--dir", join(".musweep", "a", "b")];
    expect(await musweep(place, "submit", file, ...deep)).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/read-only/),
    });
    for (const args of [
      ["run", file],
      ["serve", "--port", `${await freePort()}`],
      ["submit", file],
    ]) {
      const ended = await musweep(place, ...args);
      expect(ended, args[0]).toMatchObject({
        code: 3,
        stderr: expect.stringMatching(/read-only|Check that the directory is writable/),
      });
      expect(ended.stderr).not.toMatch(/bug/);
    }
    disk.setReadOnly(false);
  });

  it("is called full by what only reads, too, when not a byte is left for what SQLite makes beside its file", async () => {
    const place = scratch();
    const disk = smallDisk(join(place.directory, ".musweep"), 8);
    await succeed(place, "submit", writeSweep(place));
    disk.fill();
    for (const args of [["status"], ["sql", "SELECT 1"], ["prune", "--yes"]]) {
      const ended = await musweep(place, ...args);
      expect(ended, args[0]).toMatchObject({
        code: 3,
        stderr: expect.stringMatching(/^no space is left on the disk of/m),
      });
    }
  });

  it("ends `serve`, which does not live on without its Redis", async () => {
    const place = scratch();
    const disk = smallDisk(join(place.directory, ".musweep"), 32);
    const serve = new Musweep(place, ["serve", "--port", `${await freePort()}`]);
    await serve.says(/musweep is at/);
    const worker = new Musweep(place, ["worker", "--slots", "1"]);
    await worker.says(/worker ready/);
    await succeed(place, "submit", writeSweep(place, SWEEP));
    await until(() => expect(finished(place)).toBeGreaterThan(0));
    disk.fill();
    const ended = await serve.ended;
    expect(ended).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/no space is left|cannot write to its disk/),
    });
    expect(ended.stderr).not.toMatch(/bug/);
    await worker.signal("SIGTERM");
    // As a service manager does, and again where the database and its Redis are there but nothing more can be written.
    const again = await musweep(place, "serve", "--port", `${await freePort()}`);
    expect(again).toMatchObject({ code: 3, stderr: expect.stringMatching(/no space is left|cannot write/) });
    expect(again.stderr).not.toMatch(/bug/);
  });
});

describe.runIf(mayMount("a worker whose disk is full"))("a disk for checkpoints that is full", () => {
  it("ends the `worker` that has it, and `run`, and costs no run its attempts; others go on", async () => {
    const place = scratch();
    const disk = smallDisk(join(place.directory, "shared"), 8);
    const file = writeSweep(place, SWEEP);
    // So that each run writes something, however fast it is.
    appendFileSync(join(place.directory, file), "keep_weights: true\n");
    const shared = ["--slots", "1", "--shared", "shared"];
    await succeed(place, "data", "prepare", "moby-dick", "--shared", "shared");
    disk.fill();
    const run = await musweep(place, "run", file, ...shared);
    expect(run).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^the disk takes no more checkpoints/m),
    });
    const serve = new Musweep(place, ["serve", "--port", `${await freePort()}`]);
    await serve.says(/musweep is at/);
    const worker = await new Musweep(place, ["worker", ...shared]).ended;
    expect(worker).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^the disk takes no more checkpoints/m),
    });
    expect(sql(place, "SELECT count(*) AS n FROM runs WHERE state = 'failed'")).toEqual([{ n: 0 }]);
    disk.clear();
    const other = new Musweep(place, ["worker", ...shared]);
    await until(() => expect(finished(place)).toBe(12), 120_000);
    expect(sql(place, "SELECT DISTINCT outcome FROM attempts WHERE outcome <> 'finished'")).toEqual([
      { outcome: "released" },
    ]);
    await other.signal("SIGTERM");
    await serve.signal("SIGTERM");
  });
});

describe("a database", () => {
  it.each([
    ["damaged in the middle", (bytes: Buffer) => bytes.fill(0xa5, 4096 * 3, 4096 * 6)],
    ["cut short", (bytes: Buffer) => bytes.subarray(0, 5000)],
    ["that is something else", () => Buffer.from("a note to myself ".repeat(100))],
  ])("%s is named with what to do, exit code 3, by what reads and by what writes", async (_what, damage) => {
    const place = scratch();
    await succeed(place, "submit", writeSweep(place));
    const path = join(place.directory, ".musweep", "musweep.db");
    const db = openDatabase(path);
    sqliteOf(db).pragma("wal_checkpoint(TRUNCATE)");
    const bytes = sqliteOf(db).serialize();
    db.close();
    writeFileSync(path, damage(bytes));
    for (const args of [["status"], ["report", "tiny"], ["submit", "tiny.yaml"], ["run", "tiny.yaml"]]) {
      const ended = await musweep(place, ...args);
      expect(ended, args[0]).toMatchObject({
        code: 3,
        stdout: "",
        stderr: expect.stringMatching(/^damaged/m),
      });
      expect(ended.stderr).toMatch(/musweep backup/);
      expect(ended.stderr).not.toMatch(/bug/);
    }
  });
});
