/** A container or a batch job may use less memory than its machine has: what a slot may take follows from that. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from "node:fs";
import { totalmem } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { memoryBytesPerSlot } from "../../../orchestrator/machine/slot-memory.ts";
import { ROOT } from "../../../scripts/setup.mjs";

const LIMIT = 2 ** 31;

/** A control group that may use LIMIT bytes, of the first or the second kind. @returns why none can be made */
function limitedGroup(): string | { directory: string } {
  const first = existsSync("/sys/fs/cgroup/memory");
  const directory = join("/sys/fs/cgroup", first ? "memory" : "", `musweep-test-${process.pid}`);
  try {
    mkdirSync(directory);
  } catch (error) {
    return (error as Error).message;
  }
  try {
    writeFileSync(join(directory, first ? "memory.limit_in_bytes" : "memory.max"), String(LIMIT));
    return { directory };
  } catch (error) {
    rmdirSync(directory);
    return (error as Error).message;
  }
}

it("without a limit it is the machine's, shared by the slots", () => {
  const [one, two] = [memoryBytesPerSlot(1), memoryBytesPerSlot(2)];
  expect(one).toBeLessThanOrEqual(0.85 * totalmem());
  expect(two).toBe(Math.floor(one / 2));
});

const group = limitedGroup();
if (typeof group === "string") console.warn(`NOT TESTED: memory in a control group (${group})`);

it.runIf(typeof group !== "string")("within a limit it is the limit's", () => {
  const { directory } = group as { directory: string };
  const module = join(ROOT, "orchestrator", "machine", "slot-memory.ts");
  const script = `import("${module}").then((m) => console.log(m.memoryBytesPerSlot(2)))`;
  try {
    const command = `echo $$ > "$0/cgroup.procs"; exec "$1" --import tsx -e "$2"`;
    const said = execFileSync("sh", ["-c", command, directory, process.execPath, script], {
      cwd: ROOT,
      encoding: "utf8",
    });
    expect(Number(said)).toBe(Math.floor((LIMIT * 0.85) / 2));
  } finally {
    rmdirSync(directory);
  }
});
