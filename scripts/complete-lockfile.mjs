/**
 * Adds to package-lock.json what npm leaves out when a registry mirror lacks a package for another platform: npm drops
 * such optional packages while it writes the lock file, and `npm ci` then refuses that lock file on every machine. Run it
 * after `npm install` where test/scripts/lockfile.test.ts says so. The added entries carry no integrity hash, because
 * nobody here has seen the packages.
 */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const OS = [
  "aix",
  "android",
  "darwin",
  "freebsd",
  "linux",
  "netbsd",
  "openbsd",
  "openharmony",
  "sunos",
  "win32",
];
const CPU = ["arm64", "arm", "ia32", "loong64", "mips64el", "ppc64", "riscv64", "s390x", "x64"];

/** The platform that a package is for, read from the end of its name: "…-linux-arm64-musl". */
function platformOf(name) {
  const words = name.split(/[-/]/);
  const os = OS.find((word) => words.includes(word));
  const cpu = CPU.find((word) => words.includes(word));
  if (os === undefined || cpu === undefined) throw new Error(`cannot tell which platform ${name} is for`);
  const musl = words.some((word) => word.startsWith("musl"));
  const gnu = words.some((word) => word.startsWith("gnu"));
  return { cpu: [cpu], ...(musl ? { libc: ["musl"] } : gnu ? { libc: ["glibc"] } : {}), os: [os] };
}

/** Optional packages that a package in the lock file asks for and that have no entry: place → entry. */
export function missingEntries(lock) {
  const missing = {};
  for (const [place, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      if (place === "" || isResolved(lock.packages, place, name)) continue;
      missing[`node_modules/${name}`] = {
        version,
        ...platformOf(name),
        ...(entry.dev === true ? { dev: true } : {}),
        ...(entry.license === undefined ? {} : { license: entry.license }),
        optional: true,
      };
    }
  }
  return missing;
}

/** Whether Node's look-up from `place` upwards finds `name` in the lock file. */
function isResolved(packages, place, name) {
  for (let base = place; ; base = base.slice(0, base.lastIndexOf("/node_modules/"))) {
    if (packages[`${base}/node_modules/${name}`] !== undefined) return true;
    if (!base.includes("/node_modules/")) return packages[`node_modules/${name}`] !== undefined;
  }
}

const file = fileURLToPath(new URL("../package-lock.json", import.meta.url));
if (process.argv[1] !== undefined && path.resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const lock = JSON.parse(readFileSync(file, "utf8"));
  const missing = missingEntries(lock);
  const sorted = Object.entries({ ...lock.packages, ...missing }).sort(([a], [b]) =>
    a < b ? -1 : a > b ? 1 : 0,
  );
  lock.packages = Object.fromEntries(sorted);
  writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  console.log(`${Object.keys(missing).length} entries added`);
}
