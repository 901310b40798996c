/** YAML as people write it: the plain value, what is wrong with the text, and where in it each part stands. */
import { type Document, isAlias, isScalar, LineCounter, parseDocument, visit } from "yaml";
import { explainSyntax, firstOf, syntaxMessage } from "./explain-syntax.ts";
import { locator } from "./locate.ts";
import { excerpt, type Finding, type Problem } from "./problems.ts";

/** Far more than a person writes; keeps a small file from growing to a huge value. */
const MAX_ALIASES = 50;

export interface ReadYaml {
  /** Undefined where it is broken. */
  value: unknown;
  /** Whether the syntax is such that there is no value to look at. */
  broken: boolean;
  problems: Problem[];
  /** Gives what is found wrong with the value its place in the text. */
  locate: (finding: Finding) => Problem;
}

/** @param rewrite changes the document, where it is sound, before its value is taken */
export function readYaml(text: string, rewrite?: (document: Document) => void): ReadYaml {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    version: "1.2",
    schema: "core",
    // The parser would compare every key of a map with every other one.
    uniqueKeys: false,
    prettyErrors: false,
  });
  const problemAt = (offset: number, message: string): Problem => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col, path: "", message };
  };
  const locate = locator(document, lines);
  const syntax = [...firstOf(document.errors), ...document.warnings].map((e) =>
    problemAt(e.pos[0], `not valid YAML: ${explainSyntax(e, text, document, lines)}`),
  );
  if (document.errors.length > 0) return { value: undefined, broken: true, problems: syntax, locate };
  const unknown = unknownAliases(document).map(({ at, name }) =>
    problemAt(
      at,
      `not valid YAML: *${name} repeats an anchor that is not there; a text that begins with * stands in quotes`,
    ),
  );
  if (unknown.length > 0)
    return { value: undefined, broken: true, problems: [...syntax, ...unknown], locate };
  rewrite?.(document);
  // Keys that are given twice leave a value that can be checked further; broken syntax does not.
  const twice = keysGivenTwice(document).map((offset) =>
    problemAt(offset, "this key is given twice; expected once"),
  );
  try {
    const value = document.toJS({ maxAliasCount: MAX_ALIASES }) as unknown;
    return { value, broken: false, problems: [...syntax, ...twice], locate };
  } catch (error) {
    const message = `not valid YAML: ${syntaxMessage(error instanceof Error ? error.message : String(error))}`;
    return { value: undefined, broken: true, problems: [{ line: 1, column: 1, path: "", message }], locate };
  }
}

/** Aliases that repeat nothing: mostly patterns of file names, *.txt. */
function unknownAliases(document: Document): { at: number; name: string }[] {
  const found: { at: number; name: string }[] = [];
  const anchors = new Set<string>();
  visit(document, {
    Node(_, node) {
      if (isAlias(node)) {
        if (!anchors.has(node.source)) found.push({ at: node.range?.[0] ?? 0, name: excerpt(node.source) });
      } else if (node.anchor !== undefined) anchors.add(node.anchor);
    },
  });
  return found;
}

/** Where keys stand that their map has already. */
function keysGivenTwice(document: Document): number[] {
  const offsets: number[] = [];
  visit(document, {
    Map(_, map) {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) offsets.push(key.range?.[0] ?? 0);
        seen.add(key.value);
      }
    },
  });
  return offsets;
}
