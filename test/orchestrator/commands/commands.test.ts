/** Every command as its user meets it: help with examples, one JSON value, exit codes, errors with a remedy. */
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EXIT_CODES } from "../../../schema/wire/errors.ts";
import {
  freePort,
  Musweep,
  misbehavingTrainer,
  musweep,
  sql,
  succeed,
  writeSweep,
} from "../../support/musweep.ts";
import { scratch } from "../../support/scratch.ts";

const place = scratch(afterAll);
let ran: string;

beforeAll(async () => {
  ran = (await musweep(place, "run", writeSweep(place, { sparsity: "[0]" }), "--json")).stdout;
  writeFileSync(join(place.directory, "table.csv"), "lr,val_loss\n0.1,3\n");
});

const COMMANDS = [
  ...[
    "init",
    "validate",
    "plan",
    "run",
    "coord-check",
    "submit",
    "serve",
    "worker",
    "status",
    "report",
    "recommend",
    "suggest",
    "export",
    "import",
    "analyze",
    "jobs",
    "collect",
    "requeue",
    "cancel",
    "note",
    "tag",
    "archive",
    "rm",
    "prune",
    "verify",
    "backup",
    "sql",
  ],
  ...["data prepare", "trainer check", "doctor", "chaos"],
];

describe("--help", () => {
  it("lists these commands and no others, and the exit codes as they are", async () => {
    const { stdout } = await succeed(place, "--help");
    const section = stdout.slice(stdout.indexOf("Commands:"), stdout.indexOf("Start here:"));
    const listed = [...section.matchAll(/^ {2}([a-z-]+) /gm)].map((match) => match[1]);
    expect(listed.filter((name) => name !== "help").toSorted()).toEqual(
      COMMANDS.map((command) => command.split(" ")[0]).toSorted(),
    );
    for (const code of Object.values(EXIT_CODES)) expect(stdout).toMatch(new RegExp(`\\b${code} [a-z]`));
  });

  it.concurrent.each(COMMANDS)("%s: examples, --dir and --json", async (command) => {
    const { stdout } = await succeed(place, ...command.split(" "), "--help");
    expect(stdout).toMatch(new RegExp(`^Examples:\\n  \\$ .*musweep ${command}`, "m"));
    expect(stdout).toContain("--dir <path>");
    expect(stdout).toContain("--json");
    // What it names is there, wherever it is asked: pages of the docs by their paths, sweep files as init calls them.
    for (const [page] of stdout.matchAll(/\S*docs\/[a-z-]+\.md/g)) expect(existsSync(page), page).toBe(true);
    expect(stdout).not.toMatch(/sweeps\/\w/);
  });

  it("lists what a command uses: no options of a worker where none is started, no files where none is read", async () => {
    const help = async (...command: string[]) => (await succeed(place, ...command, "--help")).stdout;
    for (const command of ["init", "validate", "analyze"])
      expect(await help(command)).not.toContain("--shared");
    const plan = await help("plan");
    expect(plan).toContain("--slots");
    for (const option of ["--checkpoint-seconds", "--silence-seconds", "--lock-seconds"])
      expect(plan).not.toContain(option);
    const check = await help("trainer", "check");
    expect(check).toContain("--silence-seconds");
    expect(check).not.toMatch(/--(slots|checkpoint-seconds|lock-seconds)/);
    // Taken all the same: the options of a run can be given as they are.
    await succeed(place, "plan", "tiny.yaml", "--lock-seconds", "10", "--no-measure");
  });
});

