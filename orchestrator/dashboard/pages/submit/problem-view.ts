/** A sweep file with its lines numbered, and every mistake under the line where it is. */
import { moreMistakes, type Problem } from "../../../sweep/problems.ts";
import { plural } from "../../../terminal/format.ts";
import { type Html, html } from "../../html.ts";

/** Lines shown about each mistake. */
const CONTEXT = 3;

/** @param more mistakes that are not among the problems */
export function problemView(
  draft: { text: string; file: string },
  problems: readonly Problem[],
  more: number,
): Html {
  const lines = draft.text.split("\n");
  const shown = new Set<number>();
  for (const { line } of problems)
    for (let n = Math.max(1, line - CONTEXT); n <= Math.min(lines.length, line + CONTEXT); n++) shown.add(n);
  const items: Html[] = [];
  for (let n = 1; n <= lines.length; n++) {
    if (shown.has(n)) {
      const own = problems.filter((p) => p.line === n);
      items.push(lineView(n, lines[n - 1]!, own, draft.file));
      continue;
    }
    const start = n;
    while (n < lines.length && !shown.has(n + 1)) n++;
    items.push(html`<li class="elided">${plural(n - start + 1, "line")} without mistakes</li>`);
  }
  return html`<div role="alert"><p>Nothing was queued. Each is marked where it is:</p></div>
<ol class="listing">${items}</ol>${more > 0 ? html`<p>… ${moreMistakes(more)}</p>` : ""}`;
}

function lineView(number: number, text: string, problems: Problem[], file: string): Html {
  const columns = problems.map((p) => p.column - 1);
  return html`<li${problems.length > 0 ? html` class="wrong"` : ""}><code><span class="line-number">${number}</span>${marked(text, columns)}</code>
${problems.map(
  (
    p,
  ) => html`<p class="message"><a href="#text" data-goto="${p.line}:${p.column}">${file}:${p.line}:${p.column}</a>
${p.path === "" ? "" : html`<strong>${p.path}</strong>: `}${p.message}</p>`,
)}</li>
`;
}

/** What begins at each of these columns is marked, up to the next blank or bracket. */
function marked(text: string, columns: readonly number[]): Html {
  const parts: Html[] = [];
  let at = 0;
  for (const column of [...new Set(columns)].sort((a, b) => a - b)) {
    if (column < at) continue;
    const word = /^(?:"[^"]*"|'[^']*'|[^\s,[\]{}]+|.)/.exec(text.slice(column))?.[0] ?? "";
    parts.push(html`${text.slice(at, column)}<mark>${word === "" ? " " : word}</mark>`);
    at = column + word.length;
  }
  return html`${parts}${text.slice(at)}`;
}
