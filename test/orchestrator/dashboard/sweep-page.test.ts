/** A sweep's page: it shows what the database has, follows it, and what it is asked to do is done. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "csv-parse/sync";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Database, openDatabase } from "../../../orchestrator/database/open.ts";
import { advancePhases } from "../../../orchestrator/phases/advance.ts";
import { ROOT } from "../../../scripts/setup.mjs";
import { Attempt, applyAll, cellsOf, gridText, sqliteOf, submitText, train } from "../../support/database.ts";
import { scratch } from "../../support/scratch.ts";
import { mixedDatabase } from "../report/figures/fixture.ts";
import { browser, form, openApp } from "./start-app.ts";

/** One sweep for all tests that only look. */
const place = scratch(afterAll);
const closers: (() => Promise<void>)[] = [];
let mixed: ReturnType<typeof openApp>;
beforeAll(() => {
  const db = mixedDatabase(openDatabase(join(place.directory, "musweep.db")));
  closers.push(async () => db.close());
  mixed = openApp(undefined, db, (close) => closers.push(close));
});
afterAll(async () => {
  for (const close of closers.reverse()) await close();
});

const states = (db: Database) =>
  sqliteOf(db).prepare("SELECT state, count(*) AS n FROM runs GROUP BY state ORDER BY state").all();

async function page(app: ReturnType<typeof openApp>["app"], path: string): Promise<string> {
  const response = await app.request(path, { headers: browser });
  expect([path, response.status]).toEqual([path, 200]);
  return response.text();
}

describe("the map of the grid", () => {
  it("has a link for every point, named by what became of its run", async () => {
    const { app, db } = mixed;
    const text = await page(app, "/sweeps/mixed");
    const links = [...text.matchAll(/<a href="\/runs\/([^"]+)" class="([^"]+)" title="([^"]+)"/g)];
    expect(links.length).toBe(126);
    const points = sqliteOf(db)
      .prepare<[], { run: string; outcome: string; val_loss: number | null }>(
        "SELECT run, outcome, val_loss FROM run_results WHERE sweep = 'mixed'",
      )
      .all();
    const outcomes = new Map(points.map((p) => [p.run, p]));
    for (const [, run, className, title] of links) {
      const { outcome, val_loss } = outcomes.get(run!)!;
      if (val_loss === null) expect([className, title]).toEqual([outcome, expect.stringContaining(outcome)]);
      else
        expect([className, title]).toEqual([
          expect.stringMatching(/^step-\d$/),
          expect.stringContaining(val_loss.toFixed(4)),
        ]);
    }
    // The best of each of the nine rows.
    expect(
      links.filter(([, , , title]) => title!.includes("the best of its row")).length,
    ).toBeGreaterThanOrEqual(9);

    const byState = await page(app, "/sweeps/mixed?map=state&parameterization=sp&outcome=pending");
    const pending = [...byState.matchAll(/<a href="\/runs\/([^"]+)" class="([^"]+)" title=/g)];
    expect(pending.map((link) => link[2])).toEqual(Array.from({ length: 7 }, () => "pending"));
  });
});

