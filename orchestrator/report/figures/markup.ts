/**
 * SVG and HTML as strings. Mark-up is a type of its own: text becomes mark-up only by being escaped, so a name from a sweep
 * file can never be more than a name.
 */
declare const isMarkup: unique symbol;
export type Markup = string & { readonly [isMarkup]: true };

export type Attributes = Record<string, string | number | null | undefined>;

/** Without content these are written with a slash, in SVG and in HTML; every other one gets its end tag. */
const EMPTY = new Set(["path", "line", "rect", "circle", "meta"]);

/** Hundredths of a pixel are finer than any screen or printer. */
const pixels = (value: number): number => Math.round(value * 100) / 100;

/** What XML 1.0 cannot hold even escaped: control characters, lone surrogates, U+FFFE and U+FFFF. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const UNWRITABLE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu;

const ESCAPES: Record<string, string> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
  "\t": "&#9;",
  "\n": "&#10;",
  "\r": "&#13;",
};

/** Escaped for content and for quoted attributes; line ends survive in both. */
export const text = (value: string): Markup =>
  value.replace(UNWRITABLE, "\ufffd").replace(/[&<>"'\t\n\r]/g, (c) => ESCAPES[c]!) as Markup;

/**
 * @param attributes null and undefined are left out; numbers are rounded to hundredths, except under data-, where they
 *   stay exact because they are the measured values themselves
 */
export function element(name: string, attributes: Attributes, ...children: (Markup | Markup[])[]): Markup {
  let open = `<${name}`;
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    const exact = typeof value === "string" || key.startsWith("data-");
    open += ` ${key}="${text(String(exact ? value : pixels(value)))}"`;
  }
  const content = children.flat().join("");
  if (content === "" && EMPTY.has(name)) return `${open}/>` as Markup;
  return `${open}>${content}</${name}>` as Markup;
}

/** Mark-up of this program's own: style sheets and the document's first line. Never anything that was read. */
export const ownMarkup = (source: string): Markup => source as Markup;
