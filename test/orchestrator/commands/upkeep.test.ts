/** What operators do: say something of a sweep, put it away, remove it, prune, verify, back up; by real commands on a trained sweep. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openDatabase } from "../../../orchestrator/database/open.ts";
import { sqliteOf } from "../../support/database.ts";
import { Musweep, musweep, sql, succeed, writeSweep } from "../../support/musweep.ts";
import { type Scratch, scratch, until } from "../../support/scratch.ts";

/** Two sweeps that share three of their runs, trained. Of the tests of a group, each goes on where the one before it was. */
async function train(place: Scratch): Promise<void> {
  await succeed(place, "run", writeSweep(place, { name: "a", sparsity: "[0]", steps: 5 }));
  await succeed(place, "run", writeSweep(place, { name: "b", sparsity: "[0, 0.5]", steps: 5 }));
}

const state = (place: Scratch, ...path: string[]): string => join(place.directory, ".musweep", ...path);
const json = async (place: Scratch, ...args: string[]) =>
  JSON.parse((await succeed(place, ...args, "--json")).stdout);
const write = (place: Scratch, query: string): void => {
  const db = openDatabase(state(place, "musweep.db"));
  sqliteOf(db).exec(query);
  db.close();
};

const TRAIN_MS = 120_000;

describe("a sweep", () => {
  const place = scratch(afterAll);
  beforeAll(() => train(place), TRAIN_MS);

  it("has a note, which status shows", async () => {
    await succeed(place, "note", "a", "first try\n");
    expect((await succeed(place, "note", "a")).stdout).toBe("first try\n");
    expect((await succeed(place, "status")).stdout).toContain("a: first try");
    expect(await musweep(place, "note", "a", "x".repeat(2001))).toMatchObject({ code: 2 });
    expect(await json(place, "note", "a", "--clear")).toEqual({ sweep: "a", note: null });
  });

  it("has tags, by which status finds it", async () => {
    expect(await json(place, "tag", "a", "warm", "first", "warm")).toEqual({
      sweep: "a",
      tags: ["first", "warm"],
    });
    await succeed(place, "tag", "b", "warm");
    expect((await json(place, "status")).map((s: { tags: string[] }) => s.tags)).toEqual([
      ["warm"],
      ["first", "warm"],
    ]);
    const found = await json(place, "status", "--tag", "first");
    expect(found.map((s: { sweep: string }) => s.sweep)).toEqual(["a"]);
    expect(sql(place, "SELECT sweep, tag FROM tags ORDER BY 1, 2")).toHaveLength(3);
    expect((await succeed(place, "tag", "a", "warm", "--remove")).stdout).toBe("first\n");
    expect(await musweep(place, "tag", "a", "x".repeat(41))).toMatchObject({ code: 2 });
    expect((await succeed(place, "status", "--tag", "none")).stdout).toContain("No sweep has the tag none");
  });

  it("is put away and brought back, and can be asked about meanwhile", async () => {
    await succeed(place, "archive", "a");
    expect((await json(place, "status")).map((s: { sweep: string }) => s.sweep)).toEqual(["b"]);
    expect(await json(place, "status", "--all")).toHaveLength(2);
    await succeed(place, "report", "a");
    await succeed(place, "archive", "a", "--undo");
    expect(await json(place, "status")).toHaveLength(2);
  });

  it("is removed when that is confirmed, without what another one wants", async () => {
    // Nobody can be asked here.
    expect(await musweep(place, "rm", "b")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/Add --yes/),
    });
    expect(sql(place, "SELECT name FROM sweeps ORDER BY 1")).toEqual([{ name: "a" }, { name: "b" }]);
    expect(await json(place, "rm", "b", "--yes")).toMatchObject({ sweep: "b", runs: 3, kept: 3, held: 0 });
    expect(sql(place, "SELECT count(*) AS n FROM run_results")).toEqual([{ n: 3 }]);
    for (const table of ["runs", "plans", "attempts"])
      expect(sql(place, `SELECT count(*) AS n FROM ${table}`), table).toEqual([{ n: 3 }]);
    expect(sql(place, "SELECT count(DISTINCT run_id) AS n FROM metrics")).toEqual([{ n: 3 }]);
    await succeed(place, "verify");
  });

  it("that was removed is unknown, comes again from nothing, and is not put away before it is trained", async () => {
    expect(await musweep(place, "report", "b")).toMatchObject({ code: 2 });
    expect(await json(place, "submit", "b.yaml")).toMatchObject({ runs: 6, done: 3, new_runs: 3 });
    expect(await musweep(place, "archive", "b")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/musweep cancel b/),
    });
  });

  it("is put away no longer when it is trained again", async () => {
    await succeed(place, "archive", "a");
    await succeed(place, "requeue", "a", "--all");
    expect((await json(place, "status")).map((s: { sweep: string }) => s.sweep)).toContain("a");
  });
});

