/** People's queries in their own processes, on a real database: what they answer, and what stops them. */
import { readdirSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import type { PlainValue, QueryRequest } from "../../../orchestrator/sql/query-messages.ts";
import { createQueryRunner } from "../../../orchestrator/sql/query-runner.ts";
import { freshDatabase, gridText, sqliteOf, submitText } from "../../support/database.ts";
import { until } from "../../support/scratch.ts";
import { onLinux } from "../../support/tested-where.ts";

const ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

function freshRunner() {
  const db = freshDatabase();
  submitText(db, gridText());
  const runner = createQueryRunner(sqliteOf(db).name);
  onTestFinished(() => runner.close());
  const ask = async (query: string, caps: Partial<QueryRequest> = {}, seconds = 30, signal?: AbortSignal) => {
    const request = { query, max_rows: null, max_characters: null, max_value_characters: null, ...caps };
    const running = await runner.run(request, { seconds, ...(signal ? { signal } : {}) });
    const rows: PlainValue[][] = [];
    for (let next = await running.rows.next(); ; next = await running.rows.next()) {
      if (next.done) return { columns: running.columns, rows, end: next.value };
      rows.push(next.value);
    }
  };
  return { db, runner, ask };
}

describe("a query", () => {
  it("answers with columns and rows, as they are in the database at that moment", async () => {
    const { ask, db } = freshRunner();
    sqliteOf(db).exec("UPDATE runs SET state = 'cancelled' WHERE ordinal = 1");
    expect(
      await ask("SELECT outcome, count(*) AS n, NULL AS none FROM run_results GROUP BY outcome -- all"),
    ).toEqual({
      columns: ["outcome", "n", "none"],
      rows: [
        ["cancelled", 1, null],
        ["pending", 2, null],
      ],
      end: "complete",
    });
  });

  it("stops at the caps, and says that it did", async () => {
    const { ask } = freshRunner();
    const numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n";
    const capped = await ask(numbers, { max_rows: 3 });
    expect(capped).toEqual({ columns: ["i"], rows: [[1], [2], [3]], end: "capped" });
    // Exactly as many as there are is not cut short.
    expect(await ask(`${numbers} LIMIT 3`, { max_rows: 3 })).toMatchObject({ end: "complete" });
    const large = await ask(`SELECT hex(zeroblob(50)) FROM (${numbers})`, { max_characters: 1000 });
    expect(large).toMatchObject({ end: "capped" });
    expect(large.rows.length).toBe(11);
    expect((await ask("SELECT hex(zeroblob(50)), 7", { max_value_characters: 4 })).rows).toEqual([
      ["0000… (100 characters)", 7],
    ]);
  });

  it("shows what JSON has no word for", async () => {
    const { ask } = freshRunner();
    const { rows } = await ask(`SELECT 9e999, -9e999, x'00ff', '"' || char(10) || 'µ'`);
    expect(rows).toEqual([["Inf", "-Inf", "x'00ff'", '"\nµ']]);
  });

  it("with a mistake is refused with SQLite's words", async () => {
    const { ask } = freshRunner();
    await expect(ask("SELECT loss FROM nowhere")).rejects.toMatchObject({
      code: "sql",
      kind: "usage",
      message: "the query failed: no such table: nowhere",
      remedy: expect.stringMatching(/^The views: .*\boptima, .*\btransfer\. docs\/sql\.md lists/),
    });
    await expect(ask("")).rejects.toMatchObject({ code: "sql" });
    // One that shows itself only while rows are read.
    await expect(
      ask("SELECT json(value) FROM json_each('[1]') UNION ALL SELECT json('{')"),
    ).rejects.toMatchObject({ code: "sql", message: "the query failed: malformed JSON" });
  });
});

describe("a query that does not end", () => {
  it("is interrupted at its time limit, also one that never returns a row", async () => {
    const { ask } = freshRunner();
    await expect(ask(ENDLESS, {}, 1)).rejects.toMatchObject({
      code: "sql-time",
      message: "the query was interrupted after 1 s",
    });
  });

  it("is interrupted when nobody waits for it any more, and leaves room for another", async () => {
    const { ask } = freshRunner();
    const leave = new AbortController();
    const waiting = [ask(ENDLESS, {}, 60, leave.signal), ask(ENDLESS, {}, 60, leave.signal)];
    await expect(ask("SELECT 1")).rejects.toMatchObject({ code: "sql-busy" });
    leave.abort();
    for (const { reason } of (await Promise.allSettled(waiting)) as PromiseRejectedResult[])
      expect(reason).toMatchObject({ code: "sql-stopped" });
    await until(async () => expect(await ask("SELECT 1")).toMatchObject({ rows: [[1]] }));
  });

  it("is interrupted when it fills the memory", async () => {
    const { ask } = freshRunner();
    const filling = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)
      SELECT json_group_array(hex(zeroblob(1000)) || i) FROM n`;
    await expect(ask(filling)).rejects.toMatchObject({ code: expect.stringMatching(/^sql-memory$|^sql$/) });
  });

  it("is interrupted at a row that is too large to be passed on", async () => {
    const { ask } = freshRunner();
    await expect(ask("SELECT zeroblob(34000000)")).rejects.toMatchObject({ code: "sql-memory" });
  });
});

describe.runIf(onLinux("how much a query has written"))("a query whose rows are taken slowly", () => {
  it("waits, rather than fill the server's memory", async () => {
    const { runner } = freshRunner();
    const query = ENDLESS.replace("count(*)", "hex(zeroblob(250000))");
    const request = { query, max_rows: null, max_characters: null, max_value_characters: null };
    const { rows } = await runner.run(request, { seconds: 60 });
    await rows.next();
    let before = -1;
    await until(async () => {
      const written = writtenByChildren();
      const isStill = written === before;
      before = written;
      await sleep(300);
      expect(isStill).toBe(true);
    });
    expect(before).toBeLessThan(8 << 20);
    await rows.return("capped");
  });
});

/** Bytes, by processes that this one has started and that have not ended. */
function writtenByChildren(): number {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(writtenByChild).reduce((sum, bytes) => sum + bytes, 0);
}

function writtenByChild(pid: string): number {
  try {
    const parent = /^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
    if (Number(parent) !== process.pid) return 0;
    return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
  } catch {
    // Ended meanwhile.
    return 0;
  }
}
