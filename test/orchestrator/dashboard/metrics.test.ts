/** /metrics over a real Redis and database, read as Prometheus reads it; and what docs/metrics.md promises of it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { packageRoot } from "../../../schema/wire/package.ts";
import { HEARTBEAT_KEPT_MS, type Heartbeat, WORKERS_KEY, workerKey } from "../../../schema/wire/worker.ts";
import { gridText, sqliteOf, submitText, train } from "../../support/database.ts";
import { openApp, startApp } from "./start-app.ts";

interface Sample {
  name: string;
  labels: Record<string, string>;
  value: number;
}

/** The text format, strictly: what is neither a comment, a help, a type nor a sample of a declared metric throws. */
function parseExposition(text: string): Sample[] {
  const declared = new Set<string>();
  expect(text.endsWith("\n")).toBe(true);
  return text.split("\n").flatMap((line) => {
    if (line === "" || line.startsWith("# HELP ")) return [];
    const type = /^# TYPE (\S+) (?:gauge|counter|histogram|summary|untyped)$/.exec(line);
    if (type !== null) {
      expect(declared.has(type[1]!)).toBe(false);
      declared.add(type[1]!);
      return [];
    }
    const found = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)$/.exec(line);
    if (found === null) throw new Error(`not the text format: ${line}`);
    const [, name, labels = "", value] = found;
    const base = name!.replace(/_(?:bucket|sum|count)$/, "");
    if (!declared.has(name!) && !declared.has(base)) throw new Error(`no type before ${line}`);
    const pairs = [...labels.matchAll(/([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/g)];
    expect(pairs.map(([pair]) => pair).join("")).toBe(labels);
    expect(value).toMatch(/^(?:[+-]?(?:\d+\.?\d*(?:e[+-]?\d+)?|Inf)|NaN)$/i);
    return {
      name: name!,
      labels: Object.fromEntries(pairs.map(([, k, v]) => [k!, v!])),
      value: Number(value),
    };
  });
}

const read = async (app: ReturnType<typeof openApp>["app"]): Promise<Sample[]> => {
  const response = await app.request("/metrics");
  expect([response.status, response.headers.get("content-type")]).toEqual([
    200,
    "text/plain; version=0.0.4; charset=utf-8",
  ]);
  return parseExposition(await response.text());
};

const sample = (samples: Sample[], name: string, labels: Record<string, string> = {}): number | undefined =>
  samples.find((s) => s.name === name && Object.entries(labels).every(([k, v]) => s.labels[k] === v))?.value;

const heartbeat: Heartbeat = {
  worker: 'w"1\\',
  host: "host\nname",
  pid: 7,
  needs: ["musweep"],
  slots: 3,
  engine: "musweep",
  version: "0.1.0",
  started_at: 0,
  running: [
    { run: `r${"1".repeat(20)}`, step: 1, steps: 9, tokens_per_second: 1500 },
    { run: `r${"2".repeat(20)}`, step: 1, steps: 9, tokens_per_second: 500 },
  ],
  unable: [],
};

describe("/metrics", () => {
  it("counts runs, jobs, slots and speed as they are", async () => {
    const { app, db, redis, dispatcher } = await startApp();
    const { runs } = submitText(db, gridText());
    expect(runs).toBe(3);
    train(db, sqliteOf(db).prepare("SELECT id FROM runs LIMIT 1").pluck().get() as string, null);
    await dispatcher.tick();
    for (const [worker, age] of [
      [heartbeat, 0],
      [{ ...heartbeat, worker: "silent" }, 90_000],
    ] as const) {
      await redis.set(workerKey(worker.worker), JSON.stringify(worker), "PX", HEARTBEAT_KEPT_MS - age);
      await redis.sadd(WORKERS_KEY, worker.worker);
    }
    const samples = await read(app);
    const states = samples.filter((s) => s.name === "musweep_runs").map((s) => [s.labels.state, s.value]);
    expect(Object.fromEntries(states)).toEqual({
      pending: 0,
      queued: 2,
      running: 0,
      finished: 0,
      diverged: 1,
      failed: 0,
      cancelled: 0,
    });
    expect(sample(samples, "musweep_queue_jobs", { queue: "musweep-for-musweep", state: "waiting" })).toBe(2);
    const live = { worker: 'w\\"1\\\\', host: "host\\nname" };
    expect(sample(samples, "musweep_worker_slots", live)).toBe(3);
    expect(sample(samples, "musweep_worker_slots_busy", live)).toBe(2);
    expect(sample(samples, "musweep_worker_tokens_per_second", live)).toBe(2000);
    expect(sample(samples, "musweep_worker_tokens_per_second", { worker: "silent" })).toBe(0);
    expect(sample(samples, "musweep_worker_heartbeat_age_seconds", { worker: "silent" })).toBeGreaterThan(89);
    expect(sample(samples, "musweep_event_lag_entries")).toBe(0);
    expect(sample(samples, "musweep_redis_up")).toBe(1);
    expect(sample(samples, "process_resident_memory_bytes")).toBeGreaterThan(0);

    expect(sample(samples, "musweep_workers_unreadable")).toBe(0);

    await redis.set(
      workerKey("silent"),
      JSON.stringify({ ...heartbeat, slots: 1e12 }),
      "PX",
      HEARTBEAT_KEPT_MS,
    );
    const later = await read(app);
    expect(sample(later, "musweep_worker_slots", { worker: "silent" })).toBeUndefined();
    expect(sample(later, "musweep_workers_unreadable")).toBe(1);
  });

  it("without Redis still answers, says so, and leaves out what it cannot know", async () => {
    const samples = await read(openApp().app);
    expect(sample(samples, "musweep_redis_up")).toBe(0);
    expect(sample(samples, "musweep_runs", { state: "finished" })).toBe(0);
    expect(samples.some(({ name }) => /worker|queue|event_lag/.test(name))).toBe(false);
  });

  it("asks for the token like everything else, and takes it as Prometheus sends it", async () => {
    const { app } = openApp("secret");
    expect((await app.request("/metrics")).status).toBe(401);
    const headers = { authorization: "Bearer secret" };
    expect((await app.request("/metrics", { headers })).status).toBe(200);
  });

  it("has every metric that docs/metrics.md names, in its table, its alerts and its panel", async () => {
    const { app, redis } = await startApp();
    await redis.set(workerKey(heartbeat.worker), JSON.stringify(heartbeat), "PX", HEARTBEAT_KEPT_MS);
    await redis.sadd(WORKERS_KEY, heartbeat.worker);
    const names = new Set((await read(app)).map((s) => s.name));
    const docs = readFileSync(join(packageRoot(), "docs", "metrics.md"), "utf8");
    const [, rules] = [...docs.matchAll(/```yaml\n([\s\S]*?)```/g)].map(
      ([, yaml]) => parse(yaml!) as unknown,
    );
    const panel = JSON.parse(/```json\n([\s\S]*?)```/.exec(docs)![1]!) as { targets: { expr: string }[] };
    const { groups } = rules as { groups: { rules: { expr: string }[] }[] };
    const expressions = [...groups.flatMap((g) => g.rules), ...panel.targets].map(({ expr }) => expr);
    expect(expressions.length).toBeGreaterThan(4);
    const used = [docs, ...expressions].join("\n").match(/\bmusweep_[a-z_]+/g)!;
    expect([...new Set(used)].filter((name) => !names.has(name))).toEqual([]);
    const documented = new Set(docs.split("## Alerts")[0]!.match(/\bmusweep_[a-z_]+/g));
    expect([...names].filter((name) => name.startsWith("musweep_") && !documented.has(name))).toEqual([]);
  });
});