describe("`verify`", () => {
  const place = scratch(afterAll);
  beforeAll(() => train(place), TRAIN_MS);

  it("finds each thing that does not hold, and mends what loses nothing", async () => {
    expect(await json(place, "verify")).toEqual({ findings: [], ok: true });
    const [run] = sql<{ id: string }>(place, "SELECT id FROM runs ORDER BY id LIMIT 1");
    const before = sql(
      place,
      "SELECT sweep_id, state, runs, points FROM sweep_counts WHERE runs > 0 ORDER BY 1, 2",
    );
    write(place, "UPDATE sweep_counts SET runs = runs + 1 WHERE state = 'finished' AND sweep_id = 1");
    mkdirSync(state(place, "checkpoints", run!.id), { recursive: true });
    writeFileSync(state(place, "checkpoints", run!.id, "step-000000001.safetensors"), "left");
    const data = state(
      place,
      "data",
      sql<{ hash: string }>(place, "SELECT data_hash AS hash FROM sweeps")[0]!.hash,
    );
    const tokens = readFileSync(join(data, "train.bin"));
    tokens[1000]! ^= 1;
    writeFileSync(join(data, "train.bin"), tokens);
    const redis = state(place, "redis", "appendonlydir");
    writeFileSync(join(redis, readdirSync(redis).find((name) => name.endsWith(".manifest"))!), "");
    const found = await musweep(place, "verify", "--json");
    expect(found.code).toBe(1);
    expect(JSON.parse(found.stdout).findings.map((f: { check: string }) => f.check)).toEqual([
      "counts",
      "checkpoints",
      "data",
      "redis",
    ]);
    const mended = await json(place, "verify", "--repair");
    expect(mended).toMatchObject({ ok: true });
    expect(
      sql(place, "SELECT sweep_id, state, runs, points FROM sweep_counts WHERE runs > 0 ORDER BY 1, 2"),
    ).toEqual(before);
    expect(existsSync(state(place, "checkpoints", run!.id))).toBe(false);
    expect(existsSync(data)).toBe(false);
    expect([redis, `${redis}.damaged-1`].map((path) => existsSync(path))).toEqual([false, true]);
    // An orchestrator that starts removes such checkpoints by itself.
    mkdirSync(state(place, "checkpoints", run!.id));
    await succeed(place, "run", "a.yaml");
    expect(readdirSync(state(place, "checkpoints"))).toEqual([]);
    expect(await json(place, "verify")).toEqual({ findings: [], ok: true });
  });

  it("leaves the checkpoint of a failed run, which goes on from it, and data that is being prepared", async () => {
    const [run] = sql<{ id: string }>(place, "SELECT id FROM runs ORDER BY id LIMIT 1");
    write(place, `UPDATE runs SET state = 'failed' WHERE id = '${run!.id}'`);
    const kept = [
      state(place, "checkpoints", run!.id),
      state(place, "data", `.preparing-${hostname()}-${process.pid}-0123456789ab`),
      state(place, "data", ".preparing-elsewhere-1-0123456789ab"),
    ];
    const left = state(place, "data", `.preparing-${hostname()}-4194303-0123456789ab`);
    for (const path of [...kept, left]) mkdirSync(path);
    const { findings } = await json(place, "verify", "--repair");
    expect(findings.map((f: { message: string }) => f.message).join()).toContain(left);
    expect(kept.map((path) => existsSync(path))).toEqual([true, true, true]);
    expect(existsSync(left)).toBe(false);
    for (const path of kept) rmdirSync(path);
    write(place, `UPDATE runs SET state = 'finished' WHERE id = '${run!.id}'`);
  });

  it("says what cannot be mended", async () => {
    const [run] = sql<{ id: string }>(place, "SELECT id FROM runs ORDER BY id LIMIT 1");
    write(place, `UPDATE runs SET validation_loss = validation_loss + 1 WHERE id = '${run!.id}'`);
    write(place, `UPDATE plans SET plan = replace(plan, '"seed":1', '"seed":2') WHERE run_id = '${run!.id}'`);
    const wrong = await musweep(place, "verify", "--repair");
    expect(wrong).toMatchObject({ code: 1 });
    expect(wrong.stdout).toContain(
      `attempt: results that are not those of their run's last attempt: ${run!.id}`,
    );
    expect(wrong.stdout).toContain(`plan: runs that are not their plan's: ${run!.id}`);
  });
});

