/** What `import`, `analyze` and `suggest` share: a table of results named on the command line, read and told about. */
import { basename } from "node:path";
import type { Command } from "commander";
import { Option } from "commander";
import { MusweepError } from "../../schema/wire/errors.ts";
import { unreadable } from "../../schema/wire/path-error.ts";
import { inOneLine } from "../../schema/wire/printable.ts";
import { readRegularBytesSync } from "../../schema/wire/regular-file.ts";
import type { Database } from "../database/open.ts";
import { type ImportToStore, storeImport } from "../database/store-import.ts";
import { type Imported, MEASURES, type Measure, readResults } from "../import/read-results.ts";
import { MAX_TABLE_BYTES } from "../import/read-table.ts";
import { readTableFile } from "../import/read-table-file.ts";
import { listed } from "../import/recognize-columns.ts";
import { type Coordinates, curveOf } from "../sweep/expand-sweep.ts";
import { plural } from "../terminal/format.ts";
import { progressLine } from "../terminal/progress.ts";
import { type Place, refuseNoTable } from "./given-file.ts";

export interface ImportOptions {
  column: Map<string, string>;
  ignore: string[];
  set: Map<string, string>;
  maximize?: boolean;
  lossIs?: Measure;
  repeatsAreSeeds?: boolean;
}

export const importOptions = (command: Command): Command =>
  command
    .option(
      "--column <name=column>",
      "which column holds what, where its name does not say it: learning_rate=lr, loss=final/val_loss; dropout=p is a setting of your own",
      pairs("--column"),
      new Map<string, string>(),
    )
    .option(
      "--ignore <column>",
      "a column that is not to be looked at",
      (name: string, all: string[]) => [...all, name],
      [] as string[],
    )
    .option(
      "--set <name=value>",
      "what holds for every row: parameterization=mup, width=512",
      pairs("--set"),
      new Map<string, string>(),
    )
    .option("--maximize", "the loss column is a score, to be made large; as --loss-is score")
    .addOption(
      new Option(
        "--loss-is <what>",
        "loss (default); error: the fraction or per cent of mistakes; score: an accuracy, to be made large",
      ).choices(MEASURES),
    )
    .option("--repeats-are-seeds", "rows that are alike in everything are seeds of one point");

/** "learning_rate=lr", several times. */
const pairs =
  (option: string) =>
  (text: string, known: Map<string, string>): Map<string, string> => {
    const at = text.indexOf("=");
    const [name, value] = [text.slice(0, at).trim(), text.slice(at + 1).trim()];
    if (at < 1 || value === "")
      throw new MusweepError("bad-option", `${option} wants NAME=VALUE, not "${text}"`, { kind: "usage" });
    if (known.has(name))
      throw new MusweepError("bad-option", `${option} gives ${name} twice; expected once`, { kind: "usage" });
    return new Map([...known, [name, value]]);
  };

export interface ReadImport {
  sweep: ImportToStore;
  read: Imported;
}

/**
 * @param path a file; "-" is standard input
 * @throws MusweepError (usage) with the line of what is wrong
 */
export async function readImport(
  path: string,
  name: string,
  options: ImportOptions & Place,
): Promise<ReadImport> {
  const file = path === "-" ? "standard input" : path;
  if (options.maximize && options.lossIs !== undefined && options.lossIs !== "score")
    throw new MusweepError(
      "bad-option",
      `--maximize makes a score of the column; --loss-is ${options.lossIs} does not`,
      {
        kind: "usage",
        remedy: "Choose one.",
      },
    );
  if (path !== "-") refuseNoTable(path, options);
  const measure = options.maximize ? "score" : (options.lossIs ?? "loss");
  const bytes = path === "-" ? await standardInput() : readFile(path);
  const read = readResults(await readTableFile(bytes, file), {
    file,
    columns: options.column,
    ignored: options.ignore,
    constants: options.set,
    measure,
    repeatsAreSeeds: options.repeatsAreSeeds ?? false,
  });
  refuseTooMany(read, file);
  const from = path === "-" ? "stdin" : basename(path);
  const imported = { from, fixed: read.fixed, loss: read.turned ?? measure };
  const notes = importNotes(read);
  const comment = [`Results that were trained elsewhere, imported from ${from}.`, ...notes].map(
    (line) => `# ${inOneLine(line)}\n`,
  );
  return { sweep: { name, text: comment.join(""), imported, results: read.results }, read };
}

