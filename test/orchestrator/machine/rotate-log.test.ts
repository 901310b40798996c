/** Log files that are written meanwhile. */
import { closeSync, existsSync, openSync, readFileSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { rotateLog } from "../../../orchestrator/machine/rotate-log.ts";
import { scratch } from "../../support/scratch.ts";

it("a large log becomes the old one, and who has it open goes on at its beginning; a small one and none stay", () => {
  const path = join(scratch().directory, "worker.log");
  expect(rotateLog(path, 100)).toBe(false);
  const file = openSync(path, "a");
  writeSync(file, `${"x".repeat(98)}\n`);
  expect(rotateLog(path, 100)).toBe(false);
  expect(existsSync(`${path}.1`)).toBe(false);
  writeSync(file, "last\n");
  expect(rotateLog(path, 100)).toBe(true);
  writeSync(file, "first\n");
  closeSync(file);
  expect(readFileSync(path, "utf8")).toBe("first\n");
  expect(readFileSync(`${path}.1`, "utf8")).toBe(`${"x".repeat(98)}\nlast\n`);
  writeFileSync(path, "y".repeat(200));
  expect(rotateLog(path, 100)).toBe(true);
  expect(statSync(`${path}.1`).size).toBe(200);
});
