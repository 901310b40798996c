/**
 * What the private Redis has on disk. A server that cannot read it does not start; but nothing is in it that the database does not
 * know, or workers would not say again: it is moved aside, and the server starts empty.
 */
import { existsSync, readdirSync, readFileSync, renameSync } from "node:fs";
import { join } from "node:path";

/** The second is that of Redis 6. */
const NAMES = ["appendonlydir", "appendonly.aof"];
/** What Redis says at its end of files that it cannot read; of a disk that does not work, or is full, it says other things. */
const SAYS_DAMAGED =
  /(?:Bad file format|Unexpected end of file) reading the append only file|AOF MANIFEST FILE ERROR|Unable to obtain the AOF file .*No such file|RDB preamble|Internal error in RDB|RDB CRC error|Wrong signature trying to load DB/;

/** @param log what the server has written since its start */
export const saysDamaged = (log: string): boolean => SAYS_DAMAGED.test(log);

/** @returns where it is now; undefined where there is nothing */
export function moveAppendOnlyAside(directory: string): string | undefined {
  let moved: string | undefined;
  for (const from of NAMES.map((name) => join(directory, name))) {
    if (!existsSync(from)) continue;
    let number = 1;
    while (existsSync(`${from}.damaged-${number}`)) number++;
    moved = `${from}.damaged-${number}`;
    renameSync(from, moved);
  }
  return moved;
}

/**
 * Of a server that does not run.
 * @returns why it would not start, as far as can be told without it: of a base file, its beginning alone is looked at
 */
export function appendOnlyDamage(directory: string): string | undefined {
  const at = join(directory, NAMES[0]!);
  if (!existsSync(at)) return undefined;
  const manifest = readdirSync(at).find((name) => name.endsWith(".manifest"));
  if (manifest === undefined) return undefined;
  const lines = readFileSync(join(at, manifest), "utf8").split("\n");
  const entries = lines.filter((line) => line !== "" && !line.startsWith("#"));
  if (entries.length === 0) return `${manifest} is empty`;
  for (const line of entries) {
    const [, name, type] = /^file (\S+) seq \d+ type ([bhi])$/.exec(line) ?? [];
    if (name === undefined) return `${manifest} has a line that is none of a manifest`;
    if (type === "h") continue;
    if (!existsSync(join(at, name))) return `${name} is missing`;
    const bytes = readFileSync(join(at, name));
    const isSnapshot = name.endsWith(".rdb");
    if (isSnapshot ? !bytes.subarray(0, 5).equals(Buffer.from("REDIS")) : !isCommands(bytes))
      return `${name} is damaged`;
  }
  return undefined;
}

/** Whether a file is commands, up to the one that it may break off in: `*2`, then twice `$length` and so many bytes. */
function isCommands(bytes: Buffer): boolean {
  let position = 0;
  /** A number after a mark; undefined where the file ends before its line does, null where it is something else. */
  const read = (mark: string): number | null | undefined => {
    const end = bytes.indexOf("\r\n", position);
    if (end < 0) return undefined;
    const digits = new RegExp(`^\\${mark}(\\d{1,10})$`).exec(
      bytes.toString("latin1", position, Math.min(end, position + 20)),
    )?.[1];
    position = end + 2;
    return digits === undefined ? null : Number(digits);
  };
  while (position < bytes.length) {
    if (bytes[position] === "#".charCodeAt(0)) {
      // A time.
      const end = bytes.indexOf("\n", position);
      if (end < 0) return true;
      position = end + 1;
      continue;
    }
    const words = read("*");
    if (words === undefined) return true;
    if (words === null) return false;
    for (let word = 0; word < words; word++) {
      const length = read("$");
      if (length === undefined) return true;
      if (length === null) return false;
      position += length + 2;
    }
  }
  return true;
}
