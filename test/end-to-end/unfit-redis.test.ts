/** A Redis that does not keep what is put there is said at once, at the start and in the middle of a sweep. */
import { describe, expect, it, vi } from "vitest";
import { Musweep, musweep, sql, succeed, writeSweep } from "../support/musweep.ts";
import { freshRedis } from "../support/orchestrator.ts";
import { scratch, until } from "../support/scratch.ts";

// Many commands each, on machines that may be busy.
vi.setConfig({ testTimeout: 180_000 });

describe("a named Redis", () => {
  it("that evicts is refused before anything is queued; one without a limit never does", async () => {
    const place = scratch();
    const { url, redis } = await freshRedis();
    await redis.config("SET", "maxmemory", "100mb");
    for (const policy of ["allkeys-lru", "volatile-ttl"]) {
      await redis.config("SET", "maxmemory-policy", policy);
      const ended = await musweep(place, "run", writeSweep(place), "--redis", url);
      expect(ended).toMatchObject({ code: 3, stdout: "" });
      expect(ended.stderr).toContain(`(maxmemory-policy ${policy})`);
      expect(ended.stderr).toContain("CONFIG SET maxmemory-policy noeviction");
    }
    expect(await redis.keys("bull:*")).toEqual([]);
    await redis.config("SET", "maxmemory", "0");
    await succeed(place, "run", writeSweep(place, { sparsity: "[0]" }), "--redis", url);
  });

  it("that is full, at the start or in the middle, ends `run` with exit code 3; with room again it goes on", async () => {
    const place = scratch();
    const { url, redis } = await freshRedis();
    const file = writeSweep(place, { steps: 1500, seeds: "[1, 2]" });
    const full = /^Redis.* is full \(maxmemory\)$/m;
    await redis.config("SET", "maxmemory", "500kb");
    expect(await musweep(place, "run", file, "--redis", url)).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(full),
    });
    await redis.config("SET", "maxmemory", "0");
    const run = new Musweep(place, ["run", file, "--redis", url, "--slots", "1"]);
    await until(() => expect(sql(place, "SELECT 1 FROM runs WHERE state = 'finished'")).not.toEqual([]));
    await redis.config("SET", "maxmemory", "500kb");
    expect(await run.ended).toMatchObject({ code: 3, stderr: expect.stringMatching(full) });
    await redis.config("SET", "maxmemory", "0");
    await succeed(place, "run", file, "--redis", url);
    expect(sql(place, "SELECT state, count(*) AS n FROM runs GROUP BY 1")).toEqual([
      { state: "finished", n: 12 },
    ]);
  });
});
