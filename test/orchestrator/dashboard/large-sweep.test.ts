/** A sweep of more curves than a page shows: the page stays small, and everything can still be had. */
import { parse } from "csv-parse/sync";
import { expect, it } from "vitest";
import { CURVES_SHOWN } from "../../../orchestrator/dashboard/pages/sweep/answers.ts";
import { submitText } from "../../support/database.ts";
import { browser, openApp } from "./start-app.ts";

const EACH = CURVES_SHOWN - 100;
const TEXT = `name: large
data: { corpus: moby-dick }
model: { width: 64, layers: 1, d_head: 16, sequence_length: 32 }
training: { steps: 20, batch_size: 4 }
base: { width: 32 }
axes:
  parameterization: [mup, sp]
  eps: [${Array.from({ length: EACH }, (_, i) => `${i + 1}e-9`).join(", ")}]
  learning_rate: [0.01, 0.02]
`;

it("shows the first curves of a large sweep, others by its filters, and hands out all of them", async () => {
  const { app, db } = openApp();
  submitText(db, TEXT);
  const ask = async (path: string, headers = {}) => (await app.request(path, { headers })).text();
  const rows = (page: string) =>
    /<table id="optima-table">[\s\S]*?<\/table>/.exec(page)![0].match(/<th scope="row"[^>]*>[^<]*/g)!;

  const first = await ask("/sweeps/large", browser);
  expect(rows(first)).toHaveLength(CURVES_SHOWN);
  expect(first).toContain(`The first ${CURVES_SHOWN} curves of phase`);
  expect(first).toContain(`${2 * EACH - CURVES_SHOWN} more are not`);

  const filtered = rows(await ask("/sweeps/large?parameterization=sp", browser));
  expect(filtered).toHaveLength(EACH);
  expect(filtered.filter((row) => !row.endsWith(">SP"))).toEqual([]);

  expect(JSON.parse(await ask("/api/sweeps/large/report")).rows).toHaveLength(2 * EACH);
  expect(parse(await ask("/sweeps/large/files/curves.csv"))).toHaveLength(1 + 4 * EACH);
  expect(await ask("/sweeps/large/files/sweep.yaml")).toBe(TEXT);
  expect((await app.request("/sweeps/large/files/other.csv")).status).toBe(404);

  const compared = await ask("/compare/sweeps?sweep=large", browser);
  expect(compared).toContain(`of at least ${2 * EACH}`);
});

it("misses no curves of a random search, which has none", async () => {
  const { app, db } = openApp();
  const drawn = `  parameterization: [mup]
  random: { n: ${CURVES_SHOWN + 1}, distributions: { learning_rate: { log_uniform: { from: 0.001, to: 0.1 } }, eps: { log_uniform: { from: 1.0e-9, to: 1.0e-7 } } } }
`;
  submitText(db, TEXT.replace(/ {2}parameterization[\s\S]*/, drawn));
  for (const path of ["/sweeps/large", "/compare/sweeps?sweep=large"]) {
    const text = await (await app.request(path, { headers: browser })).text();
    expect([path, text]).toEqual([path, expect.not.stringContaining("The first 0 curves")]);
  }
});
