/** What is wrong with a text that is no YAML, in words for who has never read YAML's grammar. */
import { type Document, isScalar, type LineCounter, visit, type YAMLError } from "yaml";

/** The mistake that the others follow from: a bracket that is not closed makes one of every line after it. */
export const firstOf = (errors: readonly YAMLError[]): YAMLError[] =>
  errors.toSorted((a, b) => a.pos[0] - b.pos[0]).slice(0, 1);

export const syntaxMessage = (message: string): string =>
  /call stack/.test(message) ? "lists or maps within each other, too deep to be read" : message;

/** @param text of the document */
export function explainSyntax(
  { code, message, pos: [offset] }: YAMLError,
  text: string,
  document: Document,
  lines: LineCounter,
): string {
  const placeOf = (at: number): string => {
    const { line, col } = lines.linePos(at);
    return `line ${line}, column ${col}`;
  };
  if (/^(Flow (map|sequence)|Comments must be)|^Unexpected (?!flow-)/.test(message)) {
    const at = lastUnclosed(document, text, offset);
    if (at !== null)
      return `expected "${CLOSES[text[at]!]}" before this, for the "${text[at]}" in ${placeOf(at)}`;
  }
  if (/^Missing closing .quote/.test(message)) {
    const at = unclosedQuote(document, text);
    return `a quotation mark is not closed${at === null ? "" : `: the one in ${placeOf(at)}`}`;
  }
  const found = SENTENCES[code];
  return typeof found === "function" ? found(message, text.slice(offset)) : (found ?? syntaxMessage(message));
}

const CLOSES: Record<string, string> = { "{": "}", "[": "]" };

const KEYS = 'expected a key, ": " with its space, and a value';

const SENTENCES: { [Code in YAMLError["code"]]?: string | ((message: string, rest: string) => string) } = {
  MULTILINE_IMPLICIT_KEY: KEYS,
  MISSING_CHAR: (message) => (/Implicit map keys/.test(message) ? KEYS : message),
  BLOCK_AS_IMPLICIT_KEY: (_, rest) => {
    const [line = ""] = rest.split("\n", 1);
    return line.split("}").length > line.split("{").length
      ? 'expected "{" before this, for a "}" in the same line'
      : 'more keys follow this value; the keys of one map begin in the same column, and a text with ": " in it stands in quotes';
  },
  BAD_INDENT: (message) =>
    /same column/.test(message)
      ? "the keys of one map begin in the same column, the items of one list too"
      : message,
  TAB_AS_INDENT: "Tabs are not allowed as indentation; expected spaces",
  MULTIPLE_DOCS: "multiple documents, with --- between them; expected one",
  BLOCK_IN_FLOW: 'expected a comma before the next key, or quotes around a text with ": " in it',
  BAD_SCALAR_START: (_, [sign = ""]) => `a text that begins with ${sign} stands in quotes`,
  BAD_DQ_ESCAPE: "no such escape; between single quotes a backslash is only itself",
  UNEXPECTED_TOKEN: (message, [sign = ""]) => {
    if (/flow-(map|seq)-end/.test(message))
      return `there is no "${sign === "}" ? "{" : "["}" for this "${sign}"`;
    return "not expected here; is a bracket or a quotation mark above not closed?";
  },
  TAG_RESOLVE_FAILED: (message) => `${message}; remove it, or put the text in quotes`,
};

/** Where the innermost bracket before a place stands that has no other half. */
function lastUnclosed(document: Document, text: string, before: number): number | null {
  let last: number | null = null;
  visit(document, {
    Collection(_, node) {
      const [start, end] = node.range ?? [0, 0];
      const close = CLOSES[text[start]!];
      if (close !== undefined && start < before && !text.slice(start + 1, end).endsWith(close)) last = start;
    },
  });
  return last;
}

function unclosedQuote(document: Document, text: string): number | null {
  let found: number | null = null;
  visit(document, {
    Scalar(_, node) {
      const [start, end] = node.range ?? [0, 0];
      const sign = text[start];
      if (isScalar(node) && /^QUOTE/.test(node.type ?? "") && (end - start < 2 || text[end - 1] !== sign))
        found ??= start;
    },
  });
  return found;
}
