/** SQLite's binding for Node 20, made in the user's cache with npm and, where it cannot be fetched, a C++ compiler. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, realpathSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { MusweepError } from "../../schema/wire/errors.ts";
import { cacheDirectory, packageRoot } from "../../schema/wire/package.ts";

/** "better-sqlite3@^12.11.1", which package.json knows under another name. */
function wantedPackage(): string {
  const text = readFileSync(join(packageRoot(), "package.json"), "utf8");
  const { optionalDependencies } = JSON.parse(text) as { optionalDependencies: Record<string, string> };
  return optionalDependencies["better-sqlite3-12"]!.replace("npm:", "");
}

const place = (): string =>
  join(cacheDirectory(), `sqlite-${process.platform}-${process.arch}-${process.versions.modules}`);

export const oldBindingPath = (): string => join(place(), "node_modules", "better-sqlite3");

/** Node's own headers, where it was installed with them: the binding then compiles without a download. */
function headersOfNode(): Record<string, string> {
  const prefix = dirname(dirname(realpathSync(process.execPath)));
  return existsSync(join(prefix, "include", "node", "node.h")) ? { npm_config_nodedir: prefix } : {};
}

/** @throws MusweepError (unavailable) without npm's registry or a C++ toolchain */
export function makeOldBinding(): void {
  process.stderr.write(`Making SQLite's binding for Node ${process.versions.node}, once, about a minute …\n`);
  // Two that start at once each make one; the later takes the other's place.
  const fresh = `${place()}.${process.pid}`;
  const npm = (...args: string[]): void => {
    const { status, error, stdout, stderr } = spawnSync(
      "npm",
      [...args, "--prefix", fresh, "--loglevel=error"],
      {
        env: { ...process.env, ...headersOfNode() },
        encoding: "utf8",
      },
    );
    if (status !== 0) throw error ?? new Error(`${stdout}${stderr}`.trim().split("\n").slice(-8).join("\n"));
  };
  try {
    mkdirSync(fresh, { recursive: true });
    npm("install", wantedPackage(), "--ignore-scripts", "--no-audit", "--no-fund");
    npm("rebuild", "better-sqlite3");
    rmSync(place(), { recursive: true, force: true });
    renameSync(fresh, place());
  } catch (cause) {
    throw new MusweepError(
      "sqlite-binding",
      `SQLite's binding for Node 20 could not be made: ${cause instanceof Error ? cause.message : cause}`,
      {
        kind: "unavailable",
        remedy:
          "It needs npm, Python 3 and a C++ toolchain (Debian, Ubuntu: apt-get install python3 make g++; " +
          "macOS: xcode-select --install). On Node 22 and 24 nothing is compiled.",
        cause,
      },
    );
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}