describe("`prune`", () => {
  const place = scratch(afterAll);
  beforeAll(async () => {
    await train(place);
    await succeed(place, "submit", writeSweep(place, { name: "b", sparsity: "[0]", steps: 5 }));
    await succeed(place, "data", "prepare", "moby-dick", "--validation-fraction", "0.2");
  }, TRAIN_MS);

  it("lists what nobody needs, removes it when told to, and nothing else", async () => {
    const orphan = "r0123456789abcdef0123";
    mkdirSync(state(place, "checkpoints", orphan), { recursive: true });
    writeFileSync(state(place, "checkpoints", orphan, "x"), "1234");
    mkdirSync(state(place, "checkpoints", "mine"));
    expect((await succeed(place, "prune", "--dry-run")).stdout).toBe("Nothing to remove.\n");
    const { found } = await json(place, "prune", "--older-than", "0", "--dry-run");
    const kinds = (of: { kind: string }[]) => of.map(({ kind }) => kind).toSorted();
    expect(kinds(found)).toEqual(["checkpoints", "data set", "run", "run", "run"]);
    // Files that other state directories use too: nobody here knows what of them is needless.
    const shared = await json(place, "prune", "--older-than", "0", "--dry-run", "--shared", ".musweep");
    expect(kinds(shared.found)).toEqual(["run", "run", "run"]);
    expect(await musweep(place, "prune", "--older-than", "0")).toMatchObject({ code: 2 });
    expect(await json(place, "prune", "--older-than", "0", "--yes")).toMatchObject({ removed: 5 });
    expect(sql(place, "SELECT count(*) AS n FROM runs")).toEqual([{ n: 3 }]);
    expect(readdirSync(state(place, "checkpoints"))).toEqual(["mine"]);
    await succeed(place, "verify");
    expect(await musweep(place, "prune", "--older-than", "soon")).toMatchObject({ code: 2 });
  });
});

describe("`backup`", () => {
  it("while a sweep is trained, is whole, of one moment, and can be put in the database's place", async () => {
    const place = scratch();
    const file = writeSweep(place, { steps: 200, seeds: "[1, 2]" });
    const run = new Musweep(place, ["run", file, "--slots", "1"]);
    await until(() =>
      expect(sql(place, "SELECT 1 FROM runs WHERE state = 'finished'").length).toBeGreaterThan(1),
    );
    const { bytes } = await json(place, "backup", "copy.db");
    expect(statSync(join(place.directory, "copy.db")).size).toBe(bytes);
    expect(statSync(join(place.directory, "copy.db")).mode & 0o777).toBe(0o600);
    expect(await musweep(place, "backup", "copy.db")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/exists already/),
    });
    expect((await run.ended).code).toBe(0);
    expect(readdirSync(place.directory).filter((name) => name.includes("tmp"))).toEqual([]);
    // Another place, from the copy: what was trained by then is there, and the rest can be.
    const other = scratch();
    writeSweep(other, { steps: 200, seeds: "[1, 2]" });
    mkdirSync(state(other));
    writeFileSync(state(other, "musweep.db"), readFileSync(join(place.directory, "copy.db")));
    await succeed(other, "run", file);
    const losses = (where: Scratch) => sql(where, "SELECT id, validation_loss FROM runs ORDER BY id");
    expect(losses(other)).toEqual(losses(place));
  });
});
