/**
 * The files that browsers fetch: one style sheet, one script and what it imports, the icon. Read once, served under a hash of
 * their content, so that a browser keeps them for good and never mixes two versions.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import type { Hono } from "hono";
import { packageRoot } from "../../schema/wire/package.ts";
import { styleSheet } from "../report/figures/theme.ts";

const TYPES = { css: "text/css", js: "text/javascript", svg: "image/svg+xml" } as const;

interface Asset {
  type: string;
  content: Buffer;
}

function readAssets(): Map<string, Asset> {
  const directory = join(packageRoot(), "orchestrator", "dashboard", "assets");
  const require = createRequire(import.meta.url);
  const paths = {
    "style.css": join(directory, "style.css"),
    "client.js": join(directory, "client.js"),
    "idiomorph.js": require.resolve("idiomorph/dist/idiomorph.esm.js"),
    "icon.svg": join(directory, "icon.svg"),
  };
  return new Map(
    Object.entries(paths).map(([name, path]) => {
      const ending = name.slice(name.lastIndexOf(".") + 1) as keyof typeof TYPES;
      return [name, { type: `${TYPES[ending]}; charset=utf-8`, content: readFileSync(path) }];
    }),
  );
}

const assets = readAssets();
const version = [...assets.values()]
  .reduce((hash, { content }) => hash.update(content), createHash("sha256"))
  .digest("hex")
  .slice(0, 12);

/** Where a file is to be fetched from. Imports between them are relative, and so stay within the version. */
export const assetPath = (name: string): string => `/assets/${version}/${name}`;

const KEEP = "public, max-age=31536000, immutable";
const MAX_SERIES = 64;
/** Numbers in one style sheet: anybody may ask for one. */
const AT_ONCE = 16;
const KEPT_SHEETS = 32;

/** Style rules of figures that tell these numbers of sparsities apart. */
export function figureStylePaths(counts: readonly number[]): string[] {
  const distinct = [...new Set(counts)].sort((a, b) => a - b);
  return Array.from({ length: Math.ceil(distinct.length / AT_ONCE) }, (_, i) => {
    const some = distinct.slice(i * AT_ONCE, (i + 1) * AT_ONCE);
    return `${assetPath("figures.css")}?series=${some.join("-")}`;
  });
}

/** The last ones that were asked for, the oldest first. */
const sheets = new Map<string, string>();

function sheetFor(counts: readonly number[]): string {
  const key = counts.join("-");
  const sheet = sheets.get(key) ?? styleSheet(counts, "both");
  sheets.delete(key);
  sheets.set(key, sheet);
  const [oldest] = sheets.keys();
  if (sheets.size > KEPT_SHEETS) sheets.delete(oldest!);
  return sheet;
}

/** Open to everybody: they hold nothing of anyone's, and the login page needs them. */
export function mountAssets(app: Hono): void {
  app.get("/assets/:version/figures.css", (c) => {
    const counts = (c.req.query("series") ?? "").split("-").map(Number);
    const isCount = (n: number): boolean => Number.isInteger(n) && n > 0 && n <= MAX_SERIES;
    if (counts.length > AT_ONCE || !counts.every(isCount)) return c.notFound();
    return c.body(sheetFor(counts), 200, {
      "content-type": "text/css; charset=utf-8",
      "cache-control": KEEP,
    });
  });
  app.get("/assets/:version/:name", (c) => {
    const asset = assets.get(c.req.param("name"));
    if (asset === undefined) return c.notFound();
    return c.body(new Uint8Array(asset.content), 200, { "content-type": asset.type, "cache-control": KEEP });
  });
}