describe("--json prints one JSON value", () => {
  it.each<[string, string[], Record<string, unknown>]>([
    ["init", ["made.yaml"], { file: "made.yaml", script: null }],
    ["validate", ["tiny.yaml"], { sweep: "tiny", valid: true, points: 3, cells: 3 }],
    ["plan", ["tiny.yaml", "--no-measure"], { sweep: "tiny", runs: 3, done: 3, to_train: 0, seconds: null }],
    ["submit", ["tiny.yaml"], { sweep: "tiny", points: 3, done: 3, new_runs: 0 }],
    ["status", ["tiny"], { sweep: "tiny", state: "complete", fraction: 1 }],
    ["report", ["tiny"], { progress: expect.anything(), rows: expect.anything() }],
    ["requeue", ["tiny", "--missing"], { sweep: "tiny", requeued: 0 }],
    ["cancel", ["tiny"], { sweep: "tiny", cancelled: 0 }],
    ["data prepare", ["moby-dick"], { tokenizer: "bytes", vocab_size: 256 }],
  ])("%s", async (command, args, value) => {
    const { stdout } = await succeed(place, ...command.split(" "), ...args, "--json");
    expect(JSON.parse(stdout)).toMatchObject(value);
  });

  it("run, status of all, sql, doctor and plan --resolved", async () => {
    expect(JSON.parse(ran)).toMatchObject({ progress: { sweep: "tiny" }, seconds: expect.any(Number) });
    const [status] = JSON.parse((await succeed(place, "status", "--json")).stdout) as Record<
      string,
      unknown
    >[];
    expect(status).toMatchObject({ sweep: "tiny" });
    // No Redis, no word about workers.
    expect(status).not.toHaveProperty("workers");
    const rows = await succeed(place, "sql", "SELECT 1 AS one, NULL AS none", "--json");
    expect(JSON.parse(rows.stdout)).toEqual([{ one: 1, none: null }]);
    expect(Array.isArray(JSON.parse((await musweep(place, "doctor", "--json")).stdout))).toBe(true);
    const resolved = await succeed(place, "plan", "tiny.yaml", "--resolved", "--match", "lr 2^-6", "--json");
    expect(JSON.parse(resolved.stdout)).toMatchObject([{ title: expect.stringContaining("lr 2^-6") }]);
  });

  it("serve and worker, when they are ready", async () => {
    const own = scratch();
    const serve = new Musweep(own, ["serve", "--port", String(await freePort()), "--json"]);
    await serve.says(/musweep is at/);
    const worker = new Musweep(own, ["worker", "--slots", "1", "--json"]);
    await worker.says(/worker ready/);
    const ended = [await worker.signal("SIGINT"), await serve.signal("SIGINT")];
    expect(ended.map(({ code }) => code)).toEqual([0, 0]);
    expect(JSON.parse(ended[0]!.stdout)).toMatchObject({ slots: 1, redis: expect.any(String) });
    expect(JSON.parse(ended[1]!.stdout)).toMatchObject({ url: expect.stringContaining("http://127.0.0.1:") });
  });

  it("errors too, with their code and remedy", async () => {
    const { code, stdout, stderr } = await musweep(place, "report", "tny", "--json");
    expect([code, stderr]).toEqual([2, ""]);
    expect(JSON.parse(stdout)).toEqual({
      error: { code: "unknown-sweep", message: 'there is no sweep "tny"', remedy: 'Did you mean "tiny"?' },
    });
    writeFileSync(join(place.directory, "bad.yaml"), "name: bad\nmodle: {}\n");
    const bad = await musweep(place, "validate", "bad.yaml", "--json");
    expect(bad.code).toBe(2);
    expect(JSON.parse(bad.stdout)).toMatchObject({
      error: {
        code: "sweep-file",
        problems: expect.arrayContaining([expect.objectContaining({ line: 2, column: 1 })]),
      },
    });
  });

  it("a run that is interrupted, with how to resume", async () => {
    const own = scratch();
    const run = new Musweep(own, ["run", writeSweep(own, { steps: 10_000_000 }), "--json"]);
    await run.says(/3 to train|6 to train/);
    const { code, stdout } = await run.signal("SIGINT");
    expect(code).toBe(130);
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: "interrupted", remedy: expect.stringContaining("musweep run tiny.yaml") },
    });
  });
});

const RECOMMEND = "recommend tiny --width 128 --sparsity 0 --parameterization".split(" ");

