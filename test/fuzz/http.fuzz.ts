/**
 * Requests that nobody would make, as bytes on a socket, to every route of a real dashboard: each is answered or the connection
 * ended, none with a bug, none with what only the log should say. `npm run test:fuzz` makes 10,000 of them.
 */
import fc from "fast-check";
import { beforeAll, expect, it, onTestFinished } from "vitest";
import { openApp } from "../orchestrator/dashboard/start-app.ts";
import { Connection, type Running, startDashboard } from "../support/dashboard.ts";
import { gridText, sqliteOf, submitText, train } from "../support/database.ts";
import { framing, known, ROUTES, request, type Sent, visitor } from "./http-requests.ts";
import { FUZZ } from "./runs.ts";

const LIMITS = { headersMs: 400, requestMs: 800, stallMs: 1000, connections: 200 };
/** At a time: a request that announces more than it sends is waited for. */
const LANES = 4;
/** Longer than any limit of the server: sweep files take turns, two at once, each for up to 20 s (read-aside.ts). */
const HANGS_MS = 60_000;

let running: Running;
let cookie: string;
beforeAll(async () => {
  running = await startDashboard({ limits: LIMITS }, (close) => closers.push(close));
  const { db } = running.service;
  submitText(db, gridText());
  const [run] = sqliteOf(db).prepare<[], string>("SELECT id FROM runs").pluck().all();
  known.run = run!;
  train(db, run!, 2);
  const { headers } = await fetch(running.dashboard.link("/"), { redirect: "manual" });
  cookie = headers.get("set-cookie")!.split(";")[0]!;
  // While something trains, this machine's speed is not measured: that would take seconds.
  sqliteOf(db).prepare("UPDATE runs SET state = 'running' WHERE id <> ?").run(run);
  return async () => {
    for (const close of closers.reverse()) await close();
  };
});
const closers: (() => Promise<void>)[] = [];

it("every route is asked", () => {
  const { app } = openApp();
  const paths = app.routes
    .filter(({ method, path }) => method !== "ALL" && !path.startsWith("/queues"))
    .map(({ path }) => path.replace(/:\w+/g, "X"));
  expect(new Set(paths)).toContain("/sweeps/X/note");
  expect([...new Set(paths)].filter((path) => !ROUTES.includes(path))).toEqual(["/sweeps/X/delete"]);
});

function bytesOf(request: Sent, visitor: string, framing: string): Buffer {
  const { method, path, query, headers } = request;
  const { type, bytes: body } = request.body;
  const own: Record<string, [string, string][]> = {
    stranger: [],
    script: [["authorization", `Bearer ${running.token}`]],
    page: [
      ["cookie", cookie],
      ["origin", "http://127.0.0.1"],
      ["accept", "text/html"],
    ],
  };
  const hex = body.length.toString(16);
  const [length, sent] = {
    honest: [[["content-length", String(body.length)]], [body]],
    chunked: [
      [["transfer-encoding", "chunked"]],
      body.length === 0 ? ["0\r\n\r\n"] : [`${hex}\r\n`, body, "\r\n0\r\n\r\n"],
    ],
    short: [[["content-length", "3"]], [body]],
    long: [[["content-length", String(body.length + 50)]], [body]],
    both: [
      [
        ["content-length", "3"],
        ["transfer-encoding", "chunked"],
      ],
      [`${hex}\r\n`, body, "\r\n0\r\n\r\n"],
    ],
    "broken-chunk": [[["transfer-encoding", "chunked, chunked"]], ["zz\r\n", body]],
  }[framing] as [[string, string][], (string | Uint8Array)[]];
  // What comes first is what counts, where a header may be there once.
  const all = [
    ["host", "127.0.0.1"],
    ["connection", "close"],
    ...own[visitor]!,
    ["content-type", type],
    ...headers,
    ...length,
  ];
  const head = `${method} ${path}${query === "" ? "" : `?${query}`} HTTP/1.1\r\n${all.map(([name, value]) => `${name}: ${value}`).join("\r\n")}\r\n\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), ...sent.map((part) => Buffer.from(part as Uint8Array))]);
}

/** The answer, or its beginning where it never ends. */
async function exchange(bytes: Buffer): Promise<{ status: number | null; text: string }> {
  const connection = new Connection(running.port, bytes);
  const { socket } = connection;
  socket.on("data", () => {
    if (/^content-type: text\/event-stream\r\n[\s\S]*\r\n\r\n/im.test(connection.received.slice(0, 20_000)))
      socket.destroy();
  });
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("no answer, and no end")), HANGS_MS);
  });
  try {
    return await Promise.race([connection.closed, late]);
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

const INSIDE = /\n {4}at |node_modules|\.ts:\d|SqliteError|ReplyError/;

it(
  `${FUZZ.numRuns} odd requests are answered, none by a bug`,
  async () => {
    const seen = new Map<number | null, number>();
    onTestFinished(() => console.log("answers by status:", JSON.stringify([...seen].sort())));
    const answered = fc.asyncProperty(request, visitor, framing, async (sent, visitor, framing) => {
      const { status, text } = await exchange(bytesOf(sent, visitor, framing));
      seen.set(status, (seen.get(status) ?? 0) + 1);
      expect(status).not.toBeOneOf([500, 502, 504]);
      expect(text).not.toMatch(INSIDE);
      expect(running.logged.filter(({ level }) => Number(level) >= 50)).toEqual([]);
    });
    const numRuns = Math.ceil(FUZZ.numRuns / LANES);
    const lanes = Array.from({ length: LANES }, (_, lane) => ({ ...FUZZ, numRuns, seed: FUZZ.seed + lane }));
    await Promise.all(lanes.map((lane) => fc.assert(answered, lane)));
    expect((await fetch(`${running.dashboard.url}/healthz`)).status).toBe(200);
  },
  FUZZ.timeout,
);
