/** The frame that every page stands in, and the pages that say what went wrong. */
import type { Context as Request } from "hono";
import { packageVersion } from "../../schema/wire/package.ts";
import { assetPath, figureStylePaths } from "./assets.ts";
import { type Html, html } from "./html.ts";
import type { NavigationEntry } from "./page.ts";

export interface PageContent {
  /** In the window's title. */
  title: string;
  body: Html;
  /** The navigation entry that this page belongs to, by its address. */
  section?: string;
  /** Numbers of sparsities that the page's figures tell apart. */
  figureSeries?: readonly number[];
  /** Address of the stream that replaces the page's live parts (live.ts). */
  live?: string;
  /** Without navigation. */
  bare?: boolean;
}

declare module "hono" {
  interface ContextVariableMap {
    /** What every page's frame offers, handed down by the app: the frame knows no page. */
    navigation: readonly NavigationEntry[];
  }
}

const VERSION = packageVersion();

/** What the name of the cookie of those who have logged in begins with. */
export const SESSION_COOKIE = "musweep_session_";

export function page(c: Request, content: PageContent): Html {
  const { title, body, section, figureSeries = [], live, bare = false } = content;
  const signedIn = c.req.header("cookie")?.includes(SESSION_COOKIE) ?? false;
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${title} – musweep</title>
<link rel="icon" href="${assetPath("icon.svg")}">
<link rel="stylesheet" href="${assetPath("style.css")}">
${figureStylePaths(figureSeries).map((path) => html`<link rel="stylesheet" href="${path}">`)}
<script type="module" src="${assetPath("client.js")}"></script>
</head>
<body${live === undefined ? "" : html` data-live="${live}"`}>
<a class="skip" href="#content">Skip to content</a>
${
  bare
    ? ""
    : html`<header class="top"><div class="inner">
<a class="brand" href="/">musweep</a>
<nav aria-label="Main">${c
        .get("navigation")
        .map(
          ({ href, title }) =>
            html`<a href="${href}"${href === section ? html` aria-current="page"` : ""}>${title}</a>`,
        )}</nav>
<span class="spacer"></span>
${live === undefined ? "" : html`<span id="connection" class="connection" role="status" hidden></span>`}
${signedIn ? html`<form method="post" action="/logout"><button class="quiet">Log out</button></form>` : ""}
</div></header>`
}
<main id="content" tabindex="-1">
${body}
</main>
${bare ? "" : html`<footer class="bottom"><div class="inner">musweep ${VERSION}</div></footer>`}
</body>
</html>`;
}

/** Says what went wrong, and what to do about it. */
export const errorPage = (
  c: Request,
  problem: {
    title: string;
    message: string;
    remedy?: string | undefined;
    links?: [href: string, title: string][];
  },
): Html =>
  page(c, {
    title: problem.title,
    body: html`<h1>${problem.title}</h1>
<p class="lead breaks">${problem.message}</p>
${problem.remedy === undefined ? "" : html`<p>${problem.remedy}</p>`}
<p class="links">${(problem.links ?? [["/", "All sweeps"]]).map(([href, title]) => html`<a href="${href}">${title}</a> `)}</p>`,
  });

/** In place of a list that has nothing in it: what would be here, and how to get it. */
export const emptyState = (title: string, advice: Html | string): Html =>
  html`<div class="empty"><p class="strong">${title}</p><p>${advice}</p></div>`;
