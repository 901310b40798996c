/**
 * The Python that has PyTorch, where `npm run test:torch` puts it (scripts/torch-venv.mjs). Tests that need it are skipped without, and
 * say so: nothing of what they hold is known then.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe } from "vitest";
import { packageRoot } from "../../schema/wire/package.ts";

const environment = join(packageRoot(), ".cache", "torch-venv");

const has = (module: string): boolean =>
  existsSync(join(environment, "lib")) &&
  readdirSync(join(environment, "lib")).some((python) =>
    existsSync(join(environment, "lib", python, "site-packages", module)),
  );

export const torchPython = join(environment, "bin", "python");

/** A suite that needs PyTorch, and `modules` beside it. */
export function describeWithTorch(name: string, suite: () => void, modules: readonly string[] = []): void {
  const missing = ["torch", "numpy", ...modules].filter((module) => !has(module));
  if (missing.length > 0)
    process.stderr.write(
      `\nNOT TESTED: ${name}: ${missing.join(", ")} is missing in .cache/torch-venv (npm run test:torch makes it)\n\n`,
    );
  describe.skipIf(missing.length > 0)(name, suite);
}
