/** The pages of runs, asked without a socket: what they say of attempts, of what differs, of what is not there. */
import { describe, expect, it } from "vitest";
import type { Database } from "../../../orchestrator/database/open.ts";
import { Attempt, applyAll, cellsOf, gridText, submitText } from "../../support/database.ts";
import { browser, openApp } from "./start-app.ts";

const text = async (app: ReturnType<typeof openApp>["app"], path: string, status = 200): Promise<string> => {
  const response = await app.request(path, { headers: browser });
  expect([path, response.status]).toEqual([path, status]);
  return response.text();
};

/** Runs of one learning rate each, from 2^-8 up. */
function submitted(db: Database, grid: Parameters<typeof gridText>[0] = {}): string[] {
  submitText(db, gridText(grid));
  return cellsOf(gridText(grid)).map((cell) => cell.run);
}

describe("a run's page", () => {
  it("shows every attempt with its end, what the trainer said, and where the next one went on", async () => {
    const { app, db } = openApp();
    const [run] = submitted(db);
    const [first, second] = [new Attempt(run!, 1001), new Attempt(run!, 1002)];
    applyAll(db, [
      first.claimed(),
      first.started(),
      first.metrics(5, 4),
      first.failed(false, "<b>no luck</b>"),
    ]);
    applyAll(db, [second.claimed(), second.started(5), second.checkpoint(10), second.metrics(20, 3, 3.25)]);
    const page = await text(app, `/runs/${run}`);
    for (const shown of [
      "SμPar d64 L1 s0 lr 2^-8 seed 1",
      "running",
      "step 20 of 20",
      "&lt;b&gt;no luck&lt;/b&gt;",
      "trainer-exited",
      "End of the log of attempt 1",
      "attempt 2 went on after step 5",
      `/checkpoints/${run}/10`,
      "musweep-cpu 1.0, cpu",
      "in the sweep file&#39;s grid",
      "attention_query",
      "0123456789abcdef",
    ])
      expect(page).toContain(shown);
    expect(page).not.toContain("<b>no luck");
  });

  it("has the curves of a script's own numbers to choose from, alone and beside other runs'", async () => {
    const { app, db } = openApp();
    const runs = submitted(db, { rates: "[0.01, 0.02]" });
    for (const [i, run] of runs.entries()) {
      const attempt = new Attempt(run, 1001);
      applyAll(db, [
        attempt.claimed(),
        attempt.started(),
        attempt.metrics(5, 4, null, { accuracy: 0.25 + i / 8 }),
        attempt.metrics(20, 3, null, { accuracy: 0.5 }),
        attempt.metrics(20, null, 3.5, { "f1/macro": 0.125 }),
      ]);
    }
    const page = await text(app, `/runs/${runs[0]}`);
    expect(page).toContain('<option value="accuracy">accuracy</option>');
    expect(page).toMatch(/>f1\/macro<\/th>/);
    expect(page).toMatch(/3\.5000.*0\.5.*0\.125/s);
    const chosen = await text(app, `/runs/${runs[0]}?metric=accuracy`);
    expect(chosen).toContain('<option value="accuracy" selected>accuracy</option>');
    expect(chosen).toContain("accuracy against step of 1 run");
    expect(chosen).toContain("live?metric=accuracy");
    const compared = await text(app, `/compare?run=${runs[0]}&run=${runs[1]}&metric=accuracy`);
    expect(compared).toContain("accuracy against step of 2 runs");
    expect(compared).toContain("accuracy by step");
    expect(compared).toContain("0.375");
    for (const name of ["none", "constructor", "__proto__"])
      expect(await text(app, `/runs/${runs[0]}?metric=${name}`)).toContain("Nothing to draw yet");
    expect(await text(app, `/runs/${runs[0]}?metric=%3Cb%3E`)).toContain("Loss against step of 1 run");
  });

  it("before its first attempt says who will take it", async () => {
    const { app, db } = openApp();
    const [run] = submitted(db);
    const page = await text(app, `/runs/${run}`);
    expect(page).toContain("Nothing to draw yet");
    expect(page).toContain("No attempt yet");
  });

  it("offers the runs that differ from it in one thing, itself among them", async () => {
    const { app, db } = openApp();
    const runs = submitted(db, { rates: "[0.01, 0.02, 0.04]", seeds: "[1, 2]" });
    const page = await text(app, `/runs/${runs[0]}`);
    const offered = [...page.matchAll(/href="(\/compare\?[^"]+)"/g)].map(([, href]) =>
      href!.match(/r[0-9a-f]{20}/g),
    );
    expect(offered.map((ids) => ids!.length)).toEqual([3, 2]);
    for (const ids of offered) expect(ids).toContain(runs[0]);
  });

  it("of a run that is not there is a 404 that says so", async () => {
    const { app } = openApp();
    expect(await text(app, "/runs/%3Cscript%3E", 404)).toContain(
      "there is no run &quot;&lt;script&gt;&quot;",
    );
  });

  it("stays when no sweep asks for it any more", async () => {
    const { app, db } = openApp();
    const [run] = submitted(db, { rates: "[0.01, 0.02]" });
    submitText(db, gridText({ rates: "[0.02]" }));
    expect(await text(app, `/runs/${run}`)).toContain("No sweep asks for this run any more");
  });
});

describe("the comparison", () => {
  it("names what the runs have in common once, and what differs by number", async () => {
    const { app, db } = openApp();
    const runs = submitted(db, { rates: "[0.0078125, 0.015625]" });
    for (const [i, run] of runs.entries()) {
      const attempt = new Attempt(run, 1001);
      applyAll(db, [
        attempt.claimed(),
        attempt.started(),
        attempt.metrics(1, 5 - i),
        attempt.finished(3 - i),
      ]);
    }
    const page = await text(app, `/compare?run=${runs[0]}&run=${runs[1]}`);
    expect(page).toContain("All of them: SμPar d64 L1 s0 seed 1");
    expect(page).toContain(">lr 2^-7</a>");
    expect(page).toContain("<code>learning_rate</code>");
    expect(page).toContain("0.007813");
    expect(page).not.toContain("<code>density</code>");
    expect(page).toContain(`<a href="/compare?run=${runs[1]}" aria-label="Remove lr 2^-7`);
  });

  it("of nothing, of strangers, and of too many says what to do", async () => {
    const { app, db } = openApp();
    expect(await text(app, "/compare")).toContain("No runs to compare yet");
    expect(await text(app, "/compare?run=%3Cscript%3E")).toContain("There is no run “&lt;script&gt;”");
    const runs = submitted(db, { rates: "{ log2: { from: -16, to: -3 } }" });
    const page = await text(app, `/compare?${runs.map((run) => `run=${run}`).join("&")}`);
    expect(page).toContain("the last 2 are left out");
  });
});

describe("the SQL console", () => {
  it("shows every documented column, and only fills in what a link asks for", async () => {
    const { app } = openApp();
    const page = await text(app, "/sql?query=SELECT+%27%3C%2Ftextarea%3E%27");
    expect(page).toContain("SELECT &#39;&lt;/textarea&gt;&#39;</textarea>");
    expect(page).not.toContain('id="answer"');
    for (const column of ["nonzero_parameters", "sd_loss", "log2_lr_low_90", "reason"])
      expect(page).toContain(`<code>${column}</code>`);
  });
});
