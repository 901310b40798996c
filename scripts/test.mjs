/**
 * `npm test`: sets up what is missing, then types, lint and unused code (npm run check), then the tests. With arguments
 * (`npm test -- test/schema`) only the tests, and the arguments go on to vitest. The last line counts the tests.
 *
 * The tests start their own servers: REDIS_URL is not theirs to use and is taken out of their environment.
 */
import { countsText, runVitest } from "./run-vitest.mjs";
import { main, runInherited, setUp } from "./setup.mjs";

await main(async () => {
  const args = process.argv.slice(2);
  await setUp({ redis: true, browser: true });
  const { REDIS_URL: _, ...env } = process.env;
  const check = args.length === 0 ? await runInherited("npm", ["run", "--silent", "check"], env) : 0;
  const { code, counts } = await runVitest(args, env);
  if (check !== 0) console.log(`npm run check failed with exit code ${check}; see above`);
  if (counts !== null) console.log(countsText(counts));
  return code || check;
});
