/** Whether dist/ is of the sources as they are. A process that loads it starts three times as fast as one that loads TypeScript. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "../../scripts/setup.mjs";

const written = (path: string): number => statSync(path).mtimeMs;

const newest = (directory: string): number =>
  Math.max(
    ...readdirSync(join(ROOT, directory), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.[ch]$|\.ts$/.test(entry.name))
      .map((entry) => written(join(entry.parentPath, entry.name))),
  );

/** @param entry below dist/, as it is made last of what it needs; @param rooms the directories that it is made of */
export function isBuilt(entry: string, rooms: readonly string[]): boolean {
  const built = join(ROOT, "dist", entry);
  return existsSync(built) && rooms.every((room) => newest(room) < written(built));
}