describe("filters", () => {
  it("leave the chosen curves in figures, tables, map and list", async () => {
    const { app } = mixed;
    const text = await page(app, "/sweeps/mixed?parameterization=supar&sparsity=0.75");
    const curves = new Set(
      [...text.matchAll(/data-curve="([^"]+)"/g)].map((m) => m[1]!.replaceAll("&quot;", '"')),
    );
    expect(curves.size).toBe(1);
    expect(JSON.parse([...curves][0]!)).toMatchObject({ parameterization: "supar", sparsity: 0.75 });
    const runs = [...text.matchAll(/<th scope="row" class="heading"><a href="\/runs\/[^"]+">([^<]+)</g)];
    expect(runs.length).toBe(14);
    expect(runs.every((m) => m[1]!.startsWith("SμPar d128 L2 s0.75 "))).toBe(true);
  });
});

describe("the list of runs", () => {
  it("goes through all points, a page at a time, and back", async () => {
    const { app } = mixed;
    const titles = (text: string) =>
      [...text.matchAll(/class="heading"><a href="\/runs\/[^"]+">([^<]+)</g)].map((m) => m[1]!);
    const next = (text: string) => /<a href="([^"]+)" rel="next"/.exec(text)?.[1]?.replaceAll("&amp;", "&");
    const previous = (text: string) =>
      /<a href="([^"]+)" rel="prev"/.exec(text)?.[1]?.replaceAll("&amp;", "&");
    const pages = [await page(app, "/sweeps/mixed")];
    for (let address = next(pages[0]!); address !== undefined; address = next(pages.at(-1)!))
      pages.push(await page(app, address));
    const all = pages.map(titles);
    expect(all.map((t) => t.length)).toEqual([25, 25, 25, 25, 25, 1]);
    expect(new Set(all.flat()).size).toBe(126);
    expect(titles(await page(app, previous(pages[2]!)!))).toEqual(all[1]);
    const back = await page(app, previous(pages[1]!)!);
    expect(titles(back)).toEqual(all[0]);
    expect(previous(back)).toBeUndefined();
  });

  it("is ordered and filtered by the database, and what is checked there is compared", async () => {
    const { app, db } = mixed;
    const runsOf = (text: string) =>
      [...text.matchAll(/type="checkbox" name="run" value="([^"]+)"/g)].map((m) => m[1]!);
    const expected = sqliteOf(db)
      .prepare<[], { run: string }>(
        `SELECT run FROM run_results WHERE sweep = 'mixed' AND log2_lr >= -5 AND val_loss IS NOT NULL
         ORDER BY val_loss DESC LIMIT 25`,
      )
      .all()
      .map(({ run }) => run);
    const choice = "where=learning_rate&compared=at-least&to=2^-5";
    const text = await page(app, `/sweeps/mixed?sort=validation_loss&order=descending&${choice}`);
    // What has no loss comes last.
    expect(runsOf(text).slice(0, expected.length)).toEqual(expected);
    expect(text).toMatch(/aria-sort="descending"><a href="[^"]+">validation loss/);
    const compared = await page(app, `/compare?run=${expected[0]}&run=${expected[1]}`);
    expect(compared).toContain(expected[1]);
    // An axis that there is not orders and filters nothing.
    const odd = await page(app, `/sweeps/mixed?sort=%22%27&where=seed%22&to=1`);
    expect(runsOf(odd)).toHaveLength(25);
  });
});

describe("the filter of the runs", () => {
  const { app, db } = openApp(
    undefined,
    openDatabase(join(place.directory, "filtered.db")),
    (close) => void closers.push(close),
  );
  submitText(
    db,
    `name: filtered
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 32, sequence_length: 32 }
training: { batch_size: 2 }
base: { width: 64 }
axes:
  - { parameterization: sp, clip_norm: null, steps: 1000, beta2: 0.9, schedule: cosine, tied_embeddings: true, learning_rate: 0.0148982 }
  - { parameterization: mup, steps: 1001, beta2: 0.999, schedule: cosine, tied_embeddings: true, learning_rate: 0.1 }
  - { parameterization: mup, steps: 1002, beta2: 0.9995, schedule: linear, tied_embeddings: false, learning_rate: 0.1 }
`,
  );
  const found = async (where: string, to: string, compared = "is"): Promise<number[]> => {
    const query = new URLSearchParams({ where, to, compared });
    const text = await page(app, `/sweeps/filtered?${query}`);
    const runs = text.matchAll(/type="checkbox" name="run" value="([^"]+)"/g);
    return [...runs].map(([, run]) => order.indexOf(run!) + 1).toSorted();
  };
  const order = sqliteOf(db)
    .prepare<[], { run: string }>("SELECT run FROM run_results ORDER BY json_extract(coordinates, '$.steps')")
    .all()
    .map(({ run }) => run);

  it.each([
    // As the table shows it.
    ["learning_rate", "2^-6.07", [1]],
    ["learning_rate", "0.0149", [1]],
    ["learning_rate", "0.0148982", [1]],
    ["learning_rate", "0.0148", []],
    ["beta2", "0.9995", [3]],
    ["beta2", "0.999", [2]],
    ["steps", "1001", [2]],
    ["steps", "1e3", [1]],
    ["schedule", "Cosine", [1, 2]],
    ["tied_embeddings", "true", [1, 2]],
    ["tied_embeddings", "False", [3]],
    ["parameterization", "μP", [2, 3]],
    ["parameterization", "SP", [1]],
    ["clip_norm", "none", [1]],
    ["clip_norm", "1", [2, 3]],
  ])("where %s is %s", async (where, to, expected) => {
    expect(await found(where, to)).toEqual(expected);
  });

  it("and what was trained know null for a value, beside one other", async () => {
    const text = await page(app, "/sweeps/filtered");
    expect(text).toMatch(/<dt>varied<\/dt><dd>[^<]*clip norm (none, 1|1, none);/);
    expect(text).not.toContain("no clipping");
  });

  it("has bounds that hold what is shown at them", async () => {
    expect(await found("learning_rate", "2^-6.07", "at-most")).toEqual([1]);
    expect(await found("learning_rate", "2^-6.07", "at-least")).toEqual([1, 2, 3]);
    expect(await found("learning_rate", "2^-6.08", "at-most")).toEqual([]);
  });
});

