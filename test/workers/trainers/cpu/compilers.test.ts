/** The trainer's C as each compiler makes it that a machine may have: whole, and with the numbers of the one that is in use. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { packageRoot } from "../../../../schema/wire/package.ts";
import koffi from "../../../../workers/trainers/common/foreign.ts";
import { Region } from "../../../../workers/trainers/cpu/region.ts";
import { BoundTape, runTapes, Tape } from "../../../../workers/trainers/cpu/tape.ts";
import { temporaryDirectory } from "../support.ts";
import { normals } from "./finite-differences.ts";

/** Compiling takes seconds, on a machine busy with other tests more than one minute. */
const PATIENT = 600_000;
const trainers = join(packageRoot(), "workers", "trainers");

/** Every function of the library that TypeScript calls, as it declares it. */
const declarations = ["common", "cpu", join("cpu", "operations")].flatMap((room) =>
  readdirSync(join(trainers, room))
    .filter((file) => file.endsWith(".ts"))
    .flatMap((file) =>
      Array.from(
        readFileSync(join(trainers, room, file), "utf8").matchAll(/native\.func\(\s*"([^"]+)"/g),
        ([, declaration]) => declaration!,
      ),
    ),
);

/** A norm, an activation, a product. */
function program() {
  const [n, c] = [130, 70];
  const t = new Tape(1);
  const [x, gain, y] = [t.outside("x", [n, c]), t.outside("gain", [c]), t.outside("y", [n, n])];
  const [normed, r, gated] = [t.value([n, c]), t.value([n]), t.value([n, c])];
  t.call("rms_norm", [x, gain, normed, r], [n, c], [1e-5]);
  t.call("swiglu", [normed, x, gated], [n * c]);
  t.call("product", [gated, x, null, y], [n, c, n, 0, 1], [0.5]);
  return { tape: t.finish(), inputs: { x: normals("x", n * c), gain: normals("gain", c) } };
}

const COMPILERS = ["gcc", "clang"].map((compiler) => ({
  compiler,
  isThere: spawnSync(compiler, ["--version"]).status === 0,
}));
for (const { compiler, isThere } of COMPILERS)
  if (!isThere)
    console.warn(`SKIPPED: there is no ${compiler} here; nothing checks what it makes of the kernels.`);

describe.each(COMPILERS)("$compiler", ({ compiler, isThere }) => {
  test.skipIf(!isThere)(
    "makes the whole library, and its numbers differ by rounding at most",
    () => {
      const directory = temporaryDirectory();
      const script = join(packageRoot(), "scripts", "build-native.mjs");
      const built = spawnSync(process.execPath, [script, directory], {
        env: { ...process.env, CC: compiler },
        encoding: "utf8",
      });
      expect(built.stderr).toBe("");
      const library = koffi.load(join(directory, "trainer.so"));
      expect(declarations.length).toBeGreaterThan(15);
      for (const declaration of declarations) library.func(declaration);

      const { tape, inputs } = program();
      const region = new Region(new Map([...tape.outside, ["arena", tape.arenaBytes]]));
      for (const [name, numbers] of Object.entries(inputs)) region.floats(name).set(numbers);
      const bound = new BoundTape(tape, region.address("arena"), region.address);
      runTapes([bound], { teams: 1, members: 1 });
      const expected = region.floats("y").slice();
      region.floats("y").fill(0);
      library.func("int64_t ensure_threads(int64_t)")(1);
      const run = library.func("void run_tapes(void*, void*, int64_t, int64_t, int64_t)");
      run(BigInt64Array.of(bound.address), BigInt64Array.of(BigInt(bound.length)), 1, 1, 1);
      const found = region.floats("y");
      const largest = expected.reduce((most, y) => Math.max(most, Math.abs(y)), 0);
      expect(largest).toBeGreaterThan(1);
      found.forEach((y, i) => {
        expect(Math.abs(y - expected[i]!)).toBeLessThan(2e-6 * largest);
      });
      region.release();
    },
    PATIENT,
  );
});
