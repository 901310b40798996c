/**
 * Compiles the trainer's C, workers/trainers/{common,cpu}/native/*.c, with the system's compiler, into argv[2] (dist/native
 * without it). Plain Node: the set-up and `npm run build` call it.
 */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, realpathSync, renameSync, rmSync } from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const SOURCES = ["common", "cpu"].map((room) => path.join(ROOT, "workers", "trainers", room, "native"));
/** Of whatever is made of the kernels. */
export const OPTIONS = [
  "-O3",
  // The loops say which sums may be taken apart; nobody reads errno or traps of single operations.
  "-fopenmp-simd",
  "-fno-math-errno",
  "-fno-trapping-math",
  "-Wall",
];

/** Of $CC, which may have arguments, a wrapper before it, or nothing in it. */
function compilerOf(text = "") {
  const [program = "cc", ...args] = text.split(/\s+/).filter(Boolean);
  return { program, args };
}

function build(directory) {
  const library = path.join(directory, "trainer.so");
  mkdirSync(directory, { recursive: true });
  // Beside it first: a trainer may have the old one loaded, and another host may be making its own here.
  const fresh = `${library}.${randomUUID()}`;
  const { program, args } = compilerOf(process.env.CC);
  const sources = SOURCES.flatMap((directory) =>
    readdirSync(directory)
      .filter((file) => file.endsWith(".c"))
      .map((file) => path.join(directory, file)),
  );
  const { error, status, stderr } = spawnSync(
    program,
    [...args, ...OPTIONS, "-shared", "-fPIC", "-o", fresh, ...sources, "-lm", "-lpthread"],
    { encoding: "utf8" },
  );
  if (status === 0) {
    renameSync(fresh, library);
    // Warnings.
    process.stderr.write(stderr);
  } else {
    rmSync(fresh, { force: true });
    const reason = error === undefined ? `${program}:\n${stderr.trim()}` : error.message;
    console.error(
      `The trainer was not compiled. It needs a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev; Fedora: dnf install gcc; macOS: xcode-select --install).\n${reason}`,
    );
    process.exitCode = 1;
  }
}

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url))
  build(process.argv[2] ?? path.join(ROOT, "dist", "native"));
