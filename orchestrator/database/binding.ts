/**
 * SQLite's binding that fits the running Node: better-sqlite3 13 needs Node-API 10 (Node 22 and later, and it crashes on 20);
 * 12 aborts on recent Node 24. 13 comes ready-made in its package; 12 is fetched or compiled: in a clone when it is
 * set up, elsewhere at first use, once for each user. So no other Node waits for it.
 */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import type Sqlite from "better-sqlite3";
import { MusweepError } from "../../schema/wire/errors.ts";
import { makeOldBinding, oldBindingPath } from "./make-old-binding.ts";

let binding: typeof Sqlite | undefined;

/** @throws MusweepError (unavailable) saying what this Node needs */
export function loadBinding(): typeof Sqlite {
  if (binding !== undefined) return binding;
  const isOldNode = Number(process.versions.napi) < 10;
  if (isOldNode) {
    binding = tryLoad("better-sqlite3-12") ?? tryLoad(oldBindingPath());
    if (binding !== undefined) return binding;
    makeOldBinding();
  }
  binding = isOldNode
    ? load(oldBindingPath(), `Remove ${dirname(dirname(oldBindingPath()))}: the next command makes it again.`)
    : load("better-sqlite3");
  return binding;
}

function load(name: string, remedy = "Remove node_modules and install again with this Node."): typeof Sqlite {
  try {
    const loaded = createRequire(import.meta.url)(name) as typeof Sqlite;
    // Only now it looks for its compiled part.
    new loaded(":memory:").close();
    return loaded;
  } catch (cause) {
    throw new MusweepError("sqlite-binding", `cannot load ${name} on Node ${process.versions.node}`, {
      kind: "unavailable",
      remedy,
      cause,
    });
  }
}

function tryLoad(name: string): typeof Sqlite | undefined {
  try {
    return load(name);
  } catch {
    return undefined;
  }
}
