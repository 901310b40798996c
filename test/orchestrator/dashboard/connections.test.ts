/** The dashboard's server on a socket: what clients do that send half of something, take nothing, or come in crowds. */
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it, onTestFinished } from "vitest";
import { Connection, type Running, startDashboard } from "../../support/dashboard.ts";
import { gridText, submitText } from "../../support/database.ts";
import { until } from "../../support/scratch.ts";

const LIMITS = { headersMs: 400, requestMs: 800, stallMs: 1000, connections: 20 };

const head = (request: string, ...headers: string[]): string =>
  `${[request, "host: 127.0.0.1", ...headers].join("\r\n")}\r\n\r\n`;
const bearer = ({ token }: Running): string => `authorization: Bearer ${token}`;

/** Processes of this one that run a query. */
const queries = (): number =>
  execFileSync("ps", ["-A", "-o", "ppid=,command="], { encoding: "utf8" })
    .split("\n")
    .filter((line) => Number.parseInt(line, 10) === process.pid && line.includes("query-program")).length;

describe("a connection", () => {
  it("that sends nothing, half its headers or half a body is ended", async () => {
    const { port } = await startDashboard({ limits: LIMITS });
    for (const bytes of [
      "",
      "GET / HT",
      "GET / HTTP/1.1\r\nhost: 127.0.0.1\r\nx-slow: ",
      head("POST /login HTTP/1.1", "content-type: application/x-www-form-urlencoded", "content-length: 100") +
        "tok",
      `${head("POST /login HTTP/1.1", "content-type: text/plain", "transfer-encoding: chunked")}5\r\ntok`,
    ]) {
      const { status } = await new Connection(port, bytes).closed;
      expect([bytes, status]).toEqual([bytes, status === null ? null : expect.toBeOneOf([403, 408])]);
    }
  });

  it("that says it has one length and has another is answered or ended, and harms no other", async () => {
    const running = await startDashboard({ limits: LIMITS });
    const both = head(
      "POST /login HTTP/1.1",
      "content-type: application/x-www-form-urlencoded",
      "content-length: 5",
      "transfer-encoding: chunked",
    );
    expect((await new Connection(running.port, `${both}0\r\n\r\n`).closed).status).toBe(400);
    // What is left over is another request, and none that anybody would make.
    const short = head(
      "POST /login HTTP/1.1",
      "origin: http://127.0.0.1",
      "content-type: application/x-www-form-urlencoded",
      "content-length: 5",
    );
    const { text } = await new Connection(running.port, `${short}token=guessed-by-length`).closed;
    expect(text).toContain("HTTP/1.1 4");
    expect((await fetch(`${running.dashboard.url}/healthz`)).status).toBe(200);
  });

  it("that takes nothing of its answer is ended, and what was at work for it too", async () => {
    const running = await startDashboard({ limits: LIMITS });
    const query =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i, printf('%.1000c', 'x') FROM n";
    const body = new URLSearchParams({ query }).toString();
    const connection = new Connection(running.port);
    connection.socket.pause();
    connection.socket.write(
      head(
        "POST /sql/csv HTTP/1.1",
        bearer(running),
        "origin: http://127.0.0.1",
        "content-type: application/x-www-form-urlencoded",
        `content-length: ${body.length}`,
      ) + body,
    );
    await until(() => expect(queries()).toBe(1));
    await until(() => expect(queries()).toBe(0));
    connection.socket.destroy();
    expect(running.logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
  });

  it("that takes its answer until the query fails is broken off: no half is taken for the whole", async () => {
    const running = await startDashboard();
    const query =
      "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000) SELECT i, abs(-9223372036854775807 - (i > 4000)) FROM n";
    const response = await fetch(`${running.dashboard.url}/sql/csv`, {
      method: "POST",
      body: new URLSearchParams({ query }),
      headers: { authorization: `Bearer ${running.token}`, origin: running.dashboard.url },
    });
    expect(response.status).toBe(200);
    await expect(response.text()).rejects.toThrow();
    expect(running.logged.map(({ msg }) => msg)).toContain("a download of query results was broken off");
  });

  it("beyond as many as there may be is refused, and those that are there are served", async () => {
    const { port, dashboard } = await startDashboard({
      limits: { ...LIMITS, headersMs: 60_000, requestMs: 60_000, connections: 3 },
    });
    const idle = Array.from({ length: 3 }, () => new Connection(port));
    await Promise.all(idle.map(({ socket }) => once(socket, "connect")));
    expect(await new Connection(port, head("GET /healthz HTTP/1.1")).closed).toEqual({
      status: null,
      text: "",
    });
    idle[0]!.socket.write(head("GET /healthz HTTP/1.1", "connection: close"));
    expect((await idle[0]!.closed).status).toBe(200);
    expect((await fetch(`${dashboard.url}/healthz`)).status).toBe(200);
    for (const { socket } of idle) socket.destroy();
  });
});

describe("live pages", () => {
  it("are followed by a hundred at once; the next is told so, and comes in when one has left", async () => {
    const running = await startDashboard();
    submitText(running.service.db, gridText());
    const follow = async () => {
      const leave = new AbortController();
      onTestFinished(() => leave.abort());
      const headers = { authorization: `Bearer ${running.token}` };
      const response = await fetch(`${running.dashboard.url}/sweeps/grid/live`, {
        headers,
        signal: leave.signal,
      });
      return { response, leave };
    };
    const first = await follow();
    const others = await Promise.all(Array.from({ length: 99 }, follow));
    expect([first, ...others].map(({ response }) => response.status)).toEqual(Array(100).fill(200));
    const { response } = await follow();
    expect([response.status, await response.json()]).toEqual([
      503,
      expect.objectContaining({ code: "too-many-streams" }),
    ]);
    first.leave.abort();
    await until(async () => expect((await follow()).response.status).toBe(200));
  });
});

it("closing breaks off whatever is open: half requests, streams, queries", async () => {
  const running = await startDashboard();
  const headers = { authorization: `Bearer ${running.token}`, origin: running.dashboard.url };
  const half = new Connection(running.port, "POST /login HTTP/1.1\r\nhost: x\r\n");
  const stream = await fetch(`${running.dashboard.url}/workers/live`, { headers });
  const endless = fetch(`${running.dashboard.url}/sql`, {
    method: "POST",
    body: new URLSearchParams({
      query: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n",
    }),
    headers,
  }).catch((error: Error) => error);
  expect(stream.status).toBe(200);
  await running.dashboard.close();
  await half.closed;
  await expect(stream.text()).rejects.toThrow();
  expect(await endless).toBeInstanceOf(Error);
  // Nothing of that is a bug.
  expect(running.logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
});
