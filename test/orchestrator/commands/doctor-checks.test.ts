/** What doctor says of this machine, and of things that are wrong with it. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it, onTestFinished, vi } from "vitest";
import { examine } from "../../../orchestrator/commands/doctor-checks.ts";
import { stateDirectory } from "../../../orchestrator/machine/state-directory.ts";

async function scratch(): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), "musweep-doctor-test-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

it("finds everything that a run needs where the tests can run, with versions", async () => {
  const rows = await examine(
    stateDirectory({ dir: path.join(await scratch(), "not", "yet", "made") }),
    undefined,
  );
  expect(rows.filter((row) => row.status === "fail")).toEqual([]);
  const found = Object.fromEntries(rows.map((row) => [row.name, row.found]));
  expect(found.node).toBe(process.versions.node);
  expect(found.sqlite).toMatch(/^3\.\d+\.\d+$/);
  expect(found["compiled code"]).toMatch(/^kernels for (AVX2|AVX-512|x86-64|NEON), (gcc|clang) \d+$/);
  expect(found.redis).toMatch(/^\d+\.\d+\.\d+ \(\//);
  expect(found["state directory"]).toMatch(/GiB free$/);
});

it("warns of a GPU whose runs cannot be compiled", async () => {
  const python = path.join(await scratch(), "python");
  const gpu = { device: "cuda:0", name: "NVIDIA H100", memory_bytes: 85e9 };
  const has = { python: "3.12.3", torch: "2.11.0", devices: [gpu], problem: null };
  vi.stubEnv("MUSWEEP_PYTHON", python);
  onTestFinished(() => void vi.unstubAllEnvs());
  const found = async (uncompiled: string | null) => {
    const says = JSON.stringify({ ...has, uncompiled });
    await writeFile(python, `#!/bin/sh\necho '${says}'\n`, { mode: 0o755 });
    const rows = await examine(stateDirectory({ dir: await scratch() }), undefined);
    return rows.find(({ name }) => name === "pytorch");
  };
  expect(await found(null)).toMatchObject({ status: "ok", remedy: null });
  expect(await found("Trained uncompiled: there is no triton.")).toMatchObject({
    status: "warn",
    found: expect.stringMatching(/cuda:0 NVIDIA H100.*there is no triton/),
    remedy: expect.stringContaining("python3-dev"),
  });
});

it("fails on a Redis that is not there, with a remedy and without its password", async () => {
  const rows = await examine(stateDirectory({ dir: await scratch() }), "redis://u:hush@127.0.0.1:1");
  const row = rows.find(({ name }) => name === "redis");
  expect(row).toMatchObject({ status: "fail", remedy: expect.stringContaining("REDIS_URL") });
  expect(JSON.stringify(rows)).not.toContain("hush");
});

it("fails on a state directory that cannot be one", async () => {
  const file = path.join(await scratch(), "file");
  await writeFile(file, "");
  const rows = await examine(stateDirectory({ dir: path.join(file, "state") }), undefined);
  expect(rows.find(({ name }) => name === "state directory")).toMatchObject({
    status: "fail",
    remedy: expect.stringContaining("--dir"),
  });
});
