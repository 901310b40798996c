/**
 * Makes SQLite's binding for Node 20, which its package does not bring: `node scripts/make-sqlite-binding.mjs DIRECTORY`. It needs
 * npm and its registry and, where the binding cannot be fetched, Python 3 and a C++ toolchain. What is fetched is pinned by the
 * lock file in sqlite-node-20/.
 */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { cpSync, existsSync, realpathSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** Node's own headers, where it was installed with them: the binding then compiles without a download. */
function headersOfNode() {
  const prefix = path.dirname(path.dirname(realpathSync(process.execPath)));
  return existsSync(path.join(prefix, "include", "node", "node.h")) ? { npm_config_nodedir: prefix } : {};
}

const place = path.resolve(process.argv[2]);
// Two that start at once each make one; the later takes the other's place.
const fresh = `${place}.${randomUUID()}`;

function npm(...args) {
  const { status, error } = spawnSync("npm", [...args, "--prefix", fresh, "--loglevel=error"], {
    cwd: fresh,
    env: { ...process.env, ...headersOfNode() },
    stdio: "inherit",
  });
  if (status !== 0) throw error ?? new Error(`npm ${args[0]} did not work`);
}

try {
  cpSync(path.join(path.dirname(fileURLToPath(import.meta.url)), "sqlite-node-20"), fresh, {
    recursive: true,
  });
  npm("ci", "--ignore-scripts", "--no-audit", "--no-fund");
  npm("rebuild", "better-sqlite3");
  rmSync(place, { recursive: true, force: true });
  renameSync(fresh, place);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
