/**
 * Runs, workers and SQL in a real browser, over a real serve and a real worker: a run is watched while it trains, compared
 * with others, asked for in SQL; a query that does not end is interrupted while everything else is answered.
 */
import { readFileSync } from "node:fs";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mistakesOf, openTab, startBrowser, type Tab } from "../support/browser.ts";
import { asOwner, freePort, linkOf, Musweep, sql, succeed, writeSweep } from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

const ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

const place = scratch(afterAll);
const commands: Musweep[] = [];
const closers: (() => Promise<void>)[] = [];
let url: string;
let browser: Browser;
let tab: Tab;
let page: Page;
/** A run that outlasts the tests, and reports every 5,000 steps. */
let endless: string;
/** Finished ones, of three learning rates. */
let finished: string[];

afterAll(async () => {
  for (const close of closers.reverse()) await close();
  for (const command of commands) command.child.kill("SIGKILL");
});

const text = async (selector: string): Promise<string> => (await page.locator(selector).textContent()) ?? "";

beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  commands.push(new Musweep(place, ["serve", "--port", String(port)]));
  await commands[0]!.says(/musweep is at/);
  browser = await startBrowser((close) => closers.push(close));
  tab = await openTab(browser);
  page = tab.page;
  await page.goto(await linkOf(commands[0]!));
  await succeed(place, "submit", writeSweep(place, { name: "short", sparsity: "[0.5]" }));
  await succeed(
    place,
    "submit",
    writeSweep(place, { name: "endless", sparsity: "[0]", rates: "[0.01]", steps: 1_000_000 }),
  );
  endless = sql<{ run: string }>(place, "SELECT run FROM run_results WHERE sweep = 'endless'")[0]!.run;
});

describe("workers", () => {
  it("that are not there are asked for; one that comes is shown with what it trains, without a reload", async () => {
    await page.goto(`${url}/workers`);
    expect(await text("main")).toContain("No workers");
    commands.push(new Musweep(place, ["worker", "--slots", "2"]));
    await until(async () => {
      await expect
        .poll(() => text("#workers"), { timeout: 20_000 })
        .toContain("SμPar d32 L1 s0 lr 0.01 seed 1");
      expect(await text("#workers")).toMatch(/1 worker, \d of 2 slots busy, [\d,]+ tokens\/s/);
    });
    await page.getByRole("link", { name: "SμPar d32 L1 s0 lr 0.01 seed 1" }).click();
    await page.waitForURL(`${url}/runs/${endless}`);
  });
});

describe("a run", () => {
  it("is followed while it trains: step, speed, curve", async () => {
    const step = async (): Promise<number> =>
      Number(/step ([\d,]+) of 1,000,000/.exec(await text("#run-state"))![1]!.replaceAll(",", ""));
    await until(async () => expect(await step()).toBeGreaterThan(0));
    const before = await step();
    await until(async () => expect(await step()).toBeGreaterThan(before));
    expect(await text("#run-state")).toMatch(/running[\s\S]*tokens\/s, [\s\S]* left, on /);
    await until(async () =>
      expect(await page.locator("#run-curve .wide svg path.line").count()).toBeGreaterThan(0),
    );
    expect(await text("#attempts")).toContain("in progress");
  });

  it("that is finished shows the numbers of the database, and is compared with those of other learning rates", async () => {
    await until(() => {
      finished = sql<{ run: string }>(
        place,
        "SELECT run FROM run_results WHERE sweep = 'short' AND outcome = 'finished' ORDER BY log2_lr",
      ).map(({ run }) => run);
      expect(finished.length).toBe(3);
    });
    const [{ loss }] = sql<{ loss: number }>(
      place,
      `SELECT val_loss AS loss FROM run_results WHERE run = '${finished[0]}'`,
    ) as [{ loss: number }];
    await page.goto(`${url}/runs/${finished[0]}`);
    expect(await text("#run-state")).toContain(`validation loss${loss.toFixed(4)}`);
    const drawn = await page
      .locator(".wide [data-validation-loss]")
      .last()
      .getAttribute("data-validation-loss");
    expect(Number(drawn)).toBeCloseTo(loss, 9);
    await page.getByRole("link", { name: "other learning rates (3 runs)" }).click();
    await page.waitForURL(/\/compare\?run=r/);
    expect(await page.locator(".wide svg [data-run]").count()).toBe(3);
    expect(await text(".lead")).toBe("All of them: SμPar d32 L1 s0.5 seed 1");
    expect(await text("#differences")).toContain("learning_rate");
    await page.getByRole("link", { name: /^Remove lr 2\^-7/ }).click();
    await expect.poll(() => page.locator("#results tbody tr").count()).toBe(2);
    await page.getByLabel("Add a run by its id").fill(endless);
    await page.getByRole("button", { name: "Add" }).click();
    await expect.poll(() => page.locator("#results tbody tr").count()).toBe(3);
    expect(new URL(page.url()).searchParams.getAll("run")).toEqual([...finished.slice(1), endless]);
  });
});

