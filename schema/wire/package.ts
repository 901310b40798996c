/** Where this package lies on disk, and its version: for the files that ship beside the code (SQL, sweep files). */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The directory of package.json, from source and from dist/ alike. */
export function packageRoot(): string {
  let directory = dirname(fileURLToPath(import.meta.url));
  while (!existsSync(join(directory, "package.json"))) directory = dirname(directory);
  return directory;
}

/** What has to be on a Python's search path to run the trainer in PyTorch. */
export const torchPackages = (): string => join(packageRoot(), "workers", "trainers", "torch");

/** Where musweep.py lies, which scripts of one's own import. */
export const scriptPackages = (): string => join(packageRoot(), "workers", "python");

/** The user's own files that can be made again: $XDG_CACHE_HOME/musweep, or ~/.cache/musweep. */
export const cacheDirectory = (): string =>
  join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "musweep");

/** A text that names pages of the docs (docs/sql.md), with their full paths unless this is the directory that has them. */
export function withDocPaths(text: string): string {
  const root = packageRoot();
  if (process.cwd() === root) return text;
  return text.replace(/(?<![\w./-])docs\/[a-z-]+\.md/g, (page) => {
    const path = join(root, page);
    return existsSync(path) ? path : page;
  });
}

let version: string | undefined;

export function packageVersion(): string {
  version ??= (JSON.parse(readFileSync(join(packageRoot(), "package.json"), "utf8")) as { version: string })
    .version;
  return version;
}
