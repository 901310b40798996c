/**
 * `npm test`: sets up what is missing, then types, lint and unused code (npm run check), then the tests. With arguments
 * (`npm test -- test/schema`) only the tests, and the arguments go on to vitest. The last line counts the tests.
 *
 * The tests start their own servers: REDIS_URL is not theirs to use and is taken out of their environment.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { main, ROOT, runInherited, setUp } from "./setup.mjs";

/** Counts from vitest's JSON report; null when it wrote none. */
function countTests(report) {
  try {
    const { numPassedTests, numFailedTests, numPendingTests, numTodoTests } = JSON.parse(
      readFileSync(report, "utf8"),
    );
    return `${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests + numTodoTests} skipped`;
  } catch {
    return null;
  }
}

await main(async () => {
  const args = process.argv.slice(2);
  await setUp({ redis: true, browser: true });
  const { REDIS_URL: _, ...env } = process.env;
  const check = args.length === 0 ? await runInherited("npm", ["run", "--silent", "check"], env) : 0;
  const directory = mkdtempSync(path.join(tmpdir(), "musweep-report-"));
  try {
    const report = path.join(directory, "report.json");
    const vitest = path.join(ROOT, "node_modules", "vitest", "vitest.mjs");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const tests = await runInherited(process.execPath, [vitest, "run", ...reporters, ...args], env);
    if (check !== 0) console.log(`npm run check failed with exit code ${check}; see above`);
    const counts = countTests(report);
    if (counts !== null) console.log(`Tests: ${counts}`);
    return tests || check;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
