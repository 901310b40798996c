/**
 * The Python environment of the comparison with PyTorch, at .cache/torch-venv: made when it is missing or incomplete, asks
 * nothing, and says what is missing when it cannot be made. Plain Node, no dependencies.
 */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { step } from "./setup.mjs";

/** Exit code of a command that needs PyTorch and cannot have it: nothing was compared, and nothing is known to be wrong. */
export const EXIT_NO_TORCH = 69;

/** Why there is no PyTorch, in one line, and what to do about it. */
export class TorchUnavailable extends Error {}

function collect(program, args) {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    const keep = (chunk) => {
      output += chunk;
    };
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    child.on("error", (error) => resolve({ ok: false, output: `${program}: ${error.message}` }));
    child.on("close", (code) => resolve({ ok: code === 0, output }));
  });
}

const lastLine = (text) => text.trim().split("\n").at(-1) ?? "";

/** Whether the environment holds what the comparison imports, PyTorch in the wanted version. */
const isComplete = async (python, version) =>
  (
    await collect(python, [
      "-c",
      `import numpy, safetensors, sys, torch; sys.exit(torch.__version__.split("+")[0] != "${version}")`,
    ])
  ).ok;

/**
 * Makes an empty environment that has pip, or that the pip outside can fill.
 * @returns the command, with its first arguments, that installs into it
 */
async function createEnvironment(directory, python) {
  // Debian splits ensurepip off the venv module: without python3-venv an environment can be made, but pip not put into it.
  const own = await collect("python3", ["-m", "venv", "--clear", directory]);
  if (own.ok) return [python, "-m", "pip"];
  if ((await collect("python3", ["-m", "virtualenv", "--clear", directory])).ok) return [python, "-m", "pip"];
  const bare = await collect("python3", ["-m", "venv", "--clear", "--without-pip", directory]);
  if (bare.ok && (await collect("python3", ["-m", "pip", "--python", python, "--version"])).ok)
    return ["python3", "-m", "pip", "--python", python];
  throw new TorchUnavailable(
    `python3 cannot make a virtual environment with pip (Debian, Ubuntu: apt-get install python3-venv): ${lastLine(own.output)}`,
  );
}

const PIP_OPTIONS = ["install", "--no-input", "--quiet", "--disable-pip-version-check", "--retries", "2"];

async function install(directory, python, version) {
  const found = await collect("python3", ["--version"]);
  if (!found.ok)
    throw new TorchUnavailable("there is no python3 (Debian, Ubuntu: apt-get install python3 python3-venv).");
  mkdirSync(path.dirname(directory), { recursive: true });
  const [program, ...pip] = await createEnvironment(directory, python);
  const libraries = ["numpy>=1.26", "safetensors>=0.5"];
  // The CPU build where an index has it under its own name; the plain name may bring gigabytes of CUDA with it.
  const cpu = await collect(program, [...pip, ...PIP_OPTIONS, `torch==${version}+cpu`, ...libraries]);
  if (cpu.ok) return;
  const plain = await collect(program, [...pip, ...PIP_OPTIONS, `torch==${version}`, ...libraries]);
  if (plain.ok) return;
  const reason =
    plain.output.split("\n").findLast((line) => line.startsWith("ERROR:")) ?? lastLine(plain.output);
  throw new TorchUnavailable(`pip cannot install PyTorch ${version} for ${found.output.trim()}: ${reason}`);
}

/** For examples/huggingface, whose tests are skipped, and say so, where it cannot be had. */
async function installExample(python) {
  const own = await collect(python, ["-m", "pip", "--version"]);
  const [program, ...pip] = own.ok ? [python, "-m", "pip"] : ["python3", "-m", "pip", "--python", python];
  await collect(program, [...pip, ...PIP_OPTIONS, "transformers>=4.57", "accelerate>=1.10"]);
}

/**
 * @returns path of a Python that has PyTorch in this version, NumPy and safetensors
 * @throws TorchUnavailable
 */
export async function ensureTorch(root, version) {
  const directory = path.join(root, ".cache", "torch-venv");
  const python = path.join(directory, "bin", "python");
  if (!(await isComplete(python, version))) {
    await step(`installing PyTorch ${version} into .cache/torch-venv, some minutes`, () =>
      install(directory, python, version),
    );
    if (!(await isComplete(python, version)))
      throw new TorchUnavailable(
        `PyTorch ${version} was installed into ${directory} but cannot be imported.`,
      );
  }
  if (!(await collect(python, ["-c", "import transformers, accelerate"])).ok)
    await step("installing transformers into .cache/torch-venv", () => installExample(python));
  return python;
}
