/** SQLite's binding for Node 20, made in the user's cache with npm and, where it cannot be fetched, a C++ compiler. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { MusweepError } from "../../schema/wire/errors.ts";
import { cacheDirectory, packageRoot } from "../../schema/wire/package.ts";
import { systemName } from "../../schema/wire/system-name.ts";

const place = (): string => join(cacheDirectory(), `sqlite-${systemName()}-${process.versions.modules}`);

export const oldBindingPath = (): string => join(place(), "node_modules", "better-sqlite3");

/** @throws MusweepError (unavailable) without npm's registry or a C++ toolchain */
export function makeOldBinding(): void {
  process.stderr.write(`Making SQLite's binding for Node ${process.versions.node}, once, about a minute …\n`);
  const script = join(packageRoot(), "scripts", "make-sqlite-binding.mjs");
  const { status, error, stdout, stderr } = spawnSync(process.execPath, [script, place()], {
    encoding: "utf8",
  });
  if (status === 0) return;
  const why = error?.message ?? `${stdout}${stderr}`.trim().split("\n").slice(-8).join("\n");
  throw new MusweepError("sqlite-binding", `SQLite's binding for Node 20 could not be made: ${why}`, {
    kind: "unavailable",
    remedy:
      "It needs npm, Python 3 and a C++ toolchain (Debian, Ubuntu: apt-get install python3 make g++; " +
      "macOS: xcode-select --install). On Node 22 and 24 nothing is compiled.",
    cause: error,
  });
}