describe("exit codes and messages", () => {
  it.concurrent.each<[string, string[], number, RegExp]>([
    ["an unknown command", ["trian"], 2, /unknown command 'trian'/],
    ["an unknown option", ["run", "tiny.yaml", "--slot", "2"], 2, /unknown option '--slot'/],
    ["a missing argument", ["run"], 2, /missing required argument 'file'/],
    [
      "a count that is none",
      ["run", "tiny.yaml", "--slots", "two"],
      2,
      /--slots wants a whole number from 1 to 1024, not "two"/,
    ],
    ["no such file", ["run", "none.yaml"], 2, /cannot read none\.yaml/],
    ["init over a file", ["init", "tiny.yaml"], 2, /tiny\.yaml exists already/],
    ["no such sweep", ["status", "tny"], 2, /Did you mean "tiny"\?/],
    [
      "requeue without saying what",
      ["requeue", "tiny"],
      2,
      /--failed or --missing, --all, --engine NAME, --run ID/,
    ],
    [
      "a server that is not there",
      ["submit", "tiny.yaml", "--server", "http://127.0.0.1:1"],
      3,
      /cannot reach/,
    ],
    ["a Redis that is not there", ["worker", "--redis", "redis://127.0.0.1:1"], 3, /cannot be used/],
    ["a worker without serve", ["worker"], 3, /no Redis is running .*\n.*musweep serve/],
    [
      "no database yet",
      ["report", "tiny", "--dir", "nowhere"],
      3,
      /no sweeps here yet: there is no .*nowhere/,
    ],
    [
      "a parameterization by its title",
      [...RECOMMEND, "μP"],
      2,
      /tiny has no curve under mup\nIt has: supar/,
    ],
    [
      "a parameterization that is none",
      [...RECOMMEND, "ntk"],
      2,
      /wants one of sp, mup, supar, .*, not "ntk"/,
    ],
    ["serve for all without a token", ["serve", "--host", "0.0.0.0"], 2, /needs a token/],
  ])("%s", async (_what, args, code, message) => {
    const ended = await musweep(place, ...args);
    expect(ended).toMatchObject({ code, stdout: "" });
    expect(ended.stderr).toMatch(message);
  });

  it.concurrent.each<[string, number, RegExp]>([
    ...[
      "cancel tiny",
      "requeue tiny --all",
      "archive tiny",
      "rm tiny --yes",
      "jobs tiny --out jobs.jsonl",
      "collect events.jsonl",
      "note tiny text",
      "tag tiny word",
      "prune --yes",
      "verify --repair",
    ].map((command): [string, number, RegExp] => [command, 3, /^no sweeps here yet: /]),
    ["worker --until-empty", 3, /^no Redis is running/],
    ...["serve --port 99999", "serve --port 0", "run tiny.yaml --port 65536"].map(
      (command): [string, number, RegExp] => [
        command,
        2,
        /^--port wants a whole number from 1 to 65535, not /,
      ],
    ),
    // Node's timers would go off at once.
    ["worker --silence-seconds 2147484", 2, /^--silence-seconds wants a whole number from 1 to 2147483, /],
    ["worker --slots 1025", 2, /^--slots wants a whole number from 1 to 1024, /],
    ["data prepare none.txt", 3, /^Data file not found: .*none\.txt/],
    ["data prepare nowhere/*.txt", 3, /^no file matches /],
  ])("%s in an empty directory makes no state directory", async (command, code, message) => {
    const dir = `empty-${command.replaceAll(/\W/g, "-")}`;
    const ended = await musweep(place, ...command.split(" "), "--dir", dir);
    expect(ended).toMatchObject({ code, stdout: "", stderr: expect.stringMatching(message) });
    expect(existsSync(join(place.directory, dir))).toBe(false);
  });

  it.concurrent.each<[string, RegExp]>([
    ["validate none.yaml", /^cannot read none\.yaml: none\.yaml is not there\n.*musweep init/],
    ["plan none.yaml", /^cannot read none\.yaml: none\.yaml is not there\n.*musweep init/],
    ["run none.yaml", /^cannot read none\.yaml: none\.yaml is not there\n.*musweep init/],
    ["submit none.yaml", /^cannot read none\.yaml: none\.yaml is not there\n.*musweep init/],
    ["analyze none.csv", /^cannot read none\.csv: none\.csv is not there\n.+/],
    ["import none.csv --name none", /^cannot read none\.csv: none\.csv is not there\n.+/],
    ["collect none.jsonl", /^cannot read none\.jsonl: none\.jsonl is not there\n.+/],
    [
      "analyze tiny.yaml",
      /^tiny\.yaml is a sweep file, not a table of results\nmusweep plan tiny\.yaml says .*run/,
    ],
    ["suggest tiny.yaml", /^tiny\.yaml is a sweep file, not a table of results\n/],
    [
      "plan table.csv",
      /^table\.csv is a table of results, not a sweep file\nmusweep analyze table\.csv says /,
    ],
    ["run table.csv", /^table\.csv is a table of results, not a sweep file\n/],
    ...["plan tiny", "run tiny", "validate tiny", "analyze tiny"].map((command): [string, RegExp] => [
      command,
      /^tiny is the name of a sweep, and no file of that name is there\nmusweep status tiny says .*musweep report tiny /,
    ]),
  ])("%s: 2, and what to do", async (command, message) => {
    expect(await musweep(place, ...command.split(" "))).toMatchObject({
      code: 2,
      stdout: "",
      stderr: expect.stringMatching(message),
    });
  });

  it("a file in a directory that is not there: which directory", async () => {
    expect(await musweep(place, "init", "sub2/x.yaml")).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^there is no directory sub2\n/),
    });
    expect((await musweep(place, "plan", "sub2/x.yaml")).stderr).toMatch(
      /^cannot read .*: there is no directory sub2\n/,
    );
  });

  it("a misspelt column or view of a query: the nearest, and what there is", async () => {
    const says = async (query: string) => (await musweep(place, "sql", query)).stderr;
    expect(await says("SELECT lr FROM optima")).toMatch(
      /^the query failed: no such column: lr\nDid you mean log2_lr\? optima has: sweep, .*\blog2_lr, /,
    );
    expect(await says("SELECT o.losss FROM optima o")).toMatch(/Did you mean loss\? optima has: /);
    expect(await says("SELECT * FROM optma")).toMatch(/Did you mean optima\? The views: /);
  });

  it("a message names pages of the docs by their paths", async () => {
    writeFileSync(join(place.directory, "wrong.yaml"), "name: wrong\nmodle: {}\n");
    const { stderr } = await musweep(place, "validate", "wrong.yaml");
    const page = /\S*docs\/sweep-file\.md/.exec(stderr)![0];
    expect(page).toMatch(/^\//);
    expect(existsSync(page)).toBe(true);
  });

  it("a port that is taken: 3, and nothing is left running", async () => {
    const own = scratch();
    const port = String(await freePort());
    const first = new Musweep(own, ["serve", "--port", port]);
    await first.says(/musweep is at/);
    const second = await musweep(own, "serve", "--port", port, "--dir", "second");
    expect(second.code).toBe(3);
    expect(second.stderr).toContain(`cannot listen on 127.0.0.1:${port}: is in use`);
    await first.signal("SIGTERM");
  });

  it("a trainer that cannot be started: 3, with its name", async () => {
    const own = scratch();
    const ended = await musweep(own, "run", writeSweep(own), "--trainer", "musweep=./no-such-trainer");
    expect(ended.code).toBe(3);
    expect(ended.stderr).toContain("cannot start ./no-such-trainer");
  });
});

