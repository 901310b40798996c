/**
 * `npm run test:torch`: sets up what is missing, PyTorch included. Then the tests of the trainer in PyTorch and of
 * scripts of one's own, and the embedded trainer
 * against a reference in PyTorch: gradients, training, evaluation, kept weights, random numbers; `-- --full` adds a larger model. The
 * last line counts tests and comparisons. Exit code 1: something differs; 69: PyTorch cannot be had here, nothing was tested.
 */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { countsText, runVitest } from "./run-vitest.mjs";
import { main, ROOT, setUp } from "./setup.mjs";
import { EXIT_NO_TORCH, ensureTorch, TorchUnavailable } from "./torch-venv.mjs";

const TORCH = "2.13.0";
const TESTS = [
  "test/workers/trainers/torch",
  "test/workers/trainers/contract.test.ts",
  "test/workers/python",
  "test/end-to-end/own-model-torch.test.ts",
  "test/bench",
];

/** @returns exit code, and what its last line counts */
function compare(python, directory, env) {
  const child = spawn(python, [path.join(ROOT, "test", "torch", "compare.py"), directory], {
    env,
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (chunk) => {
    process.stdout.write(chunk);
    said += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      const counted = /(\d+) passed, (\d+) failed\s*$/.exec(said);
      resolve({ code: code ?? 1, passed: Number(counted?.[1] ?? 0), failed: Number(counted?.[2] ?? 1) });
    });
  });
}

await main(async () => {
  const args = process.argv.slice(2);
  if (args.some((arg) => arg !== "--full")) {
    process.stderr.write(`unknown argument ${args.find((arg) => arg !== "--full")}; there is --full\n`);
    return 2;
  }
  await setUp({ redis: true });
  let python;
  try {
    python = await ensureTorch(ROOT, TORCH);
  } catch (error) {
    if (!(error instanceof TorchUnavailable)) throw error;
    process.stderr.write(`PyTorch is not available: ${error.message}\n`);
    return EXIT_NO_TORCH;
  }
  const { REDIS_URL: _, ...inherited } = process.env;
  // No __pycache__ beside the sources.
  const env = { ...inherited, PYTHONDONTWRITEBYTECODE: "1", MUSWEEP_PYTHON: python };
  // Two files at once: PyTorch has threads of its own. Under more load a rank of torchrun ends with SIGABRT now and then, when it is through:
  // PyTorch's threads race with Python's end.
  const tests = await runVitest([...TESTS, "--maxWorkers=2"], env);
  const directory = mkdtempSync(path.join(tmpdir(), "musweep-torch-"));
  try {
    const { register } = await import("tsx/esm/api");
    register();
    const { record } = await import("../test/torch/record.ts");
    const trainer = path.join(ROOT, "dist", "workers", "trainers", "cpu", "main.js");
    const onCase = (name) => process.stderr.write(`training ${name}\n`);
    await record(directory, trainer, { full: args.includes("--full"), onCase });
    const compared = await compare(python, directory, env);
    const counts = tests.counts ?? { passed: 0, failed: 1, skipped: 0 };
    console.log(
      countsText({
        passed: counts.passed + compared.passed,
        failed: counts.failed + compared.failed,
        skipped: counts.skipped,
      }),
    );
    return tests.code || compared.code;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
