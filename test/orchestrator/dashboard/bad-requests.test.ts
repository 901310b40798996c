/** Requests that are no good: garbled forms, odd questions to the queues, and what a bug tells whoever asked. */
import { describe, expect, it } from "vitest";
import { browser, openApp, startApp } from "./start-app.ts";

const own = { origin: "http://localhost" };
const OPEN = '--b\r\ncontent-disposition: form-data; name="query"\r\n\r\nSELECT 1';

describe("a form that is garbled", () => {
  it.each([
    ["cut short", "multipart/form-data; boundary=b", OPEN],
    ["without its boundary", "multipart/form-data", `${OPEN}\r\n--b--`],
    ["with another boundary", "multipart/form-data; boundary=c", `${OPEN}\r\n--b--`],
    ["without a name", "multipart/form-data; boundary=b", "--b\r\n\r\nx\r\n--b--"],
    ["of nothing at all", "multipart/form-data; boundary=b", "\0\0\0"],
  ])("%s, is a 400 with a line in the log, to people and to programs", async (_, type, body) => {
    for (const path of ["/sql", "/sql/csv", "/submit", "/submit/edit", "/sweeps"]) {
      const { app, logged } = openApp();
      const init = { method: "POST", body, headers: { ...own, "content-type": type } };
      const response = await app.request(path, init);
      expect([path, response.status]).toEqual([path, 400]);
      expect(await response.json()).toMatchObject({ message: "The form that was sent cannot be read." });
      expect(logged).toMatchObject([{ level: 30, method: "POST", path, status: 400 }]);
      const page = await app.request(path, { ...init, headers: { ...init.headers, ...browser } });
      expect([page.status, await page.text()]).toEqual([400, expect.stringContaining("cannot be read.</p>")]);
    }
  });
});

describe("too much", () => {
  it("is refused as a page to people, whatever the form", async () => {
    for (const path of ["/sql", "/sql/csv", "/submit", "/submit/edit", "/sweeps"]) {
      const { app } = openApp();
      const body = new URLSearchParams({ query: "x".repeat(2 << 20) });
      const response = await app.request(path, { method: "POST", body, headers: { ...own, ...browser } });
      expect([path, response.status]).toEqual([path, 413]);
      expect(await response.text()).toContain("at most 1 MB");
    }
  });
});

describe("the queues, asked oddly", () => {
  it.each([
    "page=-1",
    "page=1e300",
    "page=99999999999999999999",
    "page=one",
    "page=0",
    "jobsPerPage=1000000000",
    "jobsPerPage=0",
    "jobsPerPage=-5",
    "jobsPerPage=NaN",
    "status=everything",
    "activeQueue=%25E0%25A4%25A",
  ])("?%s: a 400 with a line in the log", async (query) => {
    const { app, logged } = await startApp();
    const response = await app.request(`/queues/api/queues?activeQueue=musweep-for-musweep&${query}`);
    const usual = await app.request(`/queues/api/queues?${query}`);
    expect([response.status, usual.status]).toContain(400);
    expect(logged.map(({ level, status }) => [level, status])).toContainEqual([30, 400]);
    expect(logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  it("by paths that are none are told so", async () => {
    const { app, logged } = await startApp();
    for (const path of [
      "/%E0%A4%A",
      "/%00",
      "/..%2f..%2fetc",
      "/musweep-for-musweep/%25E0%25A4/logs",
      "/musweep-for-musweep/x/flow?depth=1e9",
    ]) {
      const response = await app.request(`/queues/api/queues${path}`);
      expect([path, response.status]).toEqual([path, expect.toSatisfy((s: number) => s < 500)]);
    }
    expect(logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });
});

describe("a bug", () => {
  it("is a 500 that says nothing of it, and a line in the log that does", async () => {
    const { app, db, logged } = openApp();
    db.close();
    for (const headers of [browser, {}]) {
      const response = await app.request("/", { headers });
      expect(response.status).toBe(500);
      const text = await response.text();
      expect(text).toContain("This is a bug in musweep.");
      expect(text).not.toMatch(/database connection|\.ts|node_modules| at /);
    }
    expect(logged).toMatchObject(
      Array(2).fill({ level: 50, method: "GET", path: "/", err: { stack: expect.stringContaining(".ts") } }),
    );
  });
});
