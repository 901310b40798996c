/** A real browser without a screen, and what it complains about. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { findBrowser } from "../../scripts/find-browser.mjs";

/** @param atEnd registers its end */
export async function startBrowser(atEnd: (close: () => Promise<void>) => void): Promise<Browser> {
  const executablePath = findBrowser();
  if (executablePath === undefined)
    throw new Error("no Chromium: npm test installs one; or set CHROMIUM to the path of one");
  // Its profile is new each time, in a temporary directory.
  const browser = await chromium.launch({
    executablePath,
    args: [
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--headless",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
    ],
  });
  atEnd(() => browser.close());
  return browser;
}

export interface Tab {
  page: Page;
  /** Errors of scripts and of the content security policy, requests to other servers. */
  complaints: string[];
}

export async function openTab(browser: Browser, options: BrowserContextOptions = {}): Promise<Tab> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("console", (message) => {
    // A refusal is an answer like any other: a file with mistakes is answered with 422.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => {
    const { hostname, protocol } = new URL(request.url());
    if (protocol !== "data:" && hostname !== "127.0.0.1") complaints.push(`asked for ${request.url()}`);
  });
  return { page, complaints };
}

const require = createRequire(import.meta.url);
const AXE = require.resolve("axe-core/axe.min.js");

const SCREENS = [1440, 768, 390] as const;
/** Rules that look at colours: all others find the same in the dark. */
const OF_COLOURS = ["color-contrast", "link-in-text-block"];

/**
 * What axe-core finds, of whatever weight, on wide and narrow screens, light and dark; and where the page is wider than its screen. One
 * page for all of it: it is loaded once.
 */
export async function mistakesOf(page: Page): Promise<string[]> {
  // By the debugger's own way in, which no page's policy concerns.
  await page.evaluate(readFileSync(AXE, "utf8"));
  const mistakes: string[] = [];
  for (const width of SCREENS) {
    await page.setViewportSize({ width, height: 800 });
    for (const colorScheme of ["light", "dark"] as const) {
      await page.emulateMedia({ colorScheme });
      const violations = await page.evaluate(
        async (rules) => {
          const { axe } = globalThis as unknown as { axe: { run(options: unknown): Promise<Found> } };
          const only = rules === null ? {} : { runOnly: { type: "rule", values: rules } };
          return (await axe.run({ ...only, resultTypes: ["violations"] })).violations;
        },
        colorScheme === "dark" ? OF_COLOURS : null,
      );
      for (const { id, nodes } of violations)
        for (const { html, failureSummary } of nodes)
          mistakes.push(`${width} ${colorScheme}: ${id}: ${html.slice(0, 200)} (${failureSummary})`);
    }
    const content = await page.evaluate("document.documentElement.scrollWidth");
    if (content !== width) mistakes.push(`${width}: the page is ${content} wide`);
  }
  await page.emulateMedia({ colorScheme: null });
  return mistakes;
}

interface Found {
  violations: { id: string; nodes: { html: string; failureSummary: string }[] }[];
}
