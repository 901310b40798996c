/** What docs/sql.md says, for the page that has the console: the views with their columns, and the examples. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../schema/wire/package.ts";

interface ViewGuide {
  name: string;
  summary: string;
  /** Columns of one meaning together. */
  columns: { names: string[]; meaning: string }[];
}

export interface SqlExample {
  /** The sentence before it. */
  title: string;
  sql: string;
}

export interface SqlGuide {
  views: ViewGuide[];
  examples: SqlExample[];
}

export const readSqlGuide = (): SqlGuide =>
  parseSqlGuide(readFileSync(join(packageRoot(), "docs", "sql.md"), "utf8"));

/**
 * A section `## view: summary` has a table with a row per column, or several of one meaning; an example is a block of SQL, its
 * title the paragraph before it.
 */
function parseSqlGuide(markdown: string): SqlGuide {
  const views: ViewGuide[] = [];
  for (const section of markdown.split(/^## /m).slice(1)) {
    const [, name, summary] = /^([a-z_]+): (.*)$/m.exec(section.split("\n", 1)[0]!) ?? [];
    if (name === undefined || summary === undefined) continue;
    const columns = [...section.matchAll(/^\| (`[^|]*`) \| (.*) \|$/gm)].map(([, names, meaning]) => ({
      names: [...names!.matchAll(/`([a-z_0-9]+)`/g)].map(([, column]) => column!),
      meaning: plain(meaning!),
    }));
    views.push({ name, summary: plain(summary), columns });
  }
  const examples = [...markdown.matchAll(/^([^\n]+)\n\n```sql\n([\s\S]*?)```/gm)].map(([, title, sql]) => ({
    title: plain(title!).replace(/[:.]$/, ""),
    sql: sql!.trim(),
  }));
  return { views, examples };
}

/** Code marks and links' addresses go. */
const plain = (text: string): string => text.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1").replaceAll("`", "");
