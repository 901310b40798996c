/** From a path in the parsed value to a line and column of the YAML text. */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  type LineCounter,
  type Node,
} from "yaml";
import type { Finding, Path, Problem } from "./problems.ts";
import { showPath } from "./problems.ts";

export function locate(document: Document, lines: LineCounter, finding: Finding): Problem {
  const offset = offsetOf(document, finding.path, finding.atKey ?? false);
  const { line, col } = lines.linePos(offset);
  return {
    line: Math.max(1, line),
    column: Math.max(1, col),
    path: showPath(finding.path),
    message: finding.message,
  };
}

/** The text offset of the value at a path, or of its key; of the last part that exists, when the path leaves the file. */
function offsetOf(document: Document, path: Path, atKey: boolean): number {
  let node: Node | null = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, part] of path.entries()) {
    const holder = isAlias(node) ? (node.resolve(document) ?? null) : node;
    const found = childOf(holder, part);
    if (found === null) return offset;
    const last = depth === path.length - 1;
    offset = (last && !atKey ? startOf(found.value) : null) ?? found.at ?? startOf(found.value) ?? offset;
    node = found.value;
  }
  return offset;
}

/** A map's value with the offset of its key, or a list's item. */
function childOf(node: unknown, part: string | number): { value: Node | null; at: number | null } | null {
  if (isMap(node)) {
    const pair = node.items.findLast(
      (p) => isPair(p) && isScalar(p.key) && String(p.key.value) === String(part),
    );
    return pair === undefined
      ? null
      : { value: isNode(pair.value) ? pair.value : null, at: isNode(pair.key) ? startOf(pair.key) : null };
  }
  if (isSeq(node) && typeof part === "number") {
    const item = node.items[part];
    return isNode(item) ? { value: item, at: startOf(item) } : null;
  }
  return null;
}

const startOf = (node: Node | null): number | null => node?.range?.[0] ?? null;
