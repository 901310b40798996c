/** Writes schema/sweep/sweep.schema.json, the sweep file's JSON Schema for editors, from schema/sweep/sweep.ts. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { sweepJsonSchema } from "../schema/sweep/json-schema.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
const path = `${root}schema/sweep/sweep.schema.json`;
writeFileSync(path, JSON.stringify(sweepJsonSchema(), null, 2));
execFileSync("npx", ["biome", "format", "--write", path], { cwd: root, stdio: "inherit" });
