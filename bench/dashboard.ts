/**
 * The dashboard at the size it is built for, `npm run bench:dashboard`: 50 sweeps, 100,000 runs, 10 million points of training
 * curves, a real server, a real browser with an empty cache. Prints each page's first contentful paint, what it costs the server,
 * its slowest SQL statement and what it transfers, and ends with exit code 1 when a page misses its target. The database is
 * made once and kept in .cache/bench.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { connectionOf } from "../orchestrator/database/connection.ts";
import { openDatabase } from "../orchestrator/database/open.ts";
import { packageRoot } from "../schema/wire/package.ts";
import { openTab, startBrowser } from "../test/support/browser.ts";
import { benchDirectory } from "./dashboard-data.ts";
import { freePort } from "./free-port.ts";

const PAINT_MS = 1000;
const SQL_MS = 200;
/** Of each page; the slowest counts. */
const VISITS = 3;
const TOKEN = "of-this-benchmark-alone-0123456789";
const OWNER = { authorization: `Bearer ${TOKEN}` };

/** As text: what runs in the browser has other types than what runs here. */
const PAINT = `new Promise((resolve) => {
  new PerformanceObserver((list) => {
    const entry = list.getEntriesByName("first-contentful-paint")[0];
    if (entry !== undefined) resolve(entry.startTime);
  }).observe({ type: "paint", buffered: true });
})`;
const BYTES = `[...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
  .reduce((sum, entry) => sum + entry.transferSize, 0)`;

const root = packageRoot();
const say = (text: string): void => void process.stderr.write(`${text}\n`);

interface Visit {
  paint: number;
  bytes: number;
}

interface Result {
  page: string;
  paint_ms: number;
  /** Processor time of the server for one visit: the same on a machine that is busy with other things. */
  cpu_ms: number;
  sql_ms: number;
  sql: string;
  kilobytes: number;
}

const cache = join(root, ".cache", "bench");
mkdirSync(cache, { recursive: true });
const directory = benchDirectory(cache, say);
const trace = join(cache, "sql-trace.jsonl");
const closers: (() => Promise<void>)[] = [];
try {
  const url = await startServer(directory, trace);
  const browser = await startBrowser((close) => closers.push(close));
  const results: Result[] = [];
  for (const [page, path] of pages(directory)) results.push(await measure(browser, page, url, path));
  print(results);
  if (results.some(({ paint_ms, sql_ms }) => paint_ms >= PAINT_MS || sql_ms >= SQL_MS)) process.exitCode = 1;
} finally {
  for (const close of closers.reverse()) await close();
}

function pages(directory: string): [name: string, path: string][] {
  const db = openDatabase(join(directory, "musweep.db"), { readonly: true });
  try {
    const one = (sql: string): string => connectionOf(db).sqlite.prepare<[], string>(sql).pluck().get()!;
    const training = one("SELECT name FROM sweeps ORDER BY submitted_at DESC LIMIT 1");
    const complete = one("SELECT name FROM sweeps ORDER BY submitted_at LIMIT 1");
    const run = one("SELECT id FROM runs WHERE state = 'finished' LIMIT 1");
    const compared = connectionOf(db)
      .sqlite.prepare<[], string>("SELECT id FROM runs WHERE state = 'finished' LIMIT 12")
      .pluck()
      .all();
    const filters = "parameterization=supar&sparsity=0.75&outcome=finished&map=state";
    return [
      ["sweeps", "/"],
      ["a sweep that trains", `/sweeps/${training}`],
      ["a sweep that is complete", `/sweeps/${complete}`],
      ["one curve of it, by state", `/sweeps/${complete}?${filters}`],
      ["submit", "/submit"],
      ["a run", `/runs/${run}`],
      ["12 runs compared", `/compare?${compared.map((id) => `run=${id}`).join("&")}`],
      ["workers", "/workers"],
      ["queues (bull-board)", "/queues"],
      ["SQL", "/sql"],
      ["metrics", "/metrics"],
    ];
  } finally {
    db.close();
  }
}

async function startServer(directory: string, trace: string): Promise<string> {
  const preload = fileURLToPath(new URL("./trace-sql.mjs", import.meta.url));
  const cli = join(root, "dist", "orchestrator", "cli.js");
  const { REDIS_URL: _r, ...env } = process.env;
  writeFileSync(trace, "");
  const port = String(await freePort());
  const child = spawn(
    process.execPath,
    ["--import", preload, cli, "serve", "--dir", directory, "--port", port, "--json"],
    {
      env: { ...env, SQL_TRACE: trace, MUSWEEP_LOG: "warn", MUSWEEP_TOKEN: TOKEN },
      stdio: ["ignore", "pipe", "inherit"],
    },
  );
  const ended = once(child, "close");
  closers.push(async () => {
    child.kill("SIGTERM");
    await ended;
  });
  const died = ended.then(() => Promise.reject(new Error("the server ended before it was there")));
  const [line] = (await Promise.race([once(child.stdout, "data"), died])) as [Buffer];
  return (JSON.parse(String(line)) as { url: string }).url;
}

async function measure(browser: Browser, page: string, url: string, path: string): Promise<Result> {
  writeFileSync(trace, "");
  const visits: Visit[] = [];
  const before = await cpuSeconds(url);
  for (let i = 0; i < VISITS; i++) visits.push(await visit(browser, `${url}${path}`));
  const cpu = (await cpuSeconds(url)) - before;
  const statements = readFileSync(trace, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as { sql: string; ms: number });
  const slowest = statements.reduce((a, b) => (b.ms > a.ms ? b : a), { sql: "", ms: 0 });
  return {
    page,
    paint_ms: Math.max(...visits.map(({ paint }) => paint)),
    cpu_ms: (cpu / VISITS) * 1000,
    sql_ms: slowest.ms,
    sql: slowest.sql.replace(/\s+/g, " ").trim(),
    kilobytes: visits[0]!.bytes / 1000,
  };
}

async function cpuSeconds(url: string): Promise<number> {
  const metrics = await (await fetch(`${url}/metrics`, { headers: OWNER })).text();
  return Number(/^process_cpu_seconds_total (\S+)/m.exec(metrics)?.[1]);
}

/** With a cache of its own, as somebody who has never been here. */
async function visit(browser: Browser, url: string): Promise<Visit> {
  const { page } = await openTab(browser, { extraHTTPHeaders: OWNER });
  try {
    await page.goto(url, { waitUntil: "load" });
    return { paint: await page.evaluate<number>(PAINT), bytes: await page.evaluate<number>(BYTES) };
  } finally {
    await page.context().close();
  }
}

function print(results: readonly Result[]): void {
  console.log("| page | first contentful paint | server's CPU time | slowest SQL statement | transferred |");
  console.log("|---|--:|--:|--:|--:|");
  for (const { page, paint_ms, cpu_ms, sql_ms, kilobytes } of results)
    console.log(
      `| ${page} | ${paint_ms.toFixed(0)} ms | ${cpu_ms.toFixed(0)} ms | ${sql_ms.toFixed(1)} ms | ${kilobytes.toFixed(0)} kB |`,
    );
  for (const { page, paint_ms, sql_ms, sql } of results) {
    if (paint_ms >= PAINT_MS) say(`${page}: first paint after ${paint_ms.toFixed(0)} ms, target ${PAINT_MS}`);
    if (sql_ms >= SQL_MS) say(`${page}: ${sql_ms.toFixed(0)} ms, target ${SQL_MS}: ${sql}`);
  }
}
