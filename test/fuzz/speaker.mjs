/** A trainer that writes what a file holds: its first line at once, the rest when it is asked for a run; then it ends. */
import { readFileSync } from "node:fs";

const [first, ...rest] = readFileSync(process.argv[2], "utf8").split("\n");
process.stdout.write(`${first}\n`);
process.stdin.once("data", () => process.stdout.write(rest.join("\n"), () => process.exit(0)));
process.stdin.once("end", () => process.exit(0));
