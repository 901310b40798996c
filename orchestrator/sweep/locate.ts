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
  type Pair,
  type YAMLMap,
} from "yaml";
import type { Finding, Path, Problem } from "./problems.ts";
import { showPath } from "./problems.ts";

/** @returns gives a finding its place in the document */
export function locator(document: Document, lines: LineCounter): (finding: Finding) => Problem {
  const pairs = pairFinder();
  return ({ path, atKey = false, message }) => {
    const { line, col } = lines.linePos(offsetOf(document, path, atKey, pairs));
    return { line: Math.max(1, line), column: Math.max(1, col), path: showPath(path), message };
  };
}

/** The text offset of the value at a path, or of its key; of the last part that exists, when the path leaves the file. */
function offsetOf(document: Document, path: Path, atKey: boolean, pairOf: PairFinder): number {
  let node: Node | null = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [depth, part] of path.entries()) {
    const holder = isAlias(node) ? (node.resolve(document) ?? null) : node;
    const found = childOf(holder, part, pairOf);
    if (found === null) return offset;
    const last = depth === path.length - 1;
    offset = (last && !atKey ? startOf(found.value) : null) ?? found.at ?? startOf(found.value) ?? offset;
    node = found.value;
  }
  return offset;
}

type PairFinder = (map: YAMLMap, key: string) => Pair | undefined;

/** Finds pairs by their keys; a map is gone through once, however many of its keys are asked for. */
function pairFinder(): PairFinder {
  const known = new WeakMap<YAMLMap, Map<string, Pair>>();
  return (map, key) => {
    const pairs =
      known.get(map) ??
      new Map(map.items.flatMap((p) => (isPair(p) && isScalar(p.key) ? [[String(p.key.value), p]] : [])));
    known.set(map, pairs);
    return pairs.get(key);
  };
}

/** A map's value with the offset of its key, or a list's item. */
function childOf(
  node: unknown,
  part: string | number,
  pairOf: PairFinder,
): { value: Node | null; at: number | null } | null {
  if (isMap(node)) {
    const pair = pairOf(node, String(part));
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