function readFile(path: string): Buffer {
  try {
    return readRegularBytesSync(path, MAX_TABLE_BYTES);
  } catch (cause) {
    throw unreadable(path, cause, {
      code: "results-file",
      remedy: "Name the file with the results, or - for standard input.",
    });
  }
}

/** Each is fitted, which takes some hundredths of a second; nobody reads the answers of more. */
const MAX_CURVES = 5000;
const MAX_RUNS = 200_000;

function refuseTooMany({ results }: Imported, file: string): void {
  const tooMany = (what: string, remedy: string): MusweepError =>
    new MusweepError("results-size", `${file}: ${what}`, {
      kind: "usage",
      remedy: `${remedy} Nothing was stored.`,
    });
  if (results.length > MAX_RUNS)
    throw tooMany(
      `${results.length} runs; at most ${MAX_RUNS} are read at a time`,
      "Split the table, for instance by width.",
    );
  const curves = new Set(results.map(({ coordinates }) => curveOf(coordinates as unknown as Coordinates)))
    .size;
  if (curves <= MAX_CURVES) return;
  const names = Object.keys(results[0]!.coordinates).filter(
    (name) => !["learning_rate", "seed"].includes(name),
  );
  const values = (name: string): number => new Set(results.map(({ coordinates }) => coordinates[name])).size;
  const most = names.map((name) => ({ name, n: values(name) })).sort((a, b) => b.n - a.n)[0]!;
  throw tooMany(
    `the rows make ${curves} curves of the loss over the learning rate; at most ${MAX_CURVES} are fitted (${most.name} has ${plural(most.n, "value")})`,
    "Leave out a column that is no setting (--ignore COLUMN), or split the table.",
  );
}

const QUIET_MS = 1000;
/** Of the time that fits and verdicts take together. */
const FITS_SHARE = 0.6;

/** Stores it, and says how far it is where that takes long. */
export function storeTold(db: Database, sweep: ImportToStore): void {
  const line = progressLine(process.stderr, QUIET_MS);
  storeImport(db, sweep, (what, done, of) => {
    const fraction = what === "fits" ? FITS_SHARE * (done / of) : FITS_SHARE + (1 - FITS_SHARE) * (done / of);
    line.update(fraction, what === "fits" ? `${done} of ${of} curves fitted` : `${done} of ${of} verdicts`);
  });
  line.end();
}

async function standardInput(): Promise<Buffer> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of process.stdin as AsyncIterable<Buffer>) {
    length += part.length;
    if (length > MAX_TABLE_BYTES)
      throw new MusweepError("results-file", `standard input is larger than ${MAX_TABLE_BYTES} bytes`, {
        kind: "usage",
      });
    parts.push(part);
  }
  return Buffer.concat(parts);
}

/** How the table was read, in sentences: what was taken for what is never a secret. */
export function importNotes({ results, recognized, fixed, assumed, unfinished, turned }: Imported): string[] {
  const diverged = results.filter(({ loss }) => loss === null).length;
  const said = [...recognized.columns].map(([meaning, column]) =>
    meaning === column ? column : `${meaning} from ${column}`,
  );
  const WORDS: Record<string, string> = {
    parameterization: "parameterization (taken as sp; --set parameterization=NAME)",
    width: "width (--set width=N)",
    layers: "layers",
    sparsity: "sparsity (taken as 0)",
  };
  return [
    `${plural(results.length, "run")}, ${diverged} of them diverged. Read: ${said.join(", ")}.`,
    ...(recognized.other_losses.length === 0
      ? []
      : [
          `The loss is ${recognized.columns.get("loss")}, and not ${listed(recognized.other_losses)} (--column loss=NAME).`,
        ]),
    ...(turned === null ? [] : [`The loss is ${turned}.`]),
    ...(Object.keys(fixed).length === 0
      ? []
      : [`The same in all: ${listed(Object.entries(fixed).map(([name, value]) => `${name} ${value}`))}.`]),
    ...(assumed.length === 0 ? [] : [`No column says: ${assumed.map((name) => WORDS[name]).join("; ")}.`]),
    ...[...unfinished].map(
      ([state, n]) => `Left out: ${plural(n, "row")} that ${n === 1 ? "is" : "are"} ${state}.`,
    ),
    ...(recognized.ignored.length === 0 ? [] : [`Not looked at: ${listed(recognized.ignored)}.`]),
  ];
}
