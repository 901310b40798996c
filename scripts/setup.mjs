/**
 * What `npm run quickstart` and `npm test` do first: the packages, the build, a Redis server program. Each is made only
 * when it is missing or stale, nothing asks a question, and each says what it does and how long it took. Plain Node, no
 * dependencies: this runs before anything is installed.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import path from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { findBrowser } from "./find-browser.mjs";

export const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const MINIMUM_NODE = [20, 20];
const SOURCES = ["orchestrator", "workers", "schema"];

/** The end of a set-up that cannot go on: a message for a person, and exit code 3 (something needed is not there). */
class SetupError extends Error {}

const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`;

/** Runs a step; its name appears at once, its time when it is over. */
export async function step(name, work) {
  const start = performance.now();
  process.stderr.write(`${name} …`);
  try {
    const result = await work();
    process.stderr.write(` ${seconds(start)}\n`);
    return result;
  } catch (error) {
    process.stderr.write(` failed after ${seconds(start)}\n`);
    throw error;
  }
}

/** Runs a program and collects what it says. */
function collect(program, args, env = {}) {
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: ROOT,
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", (error) => resolve({ ok: false, output: `${program}: ${error.message}` }));
    child.on("close", (code) => resolve({ ok: code === 0, output }));
  });
}

/** Runs a program on this terminal; resolves to its exit code. Signals that the terminal does not send it are passed on. */
export function runInherited(program, args, env = process.env) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { cwd: ROOT, env, stdio: "inherit" });
    const ignore = () => {};
    const pass = (signal) => child.kill(signal);
    // Ctrl-C reaches the whole foreground group, the child included: wait for it, and do not tell it twice.
    process.on("SIGINT", ignore);
    process.on("SIGTERM", pass);
    process.on("SIGHUP", pass);
    const end = (code) => {
      process.off("SIGINT", ignore);
      process.off("SIGTERM", pass);
      process.off("SIGHUP", pass);
      resolve(code);
    };
    child.on("error", (error) => {
      process.stderr.write(`${program}: ${error.message}\n`);
      end(127);
    });
    child.on("close", (code, signal) => end(code ?? (signal === "SIGINT" ? 130 : 1)));
  });
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  const [needMajor, needMinor] = MINIMUM_NODE;
  if (major > needMajor || (major === needMajor && minor >= needMinor)) return;
  throw new SetupError(
    `musweep needs Node ${MINIMUM_NODE.join(".")} or newer; this is ${process.versions.node} (${process.execPath}).\n` +
      "Install Node 22 or 24, for instance from nodejs.org or with nvm.",
  );
}

/**
 * Whether node_modules holds what package-lock.json says: npm keeps its own copy of the lock file inside. Optional
 * packages of other systems may be missing.
 */
export function isInstallStale(root) {
  const lock = JSON.parse(readFileSync(path.join(root, "package-lock.json"), "utf8"));
  let installed;
  try {
    installed = JSON.parse(readFileSync(path.join(root, "node_modules", ".package-lock.json"), "utf8"));
  } catch {
    return true;
  }
  return Object.entries(lock.packages).some(([place, wanted]) => {
    if (place === "") return false;
    const found = installed.packages[place];
    if (found === undefined) return wanted.optional !== true;
    return found.version !== wanted.version || found.integrity !== wanted.integrity;
  });
}

/** better-sqlite3 13 needs Node-API 10, which Node 22 and later have; Node 20 gets 12, under this name. */
const SQLITE = Number(process.versions.napi) < 10 ? "better-sqlite3-12" : "better-sqlite3";

/** Whether the SQLite binding loads: one that another Node compiled does not. */
const loadSqlite = () =>
  collect(process.execPath, ["-e", `new (require(${JSON.stringify(SQLITE)}))(":memory:").close()`]);

const lastLines = (text, count) => text.trim().split("\n").slice(-count).join("\n");

/** Every binding but SQLite's on Node 20 comes ready-made in its package, so no install script has to run. */
async function installPackages() {
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const installed = await step("installing packages with npm ci", () => collect("npm", ["ci", ...options]));
  if (!installed.ok) throw new SetupError(`npm ci did not work:\n${lastLines(installed.output, 15)}`);
}

async function makeSqlite() {
  const place = path.join(ROOT, "node_modules", ".sqlite-node-20");
  const script = path.join(ROOT, "scripts", "make-sqlite-binding.mjs");
  const made = await step(`making SQLite's binding for Node ${process.versions.node}, a minute`, () =>
    collect(process.execPath, [script, place]),
  );
  if (made.ok) {
    const link = path.join(ROOT, "node_modules", SQLITE);
    rmSync(link, { recursive: true, force: true });
    symlinkSync(path.join(".sqlite-node-20", "node_modules", "better-sqlite3"), link);
    return;
  }
  throw new SetupError(
    `SQLite's binding could not be made:\n${lastLines(made.output, 8)}\n` +
      "On Node 20 this needs Python 3 and a C++ toolchain (Debian, Ubuntu: apt-get install python3 make g++;\n" +
      "macOS: xcode-select --install). On Node 22 and 24 nothing is compiled.",
  );
}

