/** Submitting by the page: mistakes at their lines, the plan before anything is queued, and the text is never lost. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { packageRoot } from "../../../schema/wire/package.ts";
import { gridText, sqliteOf } from "../../support/database.ts";
import { HOSTILE_SWEEPS } from "../../support/hostile-sweeps.ts";
import { form, openApp } from "./start-app.ts";

const BROKEN = gridText({ name: "mine" })
  .replace("steps: 20", "steps: twenty")
  .replace("sparsity: [0]", "sparsty: [0] # </textarea><b>bold</b>");

const sweepCount = (db: ReturnType<typeof openApp>["db"]) =>
  sqliteOf(db).prepare<[], { n: number }>("SELECT count(*) AS n FROM sweeps").get()!.n;

/** The text that the page's form would send again. */
const keptText = (page: string): string =>
  /<textarea[^>]*>\n([\s\S]*?)<\/textarea>/
    .exec(page)![1]!
    .replace(
      /&(lt|gt|quot|#39|amp);/g,
      (_, name: string) => ({ lt: "<", gt: ">", quot: '"', "#39": "'", amp: "&" })[name]!,
    );

describe("a file with mistakes", () => {
  it("is shown with each one at its line, and comes back to be corrected", async () => {
    const { app, db } = openApp();
    // As browsers send the lines of a text field.
    const text = BROKEN.replaceAll("\n", "\r\n");
    const response = await app.request("/submit", form({ text, file: "mine.yaml" }));
    expect(response.status).toBe(422);
    const page = await response.text();
    const wrong = [...page.matchAll(/<li class="wrong">[\s\S]*?<\/li>/g)].map((m) => m[0]);
    expect(wrong.map((line) => /line-number">(\d+)/.exec(line)![1])).toEqual(["4", "8"]);
    expect(wrong[0]).toContain("mine.yaml:4:20");
    expect(wrong[0]).toContain("training.steps");
    expect(wrong[1]).toContain("did you mean &quot;sparsity&quot;?");
    expect(page).not.toContain("<b>bold");
    expect(keptText(page)).toBe(BROKEN);
    expect(sweepCount(db)).toBe(0);
  });

  it("is refused by the confirmation too", async () => {
    const { app, db } = openApp();
    const response = await app.request("/sweeps", form({ text: BROKEN }));
    expect(response.status).toBe(422);
    expect(keptText(await response.text())).toBe(BROKEN);
    expect(sweepCount(db)).toBe(0);
  });

  it("that no line is to blame for keeps its text as well", async () => {
    const { app } = openApp();
    const text = gridText().replace("corpus: moby-dick", "file: not-there.txt");
    const response = await app.request("/submit", form({ text }));
    expect(response.status).toBe(422);
    const page = await response.text();
    expect(page).toContain("not-there.txt");
    expect(keptText(page)).toBe(text);
  });

  it("with thousands of them shows a hundred, and says how many more there are", async () => {
    const { app } = openApp();
    const response = await app.request("/submit", form({ text: HOSTILE_SWEEPS["20,000 unknown keys"] }));
    expect(response.status).toBe(422);
    const page = await response.text();
    expect(page).toContain("<h1>20000 mistakes</h1>");
    expect(page.match(/data-goto/g)).toHaveLength(100);
    expect(page).toContain("and 19,900 more mistakes");
  });

  it("that is made to hang is answered, and others are meanwhile", async () => {
    const { app, db } = openApp();
    let turns = 0;
    const beat = setInterval(() => turns++, 5);
    const hostile = ["four axes of 1,000", "a source of 900,000 curves", "50,000 wrong items"] as const;
    const responses = await Promise.all(
      hostile.flatMap((name) => [
        app.request("/submit", form({ text: HOSTILE_SWEEPS[name] })),
        app.request("/api/sweeps", {
          method: "POST",
          headers: { "content-type": "application/yaml" },
          body: HOSTILE_SWEEPS[name],
        }),
      ]),
    );
    clearInterval(beat);
    expect(responses.map((response) => response.status)).toEqual(responses.map(() => 422));
    // Each reading took a second or so in a process beside this one.
    expect(turns).toBeGreaterThan(50);
    expect(sweepCount(db)).toBe(0);
  });

  it("too large is told so", async () => {
    const { app } = openApp();
    const response = await app.request("/submit", form({ text: `# ${"x".repeat(1 << 20)}` }));
    expect(response.status).toBe(413);
    expect(await response.text()).toContain("at most 1 MB");
  });
});

describe("a sound file", () => {
  it("counts what failed before apart from what would be trained", async () => {
    const { app, db } = openApp();
    await app.request("/sweeps", form({ text: gridText() }));
    sqliteOf(db).prepare("UPDATE runs SET state = 'failed' WHERE ordinal = 1").run();
    sqliteOf(db).prepare("UPDATE runs SET state = 'running' WHERE ordinal = 2").run();
    const page = await (await app.request("/submit", form({ text: gridText() }))).text();
    expect(page).toMatch(
      /<dt>to train<\/dt><dd><strong>2<\/strong>.*none is done already; 1 failed: requeue/,
    );
    expect(page).toContain("Queue 2 runs");
  });

  it("that is a search, for a GPU, or a script's own, is planned as that", async () => {
    const { app } = openApp();
    const planOf = async (text: string) => (await app.request("/submit", form({ text }))).text();
    const search = await planOf(`search: { until: decided }\n${gridText({ sparsity: "[0, 0.5]" })}`);
    expect(search).toMatch(/<strong>grid<\/strong> is a search: 2 curves, in place of a grid of\s\d+ runs/);
    expect(search).toContain("Start the search</button>");
    expect(search).not.toContain("every run has its result");
    expect(await planOf(`device: cuda\n${gridText()}`)).toContain("of one GPU’s time, for all 3");
    const own = await planOf(readFileSync(join(packageRoot(), "examples/mlp/sweep.yaml"), "utf8"));
    expect(own).toContain("a script’s own model: musweep cannot count it");
    expect(own).not.toContain("nothing</strong>");
  });

  it("is planned with what is odd about it", async () => {
    const { app } = openApp();
    const text = gridText({ name: "mine" }).replace(/learning_rate: .*/, "learning_rate: [0.25, 0.2500001]");
    const page = await (await app.request("/submit", form({ text }))).text();
    expect(page).toContain("<h1>Plan of mine</h1>");
    expect(page).toContain("0.2500001 is nearly 0.25 (2^-2)");
  });

  it("is planned, then queued when confirmed, and leads to its page", async () => {
    const { app, db } = openApp();
    // Something trains: this machine's speed is not measured now.
    await app.request("/sweeps", form({ text: gridText({ name: "busy" }) }));
    sqliteOf(db).prepare("UPDATE runs SET state = 'running'").run();
    // SμPar and μP are one training at sparsity 0.
    const text = gridText({
      name: "mine",
      parameterization: "[mup, supar]",
      sparsity: "[0, 0.5]",
      seeds: "[2]",
    });
    const planned = await app.request("/submit", form({ text }));
    expect(planned.status).toBe(200);
    const page = await planned.text();
    expect(page).toMatch(/<dt>unique runs<\/dt><dd><strong>9<\/strong>/);
    expect(page).toContain("of 12 grid points; 3 mean the same training as another");
    expect(page).toMatch(/<dt>to wait<\/dt><dd><strong>not measured<\/strong>/);
    expect(sweepCount(db)).toBe(1);
    const confirmed = await app.request("/sweeps", form({ text: keptText(page) }));
    expect([confirmed.status, confirmed.headers.get("location")]).toEqual([303, "/sweeps/mine"]);
    expect(sqliteOf(db).prepare("SELECT file FROM sweeps WHERE name = 'mine'").get()).toEqual({ file: text });
    expect((await app.request("/sweeps/mine")).status).toBe(200);

    const again = await (await app.request("/submit?sweep=mine")).text();
    expect(keptText(again)).toBe(text);
    const back = await app.request("/submit/edit", form({ text }));
    expect(keptText(await back.text())).toBe(text);
  });

  it("comes as an uploaded file as well", async () => {
    const { app } = openApp();
    const body = new FormData();
    body.set("text", "");
    body.set("upload", new File([BROKEN], "from-disk.yaml"));
    const response = await app.request("/submit", {
      method: "POST",
      body,
      headers: { origin: "http://localhost" },
    });
    expect(response.status).toBe(422);
    const page = await response.text();
    expect(page).toContain("from-disk.yaml:4:20");
    expect(keptText(page)).toBe(BROKEN);
  });
});
