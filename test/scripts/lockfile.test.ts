/** The lock file installs on every platform: `npm ci` refuses one that lacks an optional package, wherever it runs. */
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { type LockEntry, missingEntries } from "../../scripts/complete-lockfile.mjs";
import { ROOT } from "../../scripts/setup.mjs";

const read = (name: string): unknown => JSON.parse(readFileSync(path.join(ROOT, name), "utf8"));

it("has an entry for every optional package; else run node scripts/complete-lockfile.mjs", () => {
  const lock = read("package-lock.json") as { packages: Record<string, LockEntry> };
  expect(Object.keys(missingEntries(lock))).toEqual([]);
});

it("and package.json ask for the same packages", () => {
  const lock = read("package-lock.json") as { packages: Record<string, object> };
  const manifest = read("package.json") as Record<string, unknown>;
  for (const kind of ["dependencies", "devDependencies", "optionalDependencies"]) {
    expect((lock.packages[""] as Record<string, unknown>)[kind]).toEqual(manifest[kind]);
  }
});

it("holds the very versions that the install-script policy names", () => {
  const lock = read("package-lock.json") as { packages: Record<string, { version?: string; name?: string }> };
  const policy = (read("package.json") as { allowScripts: Record<string, boolean> }).allowScripts;
  const installed = Object.entries(lock.packages).flatMap(([place, { name, version }]) => {
    const own = name ?? place.slice(place.lastIndexOf("node_modules/") + "node_modules/".length);
    return [own, `${own}@${version}`];
  });
  expect(Object.keys(policy).filter((key) => !installed.includes(key))).toEqual([]);
});

it("is completed with the platform that a package's name says", () => {
  const packages: Record<string, LockEntry> = {
    "": {},
    "node_modules/tool": {
      version: "2.0.0",
      dev: true,
      optionalDependencies: {
        "@tool/linux-arm64-musl": "2.0.0",
        "@tool/win32-x64": "2.0.0",
        "@tool/darwin-arm64": "2.0.0",
      },
    },
    "node_modules/tool/node_modules/@tool/darwin-arm64": { version: "2.0.0" },
  };
  expect(missingEntries({ packages })).toEqual({
    "node_modules/@tool/linux-arm64-musl": {
      version: "2.0.0",
      os: ["linux"],
      cpu: ["arm64"],
      libc: ["musl"],
      dev: true,
      optional: true,
    },
    "node_modules/@tool/win32-x64": {
      version: "2.0.0",
      os: ["win32"],
      cpu: ["x64"],
      dev: true,
      optional: true,
    },
  });
});
