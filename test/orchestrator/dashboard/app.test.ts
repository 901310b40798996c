/** The dashboard without a socket: what a mistake answers, what is compressed, that the queues cannot be written. */
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { gridText, sqliteOf, submitText } from "../../support/database.ts";
import { browser, openApp, startApp } from "./start-app.ts";

const yaml = { "content-type": "application/yaml" };

describe("a submission", () => {
  it("with mistakes is refused with each one's place, and stores nothing", async () => {
    const { app, db } = await startApp();
    const body = gridText({ sparsity: "[1.5]" }).replace("steps: 20", "steps: twenty");
    const response = await app.request("/api/sweeps", { method: "POST", body, headers: yaml });
    expect(response.status).toBe(422);
    const { message } = (await response.json()) as { message: string };
    // training is on line 4, sparsity on line 8 of the text.
    expect(message).toMatch(/:4:\d+: /);
    expect(message).toMatch(/:8:\d+: /);
    expect(sqliteOf(db).prepare("SELECT count(*) AS n FROM sweeps").get()).toEqual({ n: 0 });
  });

  it("as a web page's form could send it is refused", async () => {
    const { app } = await startApp();
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
      const headers = { "content-type": type };
      const response = await app.request("/api/sweeps", { method: "POST", body: gridText(), headers });
      expect(response.status).toBe(415);
    }
  });

  it("larger than any sweep file is refused", async () => {
    const { app } = await startApp();
    const body = `# ${"x".repeat(2 << 20)}\n${gridText()}`;
    expect((await app.request("/api/sweeps", { method: "POST", body, headers: yaml })).status).toBe(413);
  });
});

describe("a sweep that does not exist", () => {
  it("is a 404 that names the nearest one", async () => {
    const { app, db } = await startApp();
    submitText(db, gridText({ name: "quickstart" }));
    for (const path of ["/api/sweeps/quickstat", "/api/sweeps/quickstat/report"]) {
      const response = await app.request(path);
      expect(response.status).toBe(404);
      expect(await response.json()).toMatchObject({
        code: "unknown-sweep",
        remedy: 'Did you mean "quickstart"?',
      });
    }
  });
});

describe("to a browser that takes gzip", () => {
  const gzip = { ...browser, "accept-encoding": "gzip, deflate, br" };

  it.each(["/sql", "/no-such-page", "/metrics"])("%s is compressed, and otherwise the same", async (path) => {
    const { app } = openApp();
    const [plain, packed] = [
      await app.request(path, { headers: browser }),
      await app.request(path, { headers: gzip }),
    ];
    expect(packed.status).toBe(plain.status);
    const { "content-encoding": encoding, ...headers } = Object.fromEntries(packed.headers);
    expect(encoding).toBe("gzip");
    expect(headers).toEqual(Object.fromEntries(plain.headers));
    expect(headers).toMatchObject({ vary: "Accept-Encoding", "content-security-policy": expect.any(String) });
    const [text, bytes] = [await plain.text(), Buffer.from(await packed.arrayBuffer())];
    expect(bytes.length).toBeLessThan(text.length);
    const unpacked = gunzipSync(bytes).toString("utf8");
    // This process's own metrics change from one scrape to the next.
    if (path === "/metrics") expect(unpacked).toContain("musweep_redis_up 0");
    else expect(unpacked).toBe(text);
  });

  it("asking for the head alone gets the headers of the page as it is", async () => {
    const { app } = openApp();
    const head = await app.request("/sql", { method: "HEAD", headers: gzip });
    expect([head.status, head.headers.get("content-encoding"), await head.text()]).toEqual([200, null, ""]);
  });

  it("a stream of events is not compressed, and says at once how things are", async () => {
    const { app, db } = openApp();
    submitText(db, gridText());
    const response = await app.request("/sweeps/grid/live", { headers: gzip });
    expect(response.headers.get("content-type")).toBe("text/event-stream");
    expect(response.headers.get("content-encoding")).toBeNull();
    const reader = response.body!.getReader();
    const { value } = await reader.read();
    expect(Buffer.from(value!).toString("utf8")).toMatch(/^event: fragment\ndata: \{"id":/);
    await reader.cancel();
  });
});

describe("/queues", () => {
  it("leads from each job to its run's page, and from what is no job of ours nowhere else", async () => {
    const { app, db, dispatcher, queue } = await startApp();
    submitText(db, gridText({ rates: "[0.01]" }));
    await dispatcher.tick();
    await queue.add("stranger", { run: "<b>", command: "rm" } as never);
    const answer = await app.request(
      "/queues/api/queues?activeQueue=musweep-for-musweep&page=1&jobsPerPage=10",
    );
    const { queues } = (await answer.json()) as { queues: { jobs: { externalUrl: { href: string } }[] }[] };
    const run = sqliteOf(db).prepare("SELECT id FROM runs").pluck().get() as string;
    expect(queues[0]!.jobs.map((job) => job.externalUrl.href).sort()).toEqual(["/", `/runs/${run}`]);
  });

  it("changes nothing, whatever it is asked", async () => {
    const { app, db, dispatcher, queue } = await startApp();
    submitText(db, gridText());
    await dispatcher.tick();
    const [job] = await queue.getJobs(["waiting"]);
    const base = "/queues/api/queues/musweep-for-musweep";
    for (const path of ["/pause", "/empty", "/obliterate", `/${job!.id}/clean`, "/clean/wait", "/promote"])
      expect([path, (await app.request(`${base}${path}`, { method: "PUT" })).ok]).toEqual([path, false]);
    expect(await queue.getWaitingCount()).toBe(3);
    expect(await queue.isPaused()).toBe(false);
  });
});
