/**
 * `npm run test:torch`: sets up what is missing, PyTorch included, then holds the embedded trainer against a reference in
 * PyTorch: gradients, training, evaluation, kept weights, random numbers. `-- --full` adds a larger model. The last line
 * counts the comparisons. Exit code 1: something differs; 69: PyTorch cannot be had here, nothing was compared.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { main, ROOT, runInherited, setUp } from "./setup.mjs";
import { EXIT_NO_TORCH, ensureTorch, TorchUnavailable } from "./torch-venv.mjs";

const TORCH = "2.13.0";

await main(async () => {
  const args = process.argv.slice(2);
  if (args.some((arg) => arg !== "--full")) {
    process.stderr.write(`unknown argument ${args.find((arg) => arg !== "--full")}; there is --full\n`);
    return 2;
  }
  await setUp({ redis: false });
  let python;
  try {
    python = await ensureTorch(ROOT, TORCH);
  } catch (error) {
    if (!(error instanceof TorchUnavailable)) throw error;
    process.stderr.write(`PyTorch is not available: ${error.message}\n`);
    return EXIT_NO_TORCH;
  }
  const directory = mkdtempSync(path.join(tmpdir(), "musweep-torch-"));
  try {
    const { register } = await import("tsx/esm/api");
    register();
    const { record } = await import("../test/torch/record.ts");
    const trainer = path.join(ROOT, "dist", "workers", "trainers", "onnx", "main.js");
    const onCase = (name) => process.stderr.write(`training ${name}\n`);
    await record(directory, trainer, { full: args.includes("--full"), onCase });
    // No __pycache__ beside the sources.
    const env = { ...process.env, PYTHONDONTWRITEBYTECODE: "1" };
    return await runInherited(python, [path.join(ROOT, "test", "torch", "compare.py"), directory], env);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