async function ensurePackages() {
  if (isInstallStale(ROOT)) await installPackages();
  if ((await loadSqlite()).ok) return;
  if (SQLITE !== "better-sqlite3") await makeSqlite();
  const sqlite = await loadSqlite();
  if (!sqlite.ok) throw new SetupError(`The SQLite binding does not load:\n${lastLines(sqlite.output, 8)}`);
}

/** One hash over the names and bytes of everything that the build reads. */
export function hashSources(root) {
  const hash = createHash("sha256");
  const files = SOURCES.flatMap((directory) =>
    readdirSync(path.join(root, directory), { recursive: true }).map((name) => path.join(directory, name)),
  );
  const inputs = [
    "tsconfig.json",
    "tsconfig.build.json",
    "package-lock.json",
    path.join("scripts", "build-native.mjs"),
    path.join("scripts", "join-packages.mjs"),
    ...files.filter((file) => /\.(ts|c|h)$/.test(file)).sort(),
  ];
  for (const file of inputs)
    hash
      .update(`${file}\n`)
      .update(readFileSync(path.join(root, file)))
      .update("\n");
  return hash.digest("hex");
}

/** Builds beside dist and then takes its place, so that nobody runs half a build. */
async function ensureBuild() {
  const dist = path.join(ROOT, "dist");
  const stamp = path.join(dist, ".sources");
  const wanted = hashSources(ROOT);
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  const fresh = path.join(ROOT, "node_modules", `.musweep-build-${process.pid}`);
  try {
    const tsc = path.join(ROOT, "node_modules", ".bin", "tsc");
    const built = await step("building", () =>
      collect(tsc, ["-p", "tsconfig.build.json", "--outDir", fresh]),
    );
    if (!built.ok) throw new SetupError(`The build failed:\n${lastLines(built.output, 20)}`);
    const joined = await collect(process.execPath, [path.join(ROOT, "scripts", "join-packages.mjs"), fresh]);
    if (!joined.ok) throw new SetupError(`The build failed:\n${lastLines(joined.output, 20)}`);
    const native = path.join(ROOT, "scripts", "build-native.mjs");
    const compiled = await collect(process.execPath, [native, path.join(fresh, "native")]);
    if (!compiled.ok) throw new SetupError(compiled.output.trim());
    process.stderr.write(compiled.output);
    writeFileSync(path.join(fresh, ".sources"), wanted);
    mkdirSync(dist, { recursive: true });
    const old = `${fresh}-old`;
    renameSync(dist, old);
    renameSync(fresh, dist);
    rmSync(old, { recursive: true, force: true });
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

const fromDist = (...names) =>
  import(pathToFileURL(path.join(ROOT, "dist", "orchestrator", "redis", ...names)).href);

/** The program itself; which Redis is used is decided later, and one named by REDIS_URL needs no program. */
async function ensureRedis() {
  const { ensureServer } = await fromDist("install-server.js");
  const start = performance.now();
  let installing = false;
  await ensureServer({
    onInstall: (what) => {
      installing = true;
      process.stderr.write(`installing ${what} …`);
    },
  }).finally(() => {
    if (installing) process.stderr.write(` ${seconds(start)}\n`);
  });
}

/** For the tests of the dashboard, which look at it in a real browser. */
async function ensureBrowser() {
  if (findBrowser() !== undefined) return;
  const { asRoot, installWithApt } = await fromDist("apt.js");
  const prefix = existsSync("/usr/bin/apt-get") ? await asRoot() : undefined;
  const ended =
    prefix === undefined
      ? undefined
      : await step("installing chromium with apt-get, a minute", () => installWithApt(prefix, "chromium"));
  if (findBrowser() !== undefined) return;
  const why = ended === undefined ? "" : `:\n${lastLines(ended.output, 3)}`;
  throw new SetupError(
    `The dashboard's tests need Chromium or Chrome, and none could be installed without asking${why}\n` +
      "Install one (Debian: sudo apt-get install chromium), or set CHROMIUM to the path of one.",
  );
}

/**
 * @param needs redis: a Redis server program; browser: a Chromium
 */
export async function setUp({ redis, browser = false }) {
  checkNode();
  await ensurePackages();
  await ensureBuild();
  if (redis) await ensureRedis();
  if (browser) await ensureBrowser();
}

/** Runs a script's main function: expected failures end with their message, not a stack. */
export async function main(work) {
  try {
    process.exitCode = await work();
  } catch (error) {
    const expected = error instanceof SetupError || error?.name === "MusweepError";
    const remedy = error?.remedy === undefined ? "" : `\n${error.remedy}`;
    process.stderr.write(expected ? `${error.message}${remedy}\n` : `${error?.stack ?? error}\n`);
    process.exitCode = expected ? 3 : 70;
  }
}
