/** The documents of a JSON-lines file: a string field of the object on each line. One line at a time is held. */
import { isUtf8 } from "node:buffer";
import { inOneLine } from "../../schema/wire/printable.ts";
import { splitLines } from "../machine/split-lines.ts";
import { badData } from "./errors.ts";
import { type Document, type ReadOptions, readBytes, whole } from "./read-source.ts";
import { decodeKeepingBytes, encodeKeptBytes, wellFormedUntil } from "./utf8.ts";

/** A longer line is no document: the longest books have 20 MB. It is held several times over while it is read. */
const MAX_LINE_BYTES = 32 << 20;
const ONE_A_LINE = "Each line holds one JSON object; of a JSON array, jq -c '.[]' FILE writes such lines.";
const SHOWN_NAMES = 10;
const SHOWN_CHARACTERS = 40;

/**
 * The string in `field` of each object. Blank lines are passed over.
 * @param settings keepsBytes: bytes that are no UTF-8 stay as they are; otherwise they are refused
 */
export async function* readJsonLines(
  file: string,
  { field, keepsBytes, expansion }: { field: string; keepsBytes: boolean; expansion?: number | undefined },
  options: ReadOptions = {},
): AsyncGenerator<Document> {
  const tooLong = (number: number) =>
    badData(
      `${file}:${number}: the line is longer than ${MAX_LINE_BYTES >> 20} MiB`,
      "Split the document into several lines; a single long text goes into a .txt file.",
    );
  const lines = splitLines(readBytes(file, options, expansion), MAX_LINE_BYTES, tooLong);
  for await (const { line, number } of lines) {
    const place = `${file}:${number}`;
    const valid = isUtf8(line);
    if (!valid && !keepsBytes)
      throw badData(
        `${place}: not valid UTF-8, from byte ${wellFormedUntil(line) + 1} of the line`,
        "Convert the file to UTF-8 (iconv), or use the bytes tokenizer, which takes any bytes.",
      );
    const text = (valid ? line.toString("utf8") : decodeKeepingBytes(line))?.trim();
    if (text === undefined)
      throw badData(
        `${place}: not valid UTF-8, and with characters for private use (U+10FF80 and above) as well`,
        "Convert the line to UTF-8.",
      );
    if (text === "") continue;
    const document = textOf(text, field, place);
    yield { chunks: whole(valid ? Buffer.from(document, "utf8") : encodeKeptBytes(document)), place };
  }
}

function textOf(line: string, field: string, place: string): string {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw badData(`${place}: not a JSON object: ${reason}`, ONE_A_LINE, error);
  }
  if (value === null || typeof value !== "object" || Array.isArray(value))
    throw badData(`${place}: a JSON object was expected`, ONE_A_LINE);
  const document: unknown = Object.hasOwn(value, field)
    ? (value as Record<string, unknown>)[field]
    : undefined;
  if (document === undefined)
    throw badData(
      `${place}: no field "${field}"; the object has: ${namesOf(value)}`,
      "Set the field's name.",
    );
  if (typeof document !== "string")
    throw badData(
      `${place}: field "${field}" is not a string`,
      "Set the name of the field that holds the text.",
    );
  if (/\p{Surrogate}/u.test(document))
    throw badData(
      `${place}: field "${field}" has half of a character, an escape such as \\ud83d without the one that belongs to it`,
      "Write the whole character, or leave it out.",
    );
  return document;
}

function namesOf(value: object): string {
  const names = Object.keys(value);
  if (names.length === 0) return "no fields";
  const shown = names
    .slice(0, SHOWN_NAMES)
    .map((name) => inOneLine(name.length > SHOWN_CHARACTERS ? `${name.slice(0, SHOWN_CHARACTERS)}…` : name));
  return shown.join(", ") + (names.length > SHOWN_NAMES ? ` and ${names.length - SHOWN_NAMES} more` : "");
}
