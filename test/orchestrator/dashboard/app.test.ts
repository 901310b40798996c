/** The dashboard without a socket: what a mistake answers, what is compressed, that the queues cannot be written. */
import { readdirSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { figureStylePaths } from "../../../orchestrator/dashboard/assets.ts";
import { gridText, sqliteOf, submitText } from "../../support/database.ts";
import { onLinux } from "../../support/tested-where.ts";
import { writeData } from "../../workers/trainers/support.ts";
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

  it("asking for the head alone of what is streamed leaves no stream behind", async () => {
    const { app, db } = openApp();
    submitText(db, gridText());
    const head = (path: string) => app.request(path, { method: "HEAD" });
    const followed = await Promise.all(Array.from({ length: 120 }, () => head("/sweeps/grid/live")));
    expect(new Set(followed.map(({ status }) => status))).toEqual(new Set([200]));
    expect(followed[0]!.headers.get("content-type")).toBe("text/event-stream");
  });

  it.runIf(onLinux("files left open by HEAD"))(
    "asking for the head of a data file leaves it closed",
    async () => {
      const { app, state } = openApp();
      const hash = writeData(state.data);
      const file = join(state.data, hash, "train.bin");
      const { status, headers } = await app.request(`/api/data/${hash}/train.bin`, { method: "HEAD" });
      expect([status, headers.get("content-length")]).toEqual([200, String(statSync(file).size)]);
      const open = readdirSync("/proc/self/fd").map((fd) => {
        try {
          return readlinkSync(`/proc/self/fd/${fd}`);
        } catch {
          return "";
        }
      });
      expect(open).not.toContain(file);
    },
  );

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

describe("the style of figures", () => {
  const sheet = (app: ReturnType<typeof openApp>["app"], counts: readonly number[]) =>
    app.request(`/assets/x/figures.css?series=${counts.join("-")}`);

  it("is made for so many numbers at once as a page asks for, since anybody may ask", async () => {
    const { app } = openApp("secret");
    const counts = Array.from({ length: 40 }, (_, i) => i + 1);
    for (const some of [[], [0], [65], [1.5], counts.slice(0, 17), new Array(17).fill(1)])
      expect([some, (await sheet(app, some)).status]).toEqual([some, 404]);
    // What a page may need is asked for in parts.
    const paths = figureStylePaths(counts);
    const texts = await Promise.all(paths.map(async (path) => (await app.request(path)).text()));
    for (const n of counts) expect(texts.join("")).toContain(`.s${n}-${n - 1} `);
    expect(await (await app.request(paths[0]!)).text()).toBe(texts[0]);
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

  it("names no other server", async () => {
    const { app } = await startApp();
    const answer = await app.request("/queues");
    expect(answer.headers.get("content-type")).toMatch(/^text\/html/);
    const page = await answer.text();
    expect(page).toContain("</html>");
    expect(page).not.toMatch(/https?:\/\//);
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
