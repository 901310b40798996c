/**
 * `npm run quickstart`: sets up what is missing, then trains sweeps/quickstart.yaml and prints the answer. Arguments go on
 * to `musweep run`. The command runs in this process, so Ctrl-C and the exit code are its own.
 */
import path from "node:path";
import { pathToFileURL } from "node:url";
import { main, ROOT, setUp } from "./setup.mjs";

await main(async () => {
  await setUp({ redis: !process.env.REDIS_URL });
  const cli = path.join(ROOT, "dist", "orchestrator", "cli.js");
  const sweep = path.relative(process.cwd(), path.join(ROOT, "sweeps", "quickstart.yaml"));
  process.argv.splice(1, process.argv.length, cli, "run", sweep, ...process.argv.slice(2));
  await import(pathToFileURL(cli).href);
  console.error("In this clone, type npx musweep where it says musweep.");
  return process.exitCode;
});
