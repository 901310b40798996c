/** The built command line (dist/), run as a user runs it: one process a command, in a scratch of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";
import { openDatabase } from "../../orchestrator/database/open.ts";
import { sqliteOf } from "./database.ts";
import { type Scratch, until } from "./scratch.ts";

export const CLI = fileURLToPath(new URL("../../dist/orchestrator/cli.js", import.meta.url));
const MISBEHAVING = fileURLToPath(new URL("../fixtures/trainers/misbehaving.mjs", import.meta.url));

/** For --trainer: in place of the one that ships. */
export const misbehavingTrainer = (fault: string): string =>
  `musweep=${process.execPath} ${MISBEHAVING} ${fault}`;

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

export class Musweep {
  readonly child: ChildProcess;
  stdout = "";
  stderr = "";
  readonly ended: Promise<Ended>;

  /**
   * @param through what the command line begins with: a host's (orchestrator/chaos/hosts.ts)
   * @param cli another copy of it
   */
  constructor(
    place: Scratch,
    args: string[],
    env: NodeJS.ProcessEnv = {},
    through: readonly string[] = [],
    cli = CLI,
  ) {
    if (!existsSync(cli)) throw new Error(`${cli} is missing: npm run build`);
    const [program, ...rest] = [...through, process.execPath, cli, ...args] as [string, ...string[]];
    this.child = spawn(program, rest, {
      cwd: place.directory,
      env: { ...place.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.child.stdout!.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (code) => resolve({ code, stdout: this.stdout, stderr: this.stderr }));
    });
  }

  /** Resolves when it has said this on stderr. */
  says(pattern: RegExp): Promise<void> {
    return until(() => {
      if (!pattern.test(this.stderr)) throw new Error(`${pattern} was not said; but:\n${this.stderr}`);
    });
  }

  signal(name: NodeJS.Signals): Promise<Ended> {
    this.child.kill(name);
    return this.ended;
  }
}

/** As scripts of the owner of a scratch's state directory ask its dashboard. */
export const asOwner = (place: Scratch): { authorization: string } => ({
  authorization: `Bearer ${readFileSync(join(place.directory, ".musweep", "token"), "utf8").trim()}`,
});

/** The link that a command prints, which logs in. */
export async function linkOf(command: Musweep): Promise<string> {
  const link = /(http:\/\/\S+\/login\?\S+) /;
  await command.says(link);
  return link.exec(command.stderr)![1]!;
}

/** Runs a command to its end. */
export const musweep = (place: Scratch, ...args: string[]): Promise<Ended> => new Musweep(place, args).ended;

/** Runs a command that has to succeed. */
export async function succeed(place: Scratch, ...args: string[]): Promise<Ended> {
  const ended = await musweep(place, ...args);
  expect(ended, `musweep ${args.join(" ")}`).toMatchObject({ code: 0 });
  return ended;
}

/** Rows of a query on the scratch's database, while others write it or not. */
export function sql<Row = Record<string, unknown>>(
  place: Scratch,
  query: string,
  file = join(".musweep", "musweep.db"),
): Row[] {
  const db = openDatabase(join(place.directory, file), { readonly: true });
  try {
    return sqliteOf(db).prepare<[], Row>(query).all();
  } finally {
    db.close();
  }
}

export interface TinySweep {
  name?: string;
  parameterization?: string;
  sparsity?: string;
  /** YAML: rates, or a range. */
  rates?: string;
  seeds?: string;
  steps?: number;
}

/**
 * A sweep of real training on the bytes of Moby Dick that takes a moment: width 32, one layer, 128 tokens a step.
 * @returns the file's name, inside the scratch
 */
export function writeSweep(place: Scratch, sweep: TinySweep = {}): string {
  const name = sweep.name ?? "tiny";
  const text = `name: ${name}
data: { corpus: moby-dick }
model: { width: 32, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: ${sweep.steps ?? 30}, batch_size: 4, evaluation: { sequences: 16 } }
base: { width: 32 }
axes:
  parameterization: ${sweep.parameterization ?? "[supar]"}
  sparsity: ${sweep.sparsity ?? "[0, 0.5]"}
  learning_rate: ${sweep.rates ?? "{ log2: { from: -7, to: -5 } }"}
  seed: ${sweep.seeds ?? "[1]"}
`;
  writeFileSync(join(place.directory, `${name}.yaml`), text);
  return `${name}.yaml`;
}

/**
 * As many steps as a run of `writeSweep` at sparsity 0.5 takes this long for: what a test kills, stops or cuts off in the middle must
 * still be training then, and how fast that is depends on the machine and on the engine.
 * @param seconds on one slot, where nothing else runs
 * @param place holds nothing of this afterwards
 */
export async function stepsThatTake(seconds: number, place: Scratch): Promise<number> {
  const file = writeSweep(place, { name: "probe", sparsity: "[0.5]", rates: "[0.01]", steps: 3000 });
  await succeed(place, "run", file, "--slots", "1", "--dir", "probe");
  const query = "SELECT step / seconds AS speed FROM runs";
  const [{ speed }] = sql<{ speed: number }>(place, query, join("probe", "musweep.db")) as [
    { speed: number },
  ];
  rmSync(join(place.directory, "probe"), { recursive: true });
  rmSync(join(place.directory, file));
  return Math.ceil(seconds * speed);
}

/** A port that nobody listened on a moment ago. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() =>
        address !== null && typeof address === "object"
          ? resolve(address.port)
          : reject(new Error("no port was given")),
      );
    });
  });
}

/** The process of a worker on this machine, by the name that attempts carry. */
export const pidOf = (worker: string): number => Number(/-(\d+)-/.exec(worker)![1]);

/** The process of a scratch whose command line has this, by its id. */
export function processOf(place: Scratch, pattern: RegExp): number {
  const found = place.processes().filter((line) => pattern.test(line));
  if (found.length === 0) throw new Error(`no process is ${pattern}:\n${place.processes().join("\n")}`);
  return Number.parseInt(found[0]!, 10);
}