describe("what is odd about a file", () => {
  it("is said by every command that reads it, beside its JSON", async () => {
    const own = scratch();
    cpSync(place.directory, own.directory, { recursive: true });
    const text = readFileSync(join(place.directory, "tiny.yaml"), "utf8");
    const odd = text.replace(/learning_rate: .*/, "learning_rate: [0.015625, 0.015626]");
    writeFileSync(join(own.directory, "odd.yaml"), odd.replace("name: tiny", "name: odd"));
    const said = /^odd\.yaml:\d+:\d+: warning: axes\.learning_rate\[1\]: 0\.015626 is nearly 0\.015625/m;
    const { stdout } = await succeed(own, "validate", "odd.yaml");
    expect(stdout).toMatch(said);
    for (const args of [["plan", "--no-measure"], ["submit"]]) {
      const ended = await succeed(own, ...args, "odd.yaml", "--json");
      expect(ended.stderr).toMatch(said);
      expect(JSON.parse(ended.stdout)).toMatchObject({
        warnings: [{ path: "axes.learning_rate[1]", message: expect.stringContaining("is nearly") }],
      });
    }
    expect((await succeed(own, "run", "odd.yaml")).stderr).toMatch(said);
  });
});

describe("--trainer with a command", () => {
  it("takes a quoted path, and plan measures that trainer, not the built-in one", async () => {
    const own = scratch();
    const folder = join(own.directory, "my trainers");
    mkdirSync(folder);
    const script = join(folder, "slow one.mjs");
    writeFileSync(script, `import ${JSON.stringify(misbehavingTrainer("").split(" ")[1])};\n`);
    const trainer = `musweep=${process.execPath} '${script}' failed-for-good`;
    const ended = await musweep(own, "run", writeSweep(own, { sparsity: "[0]" }), "--trainer", trainer);
    expect(ended.code).toBe(1);
    expect(ended.stdout).toContain("This engine knows no ALiBi.");
    const planned = await musweep(own, "plan", "tiny.yaml", "--trainer", trainer);
    expect(planned.code).toBe(3);
    expect(planned.stderr).toContain("This engine knows no ALiBi.");
    const empty = await musweep(own, "plan", "tiny.yaml", "--trainer", "musweep=  ");
    expect([empty.code, empty.stderr]).toEqual([
      2,
      expect.stringContaining("--trainer musweep=: its command is empty"),
    ]);
  });
});

