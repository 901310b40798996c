/**
 * A long page as tabs. All of it is in the document, so that every part follows the database, an address with the id of
 * anything in a tab opens that tab, and paper shows all. Which one is seen, the style sheet tells from the address.
 */
import { type Html, html } from "../../html.ts";

export interface Tab {
  /** Of its heading, which the body begins with. */
  id: string;
  title: string;
  body: Html;
}

export const tabs = (list: readonly Tab[]): Html =>
  html`<div class="tabbed"><nav class="contents" aria-label="Parts of this page">${list.map(
    ({ id, title }) => html`<a href="#${id}">${title}</a>`,
  )}</nav>
${list.map(
  ({ id, body }) => html`<section aria-labelledby="${id}">${body}</section>
`,
)}</div>`;
