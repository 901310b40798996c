/** One version, wherever it stands. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { packageRoot, packageVersion } from "../../schema/wire/package.ts";

const firstIn = (file: string, pattern: RegExp): string | undefined =>
  pattern.exec(readFileSync(join(packageRoot(), file), "utf8"))?.[1];

it("the package, musweep.py and the changelog are of one version", () => {
  const version = packageVersion();
  expect(firstIn("workers/python/musweep.py", /^__version__ = "(.+)"$/m)).toBe(version);
  expect(firstIn("CHANGELOG.md", /^## (\d+\.\d+\.\d+)/m)).toBe(version);
});