describe("sql", () => {
  it.concurrent.each([
    "INSERT INTO settings VALUES ('a', 'b')",
    "INSERT INTO settings VALUES ('a', 'b') RETURNING key",
    "UPDATE runs SET state = 'failed' RETURNING id",
    "DELETE FROM runs",
    "DROP VIEW optima",
    "ATTACH DATABASE 'other.db' AS other",
    "VACUUM INTO 'copy.db'",
    "PRAGMA user_version = 7",
    "SELECT 1; DELETE FROM runs",
  ])("refuses to write: %s", async (query) => {
    const dump = () => sql(place, "SELECT state, count(*) AS n FROM runs GROUP BY state");
    const before = dump();
    const ended = await musweep(place, "sql", query);
    expect(ended).toMatchObject({ code: 2, stdout: "" });
    expect(ended.stderr).toMatch(/the query failed: /);
    expect(dump()).toEqual(before);
    for (const file of ["other.db", "copy.db"]) expect(existsSync(join(place.directory, file))).toBe(false);
    expect(sql(place, "SELECT 1 FROM settings WHERE key = 'a'")).toEqual([]);
  });

  it("prints a table, and CSV that quotes what needs it", async () => {
    const query = "SELECT 'a,b' AS text, 'say \"x\"' AS quoted, 1.5 AS number, NULL AS none";
    expect((await succeed(place, "sql", query, "--csv")).stdout).toBe(
      'text,quoted,number,none\n"a,b","say ""x""",1.5,\n',
    );
    expect((await succeed(place, "sql", query)).stdout).toBe(
      'text  quoted   number  none\na,b   say "x"     1.5\n',
    );
  });
});

