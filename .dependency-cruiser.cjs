/**
 * Which room may import which: one line a room, from the bottom of the house to its top. `npm run check` holds the code against
 * it (docs/architecture.md draws it). Types count: who needs a type has to know the room that it comes from.
 */
const rooms = {
  // Shapes, which both sides share. What crosses between processes knows nothing of sweep files and tables.
  "schema/wire": [],
  "schema/sweep": ["schema/wire"],
  "schema/database": ["schema/sweep", "schema/wire"],

  "orchestrator/analysis": ["schema"],
  "orchestrator/parameterization": ["schema"],
  "orchestrator/sweep": ["schema", "orchestrator/parameterization"],
  "orchestrator/terminal": ["schema/wire"],
  "orchestrator/machine": ["schema/wire"],
  "orchestrator/redis": ["schema/wire", "orchestrator/machine"],
  "orchestrator/data": ["schema", "orchestrator/machine"],
  "orchestrator/database": [
    "schema",
    "orchestrator/analysis",
    "orchestrator/parameterization",
    "orchestrator/sweep",
  ],
  "orchestrator/import": [
    "schema",
    "orchestrator/data",
    "orchestrator/parameterization",
    "orchestrator/sweep",
  ],
  "orchestrator/sql": ["schema/wire", "orchestrator/database", "orchestrator/machine"],
  "orchestrator/phases": [
    "schema",
    "orchestrator/analysis",
    "orchestrator/database",
    "orchestrator/parameterization",
    "orchestrator/sweep",
  ],
  "orchestrator/upkeep": ["schema", "orchestrator/data", "orchestrator/database", "orchestrator/machine"],
  "orchestrator/queue": [
    "schema",
    "orchestrator/database",
    "orchestrator/machine",
    "orchestrator/phases",
    "orchestrator/redis",
    "orchestrator/sweep",
    "orchestrator/upkeep",
  ],
  "orchestrator/submission": [
    "schema",
    "orchestrator/data",
    "orchestrator/database",
    "orchestrator/machine",
    "orchestrator/parameterization",
    "orchestrator/phases",
    "orchestrator/sweep",
  ],
  "orchestrator/report": [
    "schema",
    "orchestrator/analysis",
    "orchestrator/database",
    "orchestrator/parameterization",
    "orchestrator/phases",
    "orchestrator/sweep",
    "orchestrator/terminal",
  ],
  "orchestrator/chaos": [
    "schema/wire",
    "orchestrator/database",
    "orchestrator/machine",
    "orchestrator/redis",
  ],
  "orchestrator/dashboard": ["schema", "orchestrator/(?!commands/)[a-z-]+"],
  "orchestrator/commands": ["schema", "orchestrator/[a-z-]+"],

  "workers/trainers/common": ["schema/wire"],
  "workers/trainers/cpu": ["schema/wire", "workers/trainers/common"],
  "workers/(?!trainers/)[a-z-]+[.]ts": ["schema/wire", "workers/[a-z-]+[.]ts"],
};

/** A room is named by the beginning of its files' paths. */
const within = (names) => `^(${names.map((name) => (name.endsWith("ts") ? name : `${name}/`)).join("|")})`;

module.exports = {
  forbidden: [
    { name: "no circle", severity: "error", from: {}, to: { circular: true } },
    ...Object.entries(rooms).map(([room, below]) => ({
      name: `${room} imports what is below it alone`,
      severity: "error",
      from: { path: within([room]) },
      to: { path: "^(orchestrator|workers|schema)/", pathNot: within([room, ...below]) },
    })),
    {
      name: "the database's libraries stay in its room",
      comment: "Others hold a Database (orchestrator/database/connection.ts) and call the room's functions.",
      severity: "error",
      from: { pathNot: within(["orchestrator/database", "schema/database"]) },
      to: {
        path: "^(orchestrator/database/connection[.]ts|node_modules/(@types/)?(better-sqlite3|drizzle-orm))",
      },
    },
    {
      name: "every file has its room",
      comment: "A new folder gets its line above; loose files belong into a folder.",
      severity: "error",
      from: {},
      to: {
        path: "^(orchestrator|workers|schema)/",
        pathNot: within([...Object.keys(rooms), "orchestrator/cli.ts"]),
      },
    },
  ],
  options: {
    // TypeScript 7 has no interface for tools yet.
    parser: "swc",
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { extensions: [".ts", ".js"] },
  },
};
