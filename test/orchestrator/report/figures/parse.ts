/** Reads a picture or page back with a strict XML parser: not one stray bracket passes. */
import { SaxesParser } from "saxes";

export interface ParsedElement {
  name: string;
  attributes: Record<string, string>;
  /** Of itself and everything inside. */
  text: string;
  /** Names of the elements it stands in, outermost first. */
  path: string[];
  /** The nearest data-curve of itself or what it stands in. */
  curve: string | undefined;
}

export function parseXml(source: string): ParsedElement[] {
  const found: ParsedElement[] = [];
  const open: ParsedElement[] = [];
  const parser = new SaxesParser();
  parser.on("error", (error) => {
    throw error;
  });
  parser.on("opentag", ({ name, attributes }) => {
    const element: ParsedElement = {
      name,
      attributes: attributes as Record<string, string>,
      text: "",
      path: open.map((e) => e.name),
      curve: (attributes as Record<string, string>)["data-curve"] ?? open.at(-1)?.curve,
    };
    found.push(element);
    open.push(element);
  });
  parser.on("text", (text) => {
    for (const element of open) element.text += text;
  });
  parser.on("closetag", () => void open.pop());
  parser.write(source).close();
  return found;
}

/** A data attribute as the number it stands for; null when absent. */
export const numberOf = (element: ParsedElement, name: string): number | null =>
  element.attributes[name] === undefined ? null : Number(element.attributes[name]);