describe("init", () => {
  it("writes a file that plan accepts, and never over another", async () => {
    const own = scratch();
    await succeed(own, "init");
    const text = readFileSync(join(own.directory, "sweep.yaml"), "utf8");
    expect(await musweep(own, "init")).toMatchObject({ code: 2 });
    expect(readFileSync(join(own.directory, "sweep.yaml"), "utf8")).toBe(text);
    const { stdout } = await succeed(own, "validate", "sweep.yaml");
    expect(stdout).toMatch(/^sweep\.yaml: valid\./);
  });

  it("--from writes other beginnings, which are valid too", async () => {
    const own = scratch();
    for (const [from, file] of [
      ["quickstart", "quickstart.yaml"],
      ["paper", "lr-vs-sparsity.yaml"],
      ["own-text", "text.yaml"],
      ["own-model", "model.yaml"],
    ] as const) {
      await succeed(own, "init", file, "--from", from);
      expect((await succeed(own, "validate", file)).stdout).toContain(`${file}: valid.`);
    }
    expect(readFileSync(join(own.directory, "text.yaml"), "utf8")).toContain("  file: my-text.txt");
    expect(readFileSync(join(own.directory, "train.py"), "utf8")).toContain("musweep.main(train)");
    // Another name for the same beginning, not for the commented one.
    const again = await musweep(own, "init", "text.yaml", "--from", "own-text");
    expect(again).toMatchObject({
      code: 2,
      stderr: expect.stringContaining(": musweep init --from own-text FILE."),
    });
  });
});