describe("a random search", () => {
  it("has its pictures, with a point for each run that leads to it, and no grid", async () => {
    const { app, db } = openApp();
    submitText(
      db,
      `name: search
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 32, sequence_length: 32 }
training: { steps: 20, batch_size: 2 }
base: { width: 64 }
axes:
  parameterization: [supar]
  random:
    n: 12
    seed: 1
    distributions:
      learning_rate: { log_uniform: { from: 0.001, to: 0.1 } }
      init_std: { log_uniform: { from: 0.02, to: 0.2 } }
`,
    );
    const runs = sqliteOf(db)
      .prepare<[], { run: string; log2_lr: number }>("SELECT run, log2_lr FROM run_results")
      .all();
    for (const { run, log2_lr } of runs) train(db, run, 3 + 0.1 * (log2_lr + 6) ** 2);
    const text = await page(app, "/sweeps/search");
    expect(text).not.toContain("Nothing fits");
    expect(text).not.toContain('id="grid"');
    // The loss is a parabola in log LR, and its order nearly one.
    expect(Number(/learning rate: (\d+)% alone/.exec(text)![1])).toBeGreaterThan(80);
    // Two panels, each for wide and narrow screens.
    for (const { run } of runs)
      expect(text.split(`<a href="/runs/${run}" tabindex="-1">`)).toHaveLength(1 + 2 * 2);
    const beside = await page(app, "/compare/sweeps?sweep=search");
    expect(beside).toContain('<a href="/sweeps/search">');
    expect((await app.request("/compare/sweeps?sweep=nobody", { headers: browser })).status).toBe(404);
  });
});

describe("two sweeps", () => {
  it("stand side by side, curve by curve", async () => {
    const { app, db } = openApp();
    for (const name of ["one", "two"]) {
      const yaml = gridText({ rates: "{ log2: { from: -8, to: -4 } }" }).replace(
        /^name: .*/m,
        `name: ${name}`,
      );
      submitText(db, yaml);
      for (const { run } of cellsOf(yaml)) train(db, run, 3);
    }
    const text = await page(app, "/compare/sweeps?sweep=one&sweep=two");
    const curves = sqliteOf(db)
      .prepare<[], { n: number }>("SELECT count(*) AS n FROM optima WHERE sweep = 'one'")
      .get()!.n;
    expect([...text.matchAll(/<th scope="row" class="heading">/g)]).toHaveLength(curves);
  });
});

