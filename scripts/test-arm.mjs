/**
 * The kernels' tests on aarch64, under qemu-user: `npm run test:arm`. Once with NEON, which every aarch64 has, and once without any
 * vector unit, as the compiler then makes them. Exit code 69: what it takes is not there, nothing was tested.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { OPTIONS } from "./build-native.mjs";
import { countsText, runVitest } from "./run-vitest.mjs";
import { main, ROOT, setUp, step } from "./setup.mjs";

const EXIT_NO_EMULATOR = 69;
const COMPILER = process.env.ARM_CC ?? "aarch64-linux-gnu-gcc";
const EMULATOR = process.env.ARM_EMULATOR ?? "qemu-aarch64";
const VARIANTS = [
  { name: "aarch64, NEON", options: [], hasVectors: true },
  { name: "aarch64, generic", options: ["-march=armv8-a+nosimd"], hasVectors: false },
];
const TESTS = ["kernels", "sparse-kernels", "operations"].map(
  (name) => `test/workers/trainers/cpu/${name}.test.ts`,
);
const OBJDUMP = COMPILER.replace(/gcc$/, "objdump");

function run(program, args) {
  const { error, status, stdout, stderr } = spawnSync(program, args, {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  });
  if (error !== undefined || status !== 0) throw new Error(`${program}: ${error?.message ?? stderr.trim()}`);
  return stdout;
}

const isThere = (program) => spawnSync(program, ["--version"]).status === 0;

function compile(program, { options, hasVectors, name }) {
  const kernels = path.join(ROOT, "workers", "trainers", "cpu", "native");
  const sources = readdirSync(kernels).filter((file) => file.endsWith(".c"));
  run(COMPILER, [
    ...OPTIONS,
    "-static",
    ...options,
    `-I${kernels}`,
    "-o",
    program,
    path.join(ROOT, "test", "workers", "trainers", "cpu", "emulator.c"),
    ...sources.map((file) => path.join(kernels, file)),
    "-lm",
    "-lpthread",
  ]);
  // fmla v0.4s, v1.4s, v2.s[0]: four multiplications and additions at once, as in the tiles of a product.
  const code = run(OBJDUMP, ["-d", program]);
  if (/fmla\s+v\d+\.4s/.test(code) !== hasVectors)
    throw new Error(`${name}: products were compiled ${hasVectors ? "without" : "with"} vectors`);
}

await main(async () => {
  const missing = [COMPILER, OBJDUMP, EMULATOR].filter((program) => !isThere(program));
  if (missing.length > 0) {
    process.stderr.write(
      `There is no ${missing.join(", no ")}. Debian, Ubuntu: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user\n`,
    );
    return EXIT_NO_EMULATOR;
  }
  await setUp({});
  const directory = mkdtempSync(path.join(tmpdir(), "musweep-arm-"));
  try {
    let code = 0;
    const counts = { passed: 0, failed: 0, skipped: 0 };
    for (const [i, variant] of VARIANTS.entries()) {
      const program = path.join(directory, `kernels-${i}`);
      await step(`compiling for ${variant.name}`, async () => compile(program, variant));
      const emulated = JSON.stringify({ name: variant.name, command: [EMULATOR, program] });
      const tests = await runVitest(["--testTimeout=600000", ...TESTS], {
        ...process.env,
        MUSWEEP_EMULATED: emulated,
      });
      code ||= tests.code;
      for (const key of Object.keys(counts)) counts[key] += tests.counts?.[key] ?? (key === "failed" ? 1 : 0);
    }
    console.log(countsText(counts));
    return code;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
