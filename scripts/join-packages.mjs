/**
 * After the compiler: packages of many small files become a few larger ones in DIST/packages/, and the compiled files import those.
 * Half of the time in which a command starts went into finding and reading 400 files. Argument: DIST (dist without it).
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** Nothing of them but their code is read: no assets, no programs, no processes. */
const PACKAGES = [
  "@stdlib/stats-base-dists-normal-cdf",
  "@stdlib/stats-base-dists-normal-quantile",
  "@stdlib/stats-base-dists-t-quantile",
  "bullmq",
  "commander",
  "csv-parse",
  "d3-scale",
  "d3-shape",
  "drizzle-orm",
  "fzstd",
  "hyparquet-writer",
  "ioredis",
  "ml-matrix",
  "prom-client",
  "safe-stable-stringify",
  "string-argv",
  "tinyglobby",
  "yaml",
  "zod",
];
/** Compiled for the machine, or left out of an installation: found at run time as before. */
const EXTERNAL = ["better-sqlite3", "msgpackr-extract"];
/** Of zod's messages in fifty languages, which are a third of its code. */
const ENGLISH = {
  name: "english",
  setup: ({ onLoad }) =>
    onLoad({ filter: /[\\/]zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, ({ path: index }) => ({
      contents: 'export { default as en } from "./en.js";',
      resolveDir: path.dirname(index),
    })),
};
const IMPORT = new RegExp(`(\\bfrom |\\bimport )"((?:${PACKAGES.join("|")})(?:/[^"]+)?)"`, "g");

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const dist = path.resolve(process.argv[2] ?? path.join(ROOT, "dist"));
const packages = path.join(dist, "packages");

const files = readdirSync(dist, { recursive: true })
  .filter((name) => name.endsWith(".js") && !/^packages(\.new)?$/.test(name.split(path.sep)[0]))
  .map((name) => path.join(dist, name));
const joined = (specifier) => `${specifier.replaceAll("/", "-")}.js`;
const used = new Set();
/** What each file becomes that imports any. */
const changed = new Map();
for (const file of files) {
  const text = readFileSync(file, "utf8");
  const place = path.relative(path.dirname(file), packages);
  const to = text.replace(IMPORT, (_, keyword, specifier) => {
    used.add(specifier);
    return `${keyword}"${place}/${joined(specifier)}"`;
  });
  if (to !== text) changed.set(file, to);
}

const fresh = `${packages}.new`;
rmSync(fresh, { recursive: true, force: true });
mkdirSync(fresh);
// An entry names what is exported: of CommonJS that is known only when it runs.
const entries = await Promise.all(
  [...used].map(async (specifier) => {
    const entry = path.join(fresh, joined(specifier));
    const names = Object.keys(await import(specifier)).join(", ");
    writeFileSync(entry, `export { ${names} } from "${specifier}";\n`);
    return entry;
  }),
);
await build({
  absWorkingDir: ROOT,
  entryPoints: entries,
  outdir: fresh,
  allowOverwrite: true,
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node20",
  external: EXTERNAL,
  // Half of what there is to read. Names stay: errors carry those of their classes.
  minifyWhitespace: true,
  minifySyntax: true,
  plugins: [ENGLISH],
  // What is written in CommonJS asks for Node's own modules this way.
  banner: {
    js: 'import { createRequire as requireFrom } from "node:module";\nconst require = requireFrom(import.meta.url);',
  },
  logLevel: "warning",
});

// A process may start at any moment: each file is there all the time, first what others import, and only then what imports it.
mkdirSync(packages, { recursive: true });
const made = readdirSync(fresh).sort((a, b) => b.startsWith("chunk-") - a.startsWith("chunk-"));
for (const name of made) renameSync(path.join(fresh, name), path.join(packages, name));
rmSync(fresh, { recursive: true });
for (const [file, text] of changed) {
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}
for (const name of readdirSync(packages)) if (!made.includes(name)) rmSync(path.join(packages, name));