describe("what is said to be done next", () => {
  it("can be pasted: paths with spaces are in quotes", async () => {
    const own = scratch();
    const { stdout } = await succeed(own, "init", "my mlp.yaml", "--from", "own-model");
    const options = "'my mlp.yaml' --trainer 'mlp=python3 train.py'";
    expect(stdout).toContain(`Next: musweep plan ${options}, then musweep run ${options}\n`);
    await succeed(own, "submit", writeSweep(own));
    const jobs = (await succeed(own, "jobs", "tiny", "--out", "jobs ü.jsonl")).stdout;
    expect(jobs).toContain(" --jobs 'jobs ü.jsonl' --data ");
    // Without the option: as the file's own comment has it.
    const said = "--trainer 'mlp=python3 train.py'";
    expect((await succeed(own, "plan", "my mlp.yaml")).stdout).toContain(
      `\`musweep worker ${said}\` starts one`,
    );
    expect((await musweep(own, "run", "my mlp.yaml")).stderr).toContain(`\nAdd ${said}; or train with`);
    expect(readFileSync(join(own.directory, "my mlp.yaml"), "utf8")).toContain(
      `#   musweep run ${options}\n`,
    );
    const ran = await succeed(place, "run", "tiny.yaml", "--dir", "another directory");
    const next = ran.stdout.slice(ran.stdout.indexOf("Next:")).trimEnd().split("\n").slice(1);
    expect(next.length).toBeGreaterThan(2);
    for (const line of next) expect(line).toMatch(/^ {2}musweep .* --dir 'another directory'( {3}# .*)?$/);
  });

  it("after a decided verdict is a model to train; where runs failed, no run to add", async () => {
    const own = scratch();
    const file = (name: string, more = ""): string => {
      const text = `name: ${name}
trainer: valley
model: { width: 32, layers: 1 }
training: { steps: 4 }
base: { width: 32 }
axes: { parameterization: [sp, mup], width: [32, 64], learning_rate: { log2: { from: -10, to: -4 } }${more} }
`;
      writeFileSync(join(own.directory, `${name}.yaml`), text);
      return `${name}.yaml`;
    };
    const valley = `valley=${process.execPath} ${fileURLToPath(new URL("../../fixtures/trainers/valley.mjs", import.meta.url))}`;
    const { stdout } = await succeed(own, "run", file("found"), "--trainer", valley);
    expect(stdout).toContain("\n  musweep recommend found --width 256   # for a model that you will train\n");
    expect((await succeed(own, "recommend", "found", "--width", "256")).stdout).toContain(
      "width 256, sparsity 0",
    );
    const broken = `valley=${process.execPath} ${misbehavingTrainer("").split(" ")[1]} failed-for-good`;
    const lost = await musweep(own, "run", file("lost", ", seed: [7]"), "--trainer", broken);
    expect(lost.code).toBe(1);
    expect(lost.stdout).toContain("runs next to the best failed or were cancelled: train them again");
    expect(lost.stdout).not.toMatch(/musweep (suggest|recommend)/);
    expect((await succeed(own, "suggest", "lost")).stdout).toContain("no run would decide more");

    // All of one failed, all of the other is done: neither has anything left to train or to cancel.
    const states = async () => {
      const all = JSON.parse((await succeed(own, "status", "--json")).stdout) as {
        sweep: string;
        state: string;
      }[];
      return Object.fromEntries(all.map(({ sweep, state }) => [sweep, state]));
    };
    expect(await states()).toEqual({ found: "complete", lost: "failed" });
    const { stdout: status } = await succeed(own, "status");
    expect(status).toMatch(/^lost +failed +0% /m);
    expect(status).toContain("\nNothing is left to train.");
    for (const name of ["found", "lost"])
      expect((await succeed(own, "cancel", name)).stdout).toContain("nothing was cancelled");
    expect(await states()).toEqual({ found: "complete", lost: "failed" });
  });
});

describe("requeue", () => {
  it("--failed takes the failed, --missing the cancelled as well", async () => {
    const own = scratch();
    const file = writeSweep(own, { sparsity: "[0]" });
    await musweep(own, "run", file, "--trainer", misbehavingTrainer("failed-for-good"));
    const extended = readFileSync(join(own.directory, file), "utf8").replace("to: -5", "to: -3");
    writeFileSync(join(own.directory, file), extended);
    // 2 of the 5 have never been tried.
    const planned = await succeed(own, "plan", file, "--no-measure");
    expect(planned.stdout).toContain("5 unique runs, 0 already done, 2 to train, 3 failed");
    const submitted = await succeed(own, "submit", file);
    expect(submitted.stdout).toContain(
      "0 already trained, 2 to train; 3 failed, which `musweep requeue tiny --failed` trains again",
    );
    await succeed(own, "cancel", "tiny");
    const states = () => sql(own, "SELECT state, count(*) AS n FROM runs GROUP BY state ORDER BY state");
    expect(states()).toEqual([
      { state: "cancelled", n: 2 },
      { state: "failed", n: 3 },
    ]);
    await succeed(own, "requeue", "tiny", "--failed");
    expect(states()).toEqual([
      { state: "cancelled", n: 2 },
      { state: "pending", n: 3 },
    ]);
    await succeed(own, "requeue", "tiny", "--missing");
    expect(states()).toEqual([{ state: "pending", n: 5 }]);
  });

  it("trains again what has a result: one run, or an engine's; the old result stays with its attempt", async () => {
    const own = scratch();
    cpSync(place.directory, own.directory, { recursive: true });
    const rows = () =>
      sql<{ id: string; state: string; engine: string; validation_loss: number | null }>(
        own,
        "SELECT id, state, engine, validation_loss FROM runs WHERE id IN (SELECT run FROM run_results WHERE sweep = 'tiny') ORDER BY id",
      );
    const [first] = rows();
    const requeue = async (...args: string[]) =>
      JSON.parse((await succeed(own, "requeue", "tiny", ...args, "--json")).stdout) as object;
    expect(await requeue("--run", first!.id)).toEqual({ sweep: "tiny", requeued: 1 });
    expect(rows()[0]).toMatchObject({ state: "pending", validation_loss: null });
    expect(
      rows()
        .slice(1)
        .map(({ state }) => state),
    ).toEqual(["finished", "finished"]);
    expect(sql(own, `SELECT outcome, validation_loss FROM attempts WHERE run_id = '${first!.id}'`)).toEqual([
      { outcome: "finished", validation_loss: first!.validation_loss },
    ]);
    expect(await requeue("--engine", "another")).toEqual({ sweep: "tiny", requeued: 0 });
    expect(await requeue("--engine", first!.engine.split(" ")[0]!)).toEqual({ sweep: "tiny", requeued: 2 });
    // Trained again by the same engine, everything is as it was.
    await succeed(own, "run", "tiny.yaml");
    expect(rows()[0]).toEqual(first);
    expect(sql(own, "SELECT count(*) AS n FROM attempts WHERE outcome = 'finished'")).toEqual([{ n: 6 }]);
    expect(await requeue("--all")).toEqual({ sweep: "tiny", requeued: 3 });
  });
});
