/** docs/security.md says of the dependencies what package-lock.json and the installer say. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";

const read = (path: string): string => readFileSync(join(packageRoot(), path), "utf8");

it("names every package that has an install script, and how many those are", () => {
  const { packages } = JSON.parse(read("package-lock.json")) as {
    packages: Record<string, { hasInstallScript?: true }>;
  };
  const having = Object.keys(packages)
    .filter((place) => packages[place]!.hasInstallScript)
    .map((place) => place.replace(/^.*node_modules\//, ""));
  const section = read("docs/security.md").split("## Dependencies")[1]!.split("\n## ")[0]!;
  expect([...section.matchAll(/^\| `([^`]+)` \|/gm)].map(([, name]) => name)).toEqual(having.sort());
  expect(having.length).toBe(4);
  expect(section).toContain("Four of the packages");
  // What npm may run where it is not told --ignore-scripts.
  const { allowScripts } = JSON.parse(read("package.json")) as { allowScripts: Record<string, boolean> };
  expect(Object.keys(allowScripts).filter((name) => allowScripts[name])).toEqual([]);
  expect(read("scripts/setup.mjs")).toContain('"--ignore-scripts"');
  // What Node 20 fetches beside is pinned, too.
  const pinned = JSON.parse(read("scripts/sqlite-node-20/package-lock.json")) as {
    packages: Record<string, { integrity?: string }>;
  };
  for (const [place, { integrity }] of Object.entries(pinned.packages))
    if (place !== "") expect([place, integrity]).toEqual([place, expect.stringMatching(/^sha512-/)]);
  expect(read("Dockerfile")).toContain("npm ci --ignore-scripts");
});
