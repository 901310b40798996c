/**
 * The trainer's compiled C. In a clone, `npm run build` has made it; an installed package brings the sources alone and
 * compiles them at first use, once for each user and version: no install script has to run, and nobody has to be root.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { MusweepError } from "./errors.ts";
import { cacheDirectory, packageRoot, packageVersion } from "./package.ts";
import { systemName } from "./system-name.ts";

/** Another compiler option or another line of C is another library. */
function sourcesHash(program: string): string {
  const hash = createHash("sha256").update(readFileSync(program));
  for (const room of ["common", "cpu"]) {
    const directory = join(packageRoot(), "workers", "trainers", room, "native");
    for (const name of readdirSync(directory).sort())
      hash.update(name).update(readFileSync(join(directory, name)));
  }
  return hash.digest("hex").slice(0, 12);
}

/**
 * @param onCompile told once, before some seconds of compiling
 * @returns the path of the library, which is there
 * @throws MusweepError (unavailable) without a compiler, or where it fails
 */
export function nativeLibrary(onCompile?: (what: string) => void): string {
  const built = join(packageRoot(), "dist", "native", "trainer.so");
  if (existsSync(built)) return built;
  const program = join(packageRoot(), "scripts", "build-native.mjs");
  const name = `trainer-${packageVersion()}-${systemName()}-${sourcesHash(program)}`;
  const directory = join(cacheDirectory(), name);
  const library = join(directory, "trainer.so");
  if (existsSync(library)) return library;
  onCompile?.(`the trainer's C code, once, into ${directory}`);
  const { status, stderr } = spawnSync(process.execPath, [program, directory], { encoding: "utf8" });
  if (status === 0) return library;
  const [reason = "", ...details] = stderr.trim().split("\n");
  throw new MusweepError("trainer-not-compiled", details.slice(-5).join("\n") || "the C compiler failed", {
    kind: "unavailable",
    remedy: reason,
  });
}
