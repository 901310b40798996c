/**
 * Compiles the trainer's optimizer with the system's C compiler, into argv[2] (dist/native without it). Without a compiler
 * the trainer runs the same loops in JavaScript, with the same results. Plain Node: the set-up and `npm run build` call it.
 */
import { spawnSync } from "node:child_process";
import { mkdirSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const SOURCE = path.join(ROOT, "workers", "trainers", "onnx", "optimizer.c");
// Not -ffast-math: the results must be those of the JavaScript loops, bit for bit.
const OPTIONS = ["-O3", "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-shared", "-fPIC"];

const directory = process.argv[2] ?? path.join(ROOT, "dist", "native");
const library = path.join(directory, "optimizer.so");
mkdirSync(directory, { recursive: true });
// Beside it first: a trainer may have the old one loaded.
const fresh = `${library}.${process.pid}`;
const compiler = process.env.CC ?? "cc";
const { error, status, stderr } = spawnSync(compiler, [...OPTIONS, "-o", fresh, SOURCE, "-lm"], {
  encoding: "utf8",
});
if (status === 0) renameSync(fresh, library);
else {
  rmSync(fresh, { force: true });
  rmSync(library, { force: true });
  console.error(
    `The trainer's optimizer was not compiled (${error?.message ?? `${compiler}: ${stderr.trim().split("\n")[0]}`}).\n` +
      "It runs in JavaScript: the same results, but steps take a fifth to two fifths longer. With a C compiler, `npm run build` compiles it.",
  );
}