describe("the SQL console", () => {
  const ask = async (query: string): Promise<void> => {
    await page.getByLabel("A query, read-only").fill(query);
    await page.getByRole("button", { name: "Run" }).click();
    await page.waitForSelector("#answer");
  };

  it("runs an example for the newest sweep by keys, and leads to the runs that come out", async () => {
    await page.goto(`${url}/sql`);
    await page.getByRole("link", { name: "The training curve of one run" }).click();
    expect(await page.getByLabel("A query, read-only").inputValue()).toContain("sweep = 'endless'");
    await ask("SELECT run, val_loss FROM run_results WHERE sweep = 'short' ORDER BY log2_lr");
    expect(await text("#answer")).toContain("3 rows");
    await page.getByLabel("A query, read-only").focus();
    await page.keyboard.press("Control+Enter");
    await page.waitForSelector("#answer");
    await page.locator(".result tbody tr:nth-child(2) a").click();
    await page.waitForURL(`${url}/runs/${finished[1]}`);
  });

  it("says where a query is wrong, and that nothing can be written", async () => {
    await page.goto(`${url}/sql`);
    await ask("SELECT loss FROM run_results");
    expect(await text("#answer")).toContain("no such column: loss");
    await ask("UPDATE runs SET state = 'failed'");
    expect(await text("#answer")).toContain("only queries that read rows");
    expect(sql(place, "SELECT 1 FROM runs WHERE state = 'failed'")).toEqual([]);
  });

  it("interrupts one that does not end, while everything else is answered", async () => {
    const other = await openTab(browser, { extraHTTPHeaders: asOwner(place) });
    await page.getByLabel("A query, read-only").fill(ENDLESS);
    const answered = page.getByRole("button", { name: "Run" }).click();
    await until(() => expect(place.processes().join("\n")).toMatch(/query-program/));
    expect(await (await fetch(`${url}/healthz`)).json()).toEqual({ ok: true });
    await other.page.goto(`${url}/runs/${endless}`);
    expect(await other.page.locator("h1").textContent()).toContain("SμPar d32");
    // Still at it: what was answered was answered meanwhile.
    expect(place.processes().join("\n")).toMatch(/query-program/);
    await answered;
    await page.waitForSelector("#answer", { timeout: 40_000 });
    expect(await text("#answer")).toContain("interrupted after 10 s");
    await until(() => expect(place.processes().join("\n")).not.toMatch(/query-program/));
    await other.page.context().close();
  });

  it("ends a query whose reader has gone away", async () => {
    const leave = new AbortController();
    const sent = fetch(`${url}/sql`, {
      method: "POST",
      body: new URLSearchParams({ query: ENDLESS }),
      headers: { ...asOwner(place), origin: url },
      signal: leave.signal,
    });
    await until(() => expect(place.processes().join("\n")).toMatch(/query-program/));
    leave.abort();
    await expect(sent).rejects.toThrow();
    await until(() => expect(place.processes().join("\n")).not.toMatch(/query-program/), 8000);
  });

  it("gives all rows as CSV where the table stops at a thousand, and shows mark-up as text", async () => {
    const many =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2500) SELECT i, '<script>alert(1)</script>' AS \"<b>\" FROM n";
    await page.goto(`${url}/sql`);
    await ask(many);
    expect(await text("#answer")).toContain("The first 1,000 rows; there are more");
    expect(await text(".result thead")).toContain("<b>");
    expect(await text(".result tbody tr:first-child")).toContain("<script>alert(1)</script>");
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Download CSV" }).click();
    const lines = readFileSync((await (await download).path())!, "utf8").split("\r\n");
    expect([lines.length, lines[0], lines[2500]]).toEqual([2502, "i,<b>", "2500,<script>alert(1)</script>"]);
  });
});

describe("on wide and narrow screens, light and dark", () => {
  it("every page is accessible and as wide as the screen", async () => {
    const seen = await openTab(browser, { extraHTTPHeaders: asOwner(place) });
    const compared = finished.map((run) => `run=${run}`).join("&");
    for (const path of [
      `/runs/${finished[0]}`,
      `/runs/${endless}`,
      `/compare?${compared}`,
      "/workers",
      "/sql",
    ]) {
      await seen.page.goto(`${url}${path}`);
      expect([path, await mistakesOf(seen.page)]).toEqual([path, []]);
    }
    expect(seen.complaints).toEqual([]);
    await seen.page.context().close();
  });
});

it("asks nothing of other servers, breaks none of its own rules, and logs no error", () => {
  expect(tab.complaints).toEqual([]);
});
