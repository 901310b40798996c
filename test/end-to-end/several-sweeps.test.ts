/** Several sweeps in one state directory, and several orchestrators beside one Redis, as a user starts them. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openRedis } from "../../orchestrator/redis/open-redis.ts";
import { freePort, Musweep, musweep, sql, succeed, writeSweep } from "../support/musweep.ts";
import { type Scratch, scratch, until } from "../support/scratch.ts";

const trained = (place: Scratch): Record<string, number> =>
  Object.fromEntries(
    sql<{ sweep: string; n: number }>(
      place,
      "SELECT sweep, count(*) AS n FROM run_results WHERE outcome IN ('finished', 'diverged') GROUP BY sweep",
    ).map(({ sweep, n }) => [sweep, n]),
  );

describe("`run` of one sweep beside others", () => {
  it("trains that sweep alone, also what an earlier command left on the queue of others; --all trains the rest", async () => {
    const place = scratch();
    // Abandoned in the middle: killed with its runs on the queue.
    const abandoned = writeSweep(place, { name: "abandoned", seeds: "{ count: 4 }", steps: 150 });
    const first = new Musweep(place, ["run", abandoned, "--slots", "1"]);
    await until(() => expect(sql(place, "SELECT 1 FROM runs WHERE state = 'running'")).toHaveLength(1));
    await first.signal("SIGKILL");
    const before = trained(place).abandoned ?? 0;
    const own = writeSweep(place, { name: "own", seeds: "[101]", steps: 10 });
    const ended = await succeed(place, "run", own);
    expect(ended.stderr).toMatch(/Not trained here: \d+ runs of abandoned \(--all trains them too\)\./);
    // What was reported before the kill may have been stored since; nothing of it was begun.
    expect(trained(place).own).toBe(6);
    expect(trained(place).abandoned ?? 0).toBeLessThanOrEqual(before + 1);
    const begun = "SELECT count(*) AS n FROM attempts";
    const [{ n }] = sql<{ n: number }>(place, begun) as [{ n: number }];
    await succeed(place, "run", own);
    expect(sql(place, begun)).toEqual([{ n }]);
    const last = writeSweep(place, { name: "last", seeds: "[102]", steps: 155 });
    await succeed(place, "run", last, "--all");
    expect(trained(place).last).toBe(6);
    expect(trained(place).abandoned).toBeGreaterThan(before + 3);
  });
});

it("a second orchestrator on one Redis is refused with exit code 4, and the first goes on", async () => {
  const place = scratch();
  const redis = await openRedis({ directory: join(place.directory, "redis") });
  try {
    const serve = async (dir: string) =>
      new Musweep(place, ["serve", "--dir", dir, "--redis", redis.url, "--port", `${await freePort()}`]);
    const first = await serve("first");
    await first.says(/musweep is at/);
    const second = await (await serve("second")).ended;
    expect(second.code).toBe(4);
    expect(second.stderr).toMatch(/another orchestrator is at work on this Redis, process \d+ on .*first/);
    const run = await musweep(
      place,
      "run",
      writeSweep(place),
      "--dir",
      "third",
      "--redis",
      redis.url,
      "--json",
    );
    expect(run.code).toBe(4);
    expect(JSON.parse(run.stdout)).toMatchObject({ error: { code: "redis-shared" } });
    expect(first.child.exitCode).toBeNull();
    expect((await first.signal("SIGTERM")).code).toBe(0);
    const next = await serve("second");
    await next.says(/musweep is at/);
    expect((await next.signal("SIGTERM")).code).toBe(0);
  } finally {
    await redis.close();
  }
});
