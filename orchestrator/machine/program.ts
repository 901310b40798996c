/** Programs of this package that run as processes of their own. */
import { fileURLToPath } from "node:url";

/**
 * Arguments that make Node run a file, from source (through tsx) and from dist/ alike.
 * @param path without its ending, relative to orchestrator/machine/machine/
 */
export function programAt(path: string): string[] {
  const extension = import.meta.url.endsWith(".ts") ? "ts" : "js";
  const file = fileURLToPath(new URL(`${path}.${extension}`, import.meta.url));
  return extension === "ts" ? ["--import", "tsx", file] : [file];
}
