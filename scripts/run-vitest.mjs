/** Runs vitest on this terminal and counts its tests. Plain Node: `npm test` and `npm run test:torch` call it. */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { ROOT, runInherited } from "./setup.mjs";

/** Counts from vitest's JSON report; null when it wrote none. */
function countTests(report) {
  try {
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
      readFileSync(report, "utf8"),
    );
    return { passed: numPassedTests, failed: numFailedTests, skipped: numPendingTests + numTodoTests };
  } catch {
    return null;
  }
}

/** @returns {Promise<{ code: number, counts: { passed: number, failed: number, skipped: number } | null }>} */
export async function runVitest(args, env) {
  const directory = mkdtempSync(path.join(tmpdir(), "musweep-report-"));
  try {
    const report = path.join(directory, "report.json");
    const vitest = path.join(ROOT, "node_modules", "vitest", "vitest.mjs");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const code = await runInherited(process.execPath, [vitest, "run", ...reporters, ...args], env);
    return { code, counts: countTests(report) };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The last line of a run of tests. */
export const countsText = ({ passed, failed, skipped }) =>
  `Tests: ${passed} passed, ${failed} failed, ${skipped} skipped`;
