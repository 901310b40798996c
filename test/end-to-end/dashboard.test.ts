/**
 * The dashboard in a real browser, over a real serve and a real worker: a sweep is submitted with a mistake, corrected,
 * planned, queued, watched until it is complete, stopped and taken up again.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { mistakesOf, openTab, startBrowser, type Tab } from "../support/browser.ts";
import {
  asOwner,
  freePort,
  linkOf,
  Musweep,
  sql,
  stepsThatTake,
  succeed,
  writeSweep,
} from "../support/musweep.ts";
import { scratch, until } from "../support/scratch.ts";

const place = scratch(afterAll);
const commands: Musweep[] = [];
const closers: (() => Promise<void>)[] = [];
let url: string;
let browser: Browser;
let tab: Tab;
let page: Page;

// In reverse: the browser before the server.
afterAll(async () => {
  for (const close of closers.reverse()) await close();
  for (const command of commands) command.child.kill("SIGKILL");
});

beforeAll(async () => {
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  commands.push(new Musweep(place, ["serve", "--port", String(port)]));
  await commands[0]!.says(/musweep is at/);
  browser = await startBrowser((close) => closers.push(close));
  tab = await openTab(browser);
  page = tab.page;
});

const text = async (selector: string): Promise<string> => (await page.locator(selector).textContent()) ?? "";

const file = (sweep: Parameters<typeof writeSweep>[1]): string =>
  readFileSync(join(place.directory, writeSweep(place, sweep)), "utf8");

describe("the dashboard", () => {
  it("says what to do where there is nothing yet", async () => {
    await page.goto(await linkOf(commands[0]!));
    // Nothing of the link is left in the address.
    expect(page.url()).toBe(`${url}/`);
    expect(await text("main")).toContain("No sweeps yet");
    await page.getByRole("link", { name: "New sweep" }).click();
    await page.waitForURL(`${url}/submit`);
  });

  it("shows a mistake at its line, keeps the text, and plans it once it is corrected", async () => {
    const sound = file({ name: "watched", rates: "{ log2: { from: -9, to: -3 } }" });
    await page.getByLabel("Sweep file").fill(sound.replace("corpus: moby-dick", "corpus: moby-dik"));
    await page.getByRole("button", { name: "Check and plan" }).click();
    await page.waitForSelector(".listing");
    expect(await text(".listing .wrong")).toMatch(
      /2\s*data: \{ corpus: moby-dik \}[\s\S]*sweep\.yaml:2:17[\s\S]*did you mean "moby-dick"\?/,
    );
    // The link goes to the place in the text.
    await page.getByRole("link", { name: "sweep.yaml:2:17" }).click();
    const field = page.getByLabel("Sweep file");
    const selected = await page.evaluate(
      "(field => field.value.slice(field.selectionStart, field.selectionEnd))(document.activeElement)",
    );
    expect(selected).toBe("moby-dik }");
    await page.keyboard.type("moby-dick }");
    expect(await field.inputValue()).toBe(sound);
    await page.getByRole("button", { name: "Check and plan" }).click();
    await page.getByRole("button", { name: "Queue 14 runs" }).waitFor();
    expect(await text(".facts")).toMatch(/to train\s*14/);
    expect(sql(place, "SELECT name FROM sweeps")).toEqual([]);
  });

  it("takes a dropped file", async () => {
    const other = await openTab(browser, { extraHTTPHeaders: asOwner(place) });
    await other.page.goto(`${url}/submit`);
    await other.page.evaluate(`{
      const data = new DataTransfer();
      data.items.add(new File(["name: dropped\\n"], "dropped.yaml"));
      const drop = new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true });
      document.getElementById("text").dispatchEvent(drop);
    }`);
    await expect.poll(() => other.page.getByLabel("Sweep file").inputValue()).toBe("name: dropped\n");
    await other.page.getByRole("button", { name: "Check and plan" }).click();
    await other.page.waitForSelector(".listing");
    expect(await other.page.locator(".listing").textContent()).toContain("dropped.yaml:1:1");
    expect(other.complaints).toEqual([]);
    await other.page.context().close();
  });

  it("shows a real sweep train to its end without a reload", async () => {
    await page.getByRole("button", { name: "Queue 14 runs" }).click();
    await page.waitForURL(`${url}/sweeps/watched`);
    await page.evaluate("window.notReloaded = true");
    expect(await text("#status")).toContain("14 runs");
    commands.push(new Musweep(place, ["worker", "--slots", "2"]));
    await until(async () => expect(await text("#status")).toMatch(/[1-9]\d* (finished|diverged)/));
    await until(async () => expect(await text("#status")).toMatch(/complete[\s\S]*100%/));
    expect(await page.evaluate("window.notReloaded")).toBe(true);
    // What the page shows is what the database has.
    const losses = sql<{ loss: string }>(
      place,
      "SELECT printf('%.4f', val_loss) AS loss FROM run_results WHERE outcome = 'finished' ORDER BY 1",
    );
    const shown = await page
      .locator(".map a")
      .evaluateAll((links) => links.flatMap((link) => /loss ([\d.]+)/.exec(link.title)?.[1] ?? []));
    expect(shown.sort()).toEqual(losses.map((row) => row.loss));
    const optima = sql<{ log2_lr: number }>(
      place,
      "SELECT log2_lr FROM optima WHERE flag = 'bracketed' ORDER BY 1",
    );
    const marked = await page
      .locator(".wide svg .panel [data-optimum]")
      .evaluateAll((marks) => marks.map((mark) => Number(mark.getAttribute("data-optimum"))));
    for (const { log2_lr } of optima) expect(marked).toContain(log2_lr);
    expect(await page.locator("#verdicts li").count()).toBe(1);
  });

  it("goes through the map by arrow keys, and opens a run from it", async () => {
    await page.getByRole("link", { name: "Grid", exact: true }).click();
    expect(page.url()).toBe(`${url}/sweeps/watched#grid`);
    const first = page.locator(".map td a").first();
    await first.focus();
    await page.keyboard.press("ArrowRight");
    const second = page.locator(".map tr:nth-child(1) td:nth-of-type(2) a");
    expect(await page.evaluate("document.activeElement.getAttribute('href')")).toBe(
      await second.getAttribute("href"),
    );
    const run = await second.getAttribute("href");
    await page.keyboard.press("Enter");
    await page.waitForURL(`${url}${run}`);
    await page.goBack();
  });

  it("filters by address, and draws what is left", async () => {
    await page.locator("#grid ~ .choices select[name=sparsity]").selectOption({ label: "1/2" });
    await page.waitForURL(/\?sparsity=0\.5#grid$/);
    expect(await page.locator(".map tbody tr").count()).toBe(1);
    await page.getByRole("link", { name: "Show all" }).click();
    await page.waitForURL(`${url}/sweeps/watched#grid`);
    expect(await page.locator(".map tbody tr").count()).toBe(2);
  });

  it("shows a tab at a time, that of the address, by keys, with the way back, and all of them on paper", async () => {
    const seen = async (): Promise<string[]> => {
      const visible = page.locator(".tabbed > section > h2:first-child:visible");
      return visible.evaluateAll((headings) => headings.map((heading) => heading.id));
    };
    await page.goto(`${url}/sweeps/watched`);
    expect(await seen()).toEqual(["answer"]);
    const parts = page.getByRole("navigation", { name: "Parts of this page" });
    await parts.getByRole("link", { name: "Runs" }).focus();
    await page.keyboard.press("Enter");
    expect(await seen()).toEqual(["runs-heading"]);
    expect(await parts.locator("[aria-current]").allTextContents()).toEqual(["Runs"]);
    await page.goBack();
    expect(await seen()).toEqual(["answer"]);
    // Something inside of a tab; and skipping to the content leaves it open.
    await page.goto(`${url}/sweeps/watched#files`);
    await page.locator("a.skip").first().focus();
    await page.keyboard.press("Enter");
    expect(await seen()).toEqual(["trained"]);
    await page.emulateMedia({ media: "print" });
    expect(await seen()).toEqual(["answer", "curves", "grid", "optima", "runs-heading", "trained"]);
    // Without the colours of its fields the map says nothing, and paper does not scroll.
    const map = "document.querySelector('table.map')";
    expect(await page.evaluate(`getComputedStyle(${map}).printColorAdjust`)).toBe("exact");
    expect(await page.evaluate(`${map}.getBoundingClientRect().right <= innerWidth`)).toBe(true);
    await page.emulateMedia({ media: "screen" });
    const plain = await openTab(browser, { javaScriptEnabled: false, extraHTTPHeaders: asOwner(place) });
    await plain.page.goto(`${url}/sweeps/watched?sort=validation_loss#runs-heading`);
    expect(await plain.page.locator("#runs-table").isVisible()).toBe(true);
    expect(await plain.page.locator("#verdicts").isVisible()).toBe(false);
    await plain.page.context().close();
  });

  it("cancels and takes up again, after asking once more", async () => {
    await succeed(
      place,
      "submit",
      writeSweep(place, { name: "endless", sparsity: "[0]", steps: 10_000_000 }),
    );
    await page.goto(`${url}/sweeps/endless`);
    await until(async () => expect(await text("#status")).toMatch(/running/));
    await page.locator("summary", { hasText: "Cancel…" }).click();
    await page.getByRole("button", { name: "Cancel the sweep" }).click();
    await page.waitForURL(/notice=cancelled-3/);
    expect(await text("main")).toContain("3 runs cancelled.");
    await page.locator("summary", { hasText: "Requeue 3 missing…" }).click();
    await page.getByRole("button", { name: "Requeue" }).click();
    await page.waitForURL(/notice=requeued-3/);
    await until(() =>
      expect(
        sql(place, "SELECT 1 FROM run_results WHERE sweep = 'endless' AND outcome = 'running'").length,
      ).toBeGreaterThan(0),
    );
    await succeed(place, "cancel", "endless");
    await until(async () => expect(await text("#status")).toMatch(/cancelled/));
  });

  it("asks nothing of other servers, breaks none of its own rules, and logs no error", () => {
    expect(tab.complaints).toEqual([]);
  });
});

describe("run --open", () => {
  it("shows the sweep while it trains, and ends with it", async () => {
    const own = scratch();
    const name = writeSweep(own, { steps: await stepsThatTake(1.5, own), sparsity: "[0]" });
    // No screen: the address is said, and no browser opened.
    const run = new Musweep(own, ["run", name, "--open"], { DISPLAY: "", WAYLAND_DISPLAY: "" });
    await run.says(/Dashboard: http/);
    const address = /Dashboard: (\S+)/.exec(run.stderr)![1]!;
    const { page, complaints } = await openTab(browser);
    await page.goto(address);
    expect(page.url()).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/sweeps\/tiny$/);
    expect(await page.locator("h1").textContent()).toBe("tiny");
    const [{ name: cookie, ...kept } = { name: "" }] = await page.context().cookies();
    expect(cookie).toMatch(/^musweep_session_/);
    expect(kept).toMatchObject({ httpOnly: true, sameSite: "Strict" });
    // Neither the history nor a second click lets anybody in.
    await page.goBack();
    expect(page.url()).toBe("about:blank");
    const stranger = await openTab(browser);
    await stranger.page.goto(address);
    expect(await stranger.page.locator("main").textContent()).toContain("That link was used already");
    expect(complaints).toEqual([]);
    await page.context().close();
    await stranger.page.context().close();
    expect(await run.ended).toMatchObject({ code: 0 });
    await expect(fetch(address)).rejects.toThrow();
    await own.expectNoProcess();
  });
});

const RANDOM = `name: drawn
data: { corpus: moby-dick }
model: { width: 32, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 10, batch_size: 4, evaluation: { sequences: 16 } }
base: { width: 32 }
axes:
  parameterization: [supar]
  random: { n: 6, seed: 1, distributions: { learning_rate: { log_uniform: { from: 1e-3, to: 1e-1 } }, init_std: { log_uniform: { from: 0.02, to: 0.2 } } } }
`;

describe("on wide and narrow screens, light and dark", () => {
  it("every page is accessible and as wide as the screen", async () => {
    writeFileSync(join(place.directory, "drawn.yaml"), RANDOM);
    await succeed(place, "submit", "drawn.yaml");
    const drawn = "SELECT 1 FROM run_results WHERE sweep = 'drawn' AND outcome IN ('finished', 'diverged')";
    await until(() => expect(sql(place, drawn).length).toBe(6));
    const seen = await openTab(browser, { extraHTTPHeaders: asOwner(place) });
    const runs = sql<{ run: string }>(
      place,
      "SELECT DISTINCT run FROM run_results WHERE sweep = 'watched' LIMIT 2",
    ).map((row) => row.run);
    const found: string[] = [];
    const look = async (name: string): Promise<void> => {
      found.push(...(await mistakesOf(seen.page)).map((mistake) => `${name}: ${mistake}`));
    };
    for (const path of [
      "/",
      "/?archived",
      "/submit?from=quickstart",
      "/sweeps/watched",
      "/sweeps/watched#curves",
      "/sweeps/watched?map=state#grid",
      "/sweeps/watched#optima",
      "/sweeps/watched#runs-heading",
      "/sweeps/watched#trained",
      "/sweeps/drawn#curves",
      `/runs/${runs[0]}`,
      `/compare?run=${runs.join("&run=")}`,
      "/compare/sweeps?sweep=watched&sweep=endless",
      "/workers",
      "/sql?query=SELECT+*+FROM+optima",
      "/nothing-here",
    ]) {
      await seen.page.goto(`${url}${path}`);
      await look(path);
    }
    for (const [name, sweep] of [
      ["a plan", RANDOM.replace("drawn", "planned")],
      ["a mistake", RANDOM.replace("moby-dick", "moby-dik")],
    ] as const) {
      await seen.page.goto(`${url}/submit`);
      await seen.page.getByLabel("Sweep file").fill(sweep);
      await seen.page.getByRole("button", { name: "Check and plan" }).click();
      await seen.page.waitForSelector(name === "a plan" ? ".facts" : ".listing");
      await look(name);
    }
    expect(found).toEqual([]);
    // bull-board's own page: what is known of it, and nothing worse. What waits is on the page of workers, too.
    await seen.page.goto(`${url}/queues`);
    await seen.page.waitForSelector("main");
    const rules = (await mistakesOf(seen.page)).map((mistake) => mistake.split(": ")[1]!);
    const known = [
      "button-name",
      "color-contrast",
      "image-redundant-alt",
      "page-has-heading-one",
      "svg-img-alt",
    ];
    expect(rules.filter((rule) => !known.includes(rule))).toEqual([]);
    expect(seen.complaints).toEqual([]);
    await seen.page.context().close();
    const stranger = await openTab(browser);
    await stranger.page.goto(`${url}/login`);
    expect(await mistakesOf(stranger.page)).toEqual([]);
    await stranger.page.context().close();
  });
});
