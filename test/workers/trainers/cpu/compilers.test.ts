/** The trainer's C as each compiler makes it that a machine may have: whole, without warnings, and right. */
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import koffi from "koffi";
import { describe, expect, test } from "vitest";
import { z } from "zod";
import { packageRoot } from "../../../../schema/wire/package.ts";
import { kernelsHere } from "../../../../workers/trainers/cpu/tape.ts";
import { temporaryDirectory } from "../support.ts";

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

const build = (directory: string, compiler: string, path = process.env.PATH) =>
  spawnSync(process.execPath, [join(packageRoot(), "scripts", "build-native.mjs"), directory], {
    env: { ...process.env, CC: compiler, PATH: path },
    encoding: "utf8",
  });

const reportSchema = z.object({
  numTotalTests: z.int(),
  numPassedTests: z.int(),
  numFailedTests: z.int(),
  numPendingTests: z.int(),
});

/** What the tests of kernels say of a library. */
function testKernels(library: string): z.infer<typeof reportSchema> {
  const files = ["kernels", "sparse-kernels", "operations"].map(
    (name) => `test/workers/trainers/cpu/${name}.test.ts`,
  );
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith("VITEST"));
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(packageRoot(), "node_modules", "vitest", "vitest.mjs"), "run", "--reporter=json", ...files],
    {
      cwd: packageRoot(),
      env: { ...Object.fromEntries(own), MUSWEEP_KERNELS: library },
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    },
  );
  const report = stdout.slice(stdout.indexOf("{"));
  const counts = reportSchema.parse(JSON.parse(report));
  if (counts.numFailedTests > 0) console.error(report, stderr);
  return counts;
}

const COMPILERS = (["gcc", "clang"] as const).map((compiler) => ({
  compiler,
  isThere: spawnSync(compiler, ["--version"]).status === 0,
}));
for (const { compiler, isThere } of COMPILERS)
  if (!isThere)
    console.warn(`SKIPPED: there is no ${compiler} here; nothing checks what it makes of the kernels.`);

describe.each(COMPILERS)("$compiler", ({ compiler, isThere }) => {
  test.skipIf(!isThere)(
    "makes the whole library without a warning, and its kernels pass their tests",
    () => {
      const directory = temporaryDirectory();
      const built = build(directory, compiler);
      expect(built.stderr).toBe("");
      const path = join(directory, "trainer.so");
      const library = koffi.load(path);
      expect(declarations.length).toBeGreaterThan(15);
      for (const declaration of declarations) library.func(declaration);
      const madeBy: string = library.func("str kernels_here()")();
      expect(madeBy).toMatch(new RegExp(`, ${compiler} \\d+$`));
      // Of the library that is in use all tests are.
      if (madeBy === kernelsHere()) return;
      const counts = testKernels(path);
      expect(counts).toMatchObject({ numFailedTests: 0, numPendingTests: 0 });
      expect(counts.numPassedTests).toBeGreaterThan(50);
    },
    PATIENT,
  );
});

/** Have a program end where it does what C leaves undefined; clang knows of more. */
const TRAPS = {
  clang: "-fsanitize=undefined,float-cast-overflow -fsanitize-trap=all",
  gcc: "-fsanitize=undefined,float-cast-overflow -fsanitize-undefined-trap-on-error",
};
const strictest = (["clang", "gcc"] as const).find(
  (name) => COMPILERS.find((c) => c.compiler === name)!.isThere,
);
if (strictest === undefined)
  console.warn(
    "SKIPPED: kernels that trap on undefined behaviour, because there is neither clang nor gcc here.",
  );

test.skipIf(strictest === undefined)(
  "the kernels' tests, NaN and overflow among them, come by nothing that C leaves undefined",
  () => {
    const directory = temporaryDirectory();
    expect(build(directory, `${strictest} ${TRAPS[strictest!]}`).status).toBe(0);
    const counts = testKernels(join(directory, "trainer.so"));
    expect(counts).toMatchObject({ numFailedTests: 0, numPassedTests: counts.numTotalTests });
  },
  PATIENT,
);

/** A program `cc` that writes down what it is called with, warns, and makes an empty library. */
function writeCompiler(directory: string): string {
  const program = join(directory, "cc");
  const lines = [
    "#!/bin/sh",
    `echo "$@" > ${join(directory, "arguments")}`,
    "echo 'warning: a name is not used' >&2",
    'while [ "$1" != -o ]; do shift; done',
    ': > "$2"',
  ];
  writeFileSync(program, lines.join("\n"), { mode: 0o755 });
  return program;
}

test("a compiler is named with arguments, or not at all; what it warns of is seen", () => {
  const directory = temporaryDirectory();
  const program = writeCompiler(directory);
  const saidTo = (compiler: string, path = process.env.PATH): string => {
    const { status, stderr } = build(join(directory, "made"), compiler, path);
    expect(status).toBe(0);
    expect(stderr).toBe("warning: a name is not used\n");
    return readFileSync(join(directory, "arguments"), "utf8");
  };
  expect(saidTo(` ${program}  -m64 --wrapped`)).toMatch(/^-m64 --wrapped -O3 /);
  expect(saidTo(program)).toMatch(/^-O3 .* -Wall -shared -fPIC -o .*tape\.c .*-lpthread$/m);
  expect(saidTo("", `${directory}:${process.env.PATH}`)).toMatch(/^-O3 /);
});

test("a compiler that is not there is named, beside what to install", () => {
  const directory = temporaryDirectory();
  const { status, stderr } = build(directory, "/nowhere/cc -O2");
  expect(status).toBe(1);
  expect(stderr).toMatch(
    /^The trainer was not compiled\. It needs a C compiler \(Debian, Ubuntu: apt-get install gcc/,
  );
  expect(stderr).toContain("/nowhere/cc ENOENT");
  expect(readdirSync(directory)).toEqual([]);
});