describe("phases", () => {
  it("have a tab each, and one that waits says what for", async () => {
    const { app, db } = openApp();
    const file = readFileSync(join(ROOT, "sweeps", "proxy-to-target.yaml"), "utf8");
    submitText(db, file);
    const first = await page(app, "/sweeps/proxy-to-target");
    expect(first).toMatch(/<a href="[^"]+phase=proxy#curves" aria-current="true">proxy/);
    expect(first).toContain("starts when what it waits for is decided");
    const waiting = await page(app, "/sweeps/proxy-to-target?phase=target");
    expect(waiting).toMatch(/<a href="[^"]+phase=target#curves" aria-current="true">target/);
    expect(waiting).toContain("Phase target has no runs yet: it takes values from another phase");
    expect(waiting).not.toContain('class="map');
  });

  it("show which points were added to the grid, and why", async () => {
    const { app, db } = openApp();
    const yaml = `${gridText({ rates: "{ log2: { from: -8, to: -4 } }" })}extend: { max: 2 }\n`;
    submitText(db, yaml);
    // The higher the rate, the better: the optimum lies at the edge, and the grid grows by one octave.
    for (const [i, { run }] of cellsOf(yaml).entries()) train(db, run, 3 - 0.1 * i);
    advancePhases(db);
    const text = await page(app, "/sweeps/grid");
    const added = [...text.matchAll(/<a href="[^"]+" class="pending added" title="([^"]+)"/g)];
    expect(added.map((m) => m[1])).toEqual([
      expect.stringMatching(/^log₂ LR −3, seed 1: pending; added, extend: /),
    ]);
    expect(text).toMatch(/1 point added, extend: /);
  });
});

describe("files", () => {
  it("are the report's own, offered for saving", async () => {
    const { app, db } = mixed;
    const text = await page(app, "/sweeps/mixed");
    const links = [...text.matchAll(/href="([^"]+\/files\/([^"]+))" download/g)];
    expect(links.map((m) => m[2])).toEqual([
      "report.html",
      "report.json",
      "curves.csv",
      "optima.csv",
      "transfer.csv",
      "exponents.csv",
      "level.csv",
      "curves.svg",
      "optimum-by-sparsity.svg",
      "curves.png",
      "optimum-by-sparsity.png",
      "sweep.yaml",
    ]);
    for (const [, path, name] of links) {
      const response = await app.request(path!);
      expect([name, response.status]).toEqual([name, 200]);
      expect(response.headers.get("content-disposition")).toBe(`attachment; filename="mixed-${name}"`);
    }
    const optima = await (await app.request("/sweeps/mixed/files/optima.csv")).text();
    const stored = sqliteOf(db).prepare("SELECT count(*) AS n FROM optima").get();
    expect({ n: (parse(optima, { columns: true }) as unknown[]).length }).toEqual(stored);
    expect((await app.request("/sweeps/mixed/files/..%2Fmusweep.db")).status).toBe(404);
  });
});

describe("actions", () => {
  it("note, archive, bring back and delete, each by a form that asks before", async () => {
    const { app, db } = openApp();
    submitText(db, gridText({ rates: "[0.01]" }));
    submitText(db, gridText({ name: "other", rates: "[0.01, 0.02]" }));
    const [first] = cellsOf(gridText({ rates: "[0.01, 0.02]" }));
    const post = async (path: string, fields: Record<string, string>) => {
      const response = await app.request(path, form(fields));
      return [response.status, response.headers.get("location")];
    };
    const list = (path: string) =>
      page(app, path).then((text) => [...text.matchAll(/<h2><a [^>]*>([^<]*)</g)].map((m) => m[1]));
    expect(await post("/sweeps/grid/note", { note: "  <b>warm-up</b> too short " })).toEqual([
      303,
      "/sweeps/grid",
    ]);
    expect(await page(app, "/sweeps/grid")).toContain("<p>&lt;b&gt;warm-up&lt;/b&gt; too short</p>");
    expect(await page(app, "/")).toContain("&lt;b&gt;warm-up&lt;/b&gt; too short");
    expect((await post("/sweeps/grid/note", { note: "x".repeat(2001) }))[0]).toBe(422);
    expect(await post("/sweeps/grid/note", { note: "" })).toEqual([303, "/sweeps/grid"]);
    expect(await page(app, "/")).not.toContain("warm-up");
    expect(await post("/sweeps/grid/tags", { tags: " draft <b>,draft  wide" })).toEqual([
      303,
      "/sweeps/grid",
    ]);
    expect(await page(app, "/sweeps/grid")).toContain(
      '<a href="/?tag=%3Cb%3E">&lt;b&gt;</a> <a href="/?tag=draft">draft</a> <a href="/?tag=wide">wide</a>',
    );
    expect(await list("/?tag=wide")).toEqual(["grid"]);
    expect(await list("/?tag=nobody")).toEqual([]);
    for (const tags of ["x".repeat(41), "a\u001b[2Jb", "a\u202eb"])
      expect((await post("/sweeps/grid/tags", { tags }))[0]).toBe(422);
    expect(await post("/sweeps/grid/tags", { tags: "" })).toEqual([303, "/sweeps/grid"]);
    expect(await page(app, "/")).not.toContain('class="tags"');
    // Not before it is trained.
    expect((await post("/sweeps/grid/archive", {}))[0]).toBe(422);
    train(db, first!.run, 3);
    advancePhases(db);
    expect(await page(app, "/sweeps/grid")).toContain("Archive the sweep");
    expect(await post("/sweeps/grid/archive", {})).toEqual([303, "/sweeps/grid"]);
    expect(await list("/")).toEqual(["other"]);
    expect(await list("/?archived")).toEqual(["grid"]);
    expect(await page(app, "/sweeps/grid")).toContain("Bring it back");
    expect(await post("/sweeps/grid/archive", { which: "undo" })).toEqual([303, "/sweeps/grid"]);
    expect(await list("/")).toEqual(["other", "grid"]);
    // Of its runs, one is wanted by the other one too.
    expect(await post("/sweeps/other/delete", {})).toEqual([303, "/?notice=deleted-1"]);
    expect(await page(app, "/?notice=deleted-1")).toContain("deleted, with 1 run that no other one wants");
    expect(await list("/")).toEqual(["grid"]);
    expect(sqliteOf(db).prepare("SELECT id FROM runs").pluck().all()).toEqual([first!.run]);
    expect((await app.request("/sweeps/other", { headers: browser })).status).toBe(404);
  });

  it("requeue what failed, cancel the rest, requeue what is missing", async () => {
    const { app, db } = openApp();
    submitText(db, gridText({ rates: "[0.01, 0.02, 0.04]" }));
    const [a, b] = cellsOf(gridText({ rates: "[0.01, 0.02, 0.04]" })).map((cell) => cell.run) as [
      string,
      string,
    ];
    train(db, a, 2);
    const attempt = new Attempt(b, 1001);
    applyAll(db, [
      attempt.claimed(),
      attempt.started(),
      attempt.failed(true, "<img src=x onerror=alert(1)>"),
    ]);
    const shown = await page(app, "/sweeps/grid");
    expect(shown).toContain("1 run failed:</strong> &lt;img src=x");
    expect(shown).not.toContain("<img");
    expect(shown).toContain("Requeue 1 failed");

    const requeued = await app.request("/sweeps/grid/requeue", form({ which: "failed" }));
    expect(requeued.headers.get("location")).toBe("/sweeps/grid?notice=requeued-1");
    expect(states(db)).toEqual([
      { state: "finished", n: 1 },
      { state: "pending", n: 2 },
    ]);
    const cancelled = await app.request("/sweeps/grid/cancel", form({}));
    expect(cancelled.headers.get("location")).toBe("/sweeps/grid?notice=cancelled-2");
    expect(states(db)).toEqual([
      { state: "cancelled", n: 2 },
      { state: "finished", n: 1 },
    ]);
    expect(await page(app, "/sweeps/grid?notice=cancelled-2")).toContain("2 runs cancelled.");
    await app.request("/sweeps/grid/requeue", form({ which: "missing" }));
    expect(states(db)).toEqual([
      { state: "finished", n: 1 },
      { state: "pending", n: 2 },
    ]);

    expect((await app.request("/sweeps/grid/requeue", form({ which: "all" }))).status).toBe(422);
    expect((await app.request("/sweeps/gird/cancel", form({}))).status).toBe(404);
    const elsewhere = { origin: "https://evil.example", "sec-fetch-site": "cross-site" };
    expect((await app.request("/sweeps/grid/cancel", form({}, elsewhere))).status).toBe(403);
    expect(states(db)).toEqual([
      { state: "finished", n: 1 },
      { state: "pending", n: 2 },
    ]);
  });

  it("are told apart from addresses that say anything else", async () => {
    const { app, db } = openApp();
    submitText(db, gridText());
    for (const bad of ["cancelled-x", "<b>", "cancelled-1<b>"])
      expect(await page(app, `/sweeps/grid?notice=${encodeURIComponent(bad)}`)).not.toContain('class="note"');
    const unknown = await app.request("/sweeps/grod", { headers: browser });
    expect(unknown.status).toBe(404);
    expect(await unknown.text()).toContain("Did you mean &quot;grid&quot;?");
  });
});

describe("the stream of a page", () => {
  it("sends the parts that a result has changed, and those alone", async () => {
    const { app, db } = openApp();
    const yaml = gridText({ rates: "[0.01, 0.02, 0.04]" });
    submitText(db, yaml);
    const text = await page(app, "/sweeps/grid");
    const have = [...text.matchAll(/<div id="([^"]+)" data-hash="([^"]+)"/g)].map((m) => `${m[1]}:${m[2]}`);
    expect(have.length).toBe(8);
    const response = await app.request(`/sweeps/grid/live?have=${have.join()}`);
    expect(response.headers.get("content-type")).toContain("text/event-stream");
    const events = readEvents(response);
    // Nothing has changed: the first look ends without a part.
    expect((await events.next()).value).toMatchObject({ event: "beat" });
    train(db, cellsOf(yaml)[0]!.run, 2.5);
    const changed: string[] = [];
    for await (const { event, data } of events) {
      if (event === "beat") break;
      const part = JSON.parse(data) as { id: string; html: string };
      changed.push(part.id);
      if (part.id === "runs") expect(part.html).toContain("2.5000");
    }
    expect(changed).toEqual(expect.arrayContaining(["status", "figures", "tables", "map-part", "runs"]));
    expect(changed).not.toContain("phases");
    await events.return(undefined);
  });
});

async function* readEvents(response: Response): AsyncGenerator<{ event: string; data: string }> {
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let pending = "";
  try {
    while (true) {
      const { value, done } = await reader.read();
      if (done) return;
      const blocks = (pending + value).split("\n\n");
      pending = blocks.pop()!;
      for (const block of blocks)
        yield {
          event: /^event: (.*)$/m.exec(block)?.[1] ?? "",
          data: /^data: ?(.*)$/m.exec(block)?.[1] ?? "",
        };
    }
  } finally {
    await reader.cancel();
  }
}
