/** When set-up installs and builds: exactly when something is missing or stale. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { hashSources, isInstallStale, ROOT } from "../../scripts/setup.mjs";

function scratch(): string {
  const directory = mkdtempSync(path.join(tmpdir(), "musweep-setup-"));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

const entry = (version: string) => ({ version, integrity: `sha512-${version}` });

/** A project whose lock file names `locked`, with `installed` in node_modules (null: never installed). */
function project(locked: Record<string, object>, installed: Record<string, object> | null): string {
  const root = scratch();
  const lock = (packages: object) => JSON.stringify({ lockfileVersion: 3, packages });
  writeFileSync(path.join(root, "package-lock.json"), lock({ "": { name: "p" }, ...locked }));
  if (installed !== null) {
    mkdirSync(path.join(root, "node_modules"));
    writeFileSync(path.join(root, "node_modules", ".package-lock.json"), lock(installed));
  }
  return root;
}

it.each<[string, Record<string, object>, Record<string, object> | null, boolean]>([
  ["nothing is installed", { "node_modules/a": entry("1.0.0") }, null, true],
  ["all is installed", { "node_modules/a": entry("1.0.0") }, { "node_modules/a": entry("1.0.0") }, false],
  ["a package is missing", { "node_modules/a": entry("1.0.0") }, {}, true],
  [
    "a package has another version",
    { "node_modules/a": entry("1.0.1") },
    { "node_modules/a": entry("1.0.0") },
    true,
  ],
  [
    "an optional package of another system is missing",
    { "node_modules/a": { ...entry("1.0.0"), optional: true } },
    {},
    false,
  ],
])("where %s, packages are stale or not", (_, locked, installed, stale) => {
  expect(isInstallStale(project(locked, installed))).toBe(stale);
});

it("the build is stale after a source changes, is added or is renamed, and not otherwise", () => {
  const root = scratch();
  for (const name of [
    "tsconfig.json",
    "tsconfig.build.json",
    "package-lock.json",
    "scripts/build-native.mjs",
    "scripts/join-packages.mjs",
  ])
    cpSync(path.join(ROOT, name), path.join(root, name));
  for (const name of ["orchestrator", "workers", "schema"]) mkdirSync(path.join(root, name));
  const hashes = [hashSources(root)];
  const change = (work: () => void): void => {
    work();
    hashes.push(hashSources(root));
  };
  change(() => writeFileSync(path.join(root, "schema", "a.ts"), "export const a = 1;\n"));
  change(() => writeFileSync(path.join(root, "schema", "a.ts"), "export const a = 2;\n"));
  change(() => {
    rmSync(path.join(root, "schema", "a.ts"));
    writeFileSync(path.join(root, "schema", "b.ts"), "export const a = 2;\n");
  });
  expect(new Set(hashes).size).toBe(4);
  change(() => writeFileSync(path.join(root, "schema", "notes.md"), "no source\n"));
  expect(hashes[4]).toBe(hashes[3]);
});

/** A script that uses setup.mjs, as its own process. */
function script(code: string) {
  const url = JSON.stringify(path.join(ROOT, "scripts", "setup.mjs"));
  const child = spawn(
    process.execPath,
    ["--input-type=module", "-e", `import * as s from ${url};\n${code}`],
    {
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk));
  return { child, ended: once(child, "close").then(([exit]) => ({ exit: exit as number | null, output })) };
}

it("a program that it runs gives its exit code", async () => {
  const { ended } = script(
    `await s.main(() => s.runInherited(process.execPath, ["-e", "process.exit(7)"]));`,
  );
  expect((await ended).exit).toBe(7);
});

it("a program that it runs gets the SIGTERM that it gets, and is waited for", async () => {
  const inner = `process.on("SIGTERM", () => { console.log("inner ends"); process.exit(5); }); setInterval(() => {}, 1000); console.log("inner runs");`;
  const { child, ended } = script(
    `await s.main(() => s.runInherited(process.execPath, ["-e", ${JSON.stringify(inner)}]));`,
  );
  await once(child.stdout, "data");
  child.kill("SIGTERM");
  const { exit, output } = await ended;
  expect(output).toBe("inner runs\ninner ends\n");
  expect(exit).toBe(5);
});

it("a step says its name and its time, also when it fails", async () => {
  const { ended } = script(
    `await s.step("first", () => 1); await s.main(() => s.step("second", () => { throw new Error("no luck"); }));`,
  );
  const { exit, output } = await ended;
  expect(exit).toBe(70);
  expect(output).toMatch(/^first … \d+\.\d s\nsecond … failed after \d+\.\d s\nError: no luck/);
});
