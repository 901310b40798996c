/** Whose turn it is, against shares that are known beforehand. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Shares } from "../../../orchestrator/database/shares.ts";

const runsOf = (sweep: string, count: number, planned_flops: number) =>
  Array.from({ length: count }, (_, i) => ({ id: `${sweep}${i}`, planned_flops }));

const claim = (id: number, priority: number, runs: { id: string; planned_flops: number }[]) => ({
  id,
  priority,
  runs,
});

const names = (runs: { id: string }[]): string => runs.map((run) => run.id[0]).join("");

describe("sweeps that wait together", () => {
  it("of the same cost take turns", () => {
    const taken = new Shares().take([claim(1, 1, runsOf("a", 9, 5)), claim(2, 1, runsOf("b", 9, 5))], 6);
    expect(names(taken)).toBe("ababab");
  });

  it("share the computation, not the number of runs", () => {
    // Runs of a cost three times as much: one of them for three of b.
    const taken = new Shares().take([claim(1, 1, runsOf("a", 9, 3)), claim(2, 1, runsOf("b", 9, 1))], 8);
    expect(names(taken)).toBe("abbbabbb");
  });

  it("share it by priority", () => {
    const taken = new Shares().take([claim(1, 2, runsOf("a", 9, 1)), claim(2, 1, runsOf("b", 9, 1))], 6);
    expect(taken.filter(({ id }) => id.startsWith("a"))).toHaveLength(4);
  });

  it("that come later begin where the others are", () => {
    const shares = new Shares();
    shares.take([claim(1, 1, runsOf("a", 100, 1)), claim(2, 1, runsOf("b", 100, 1))], 100);
    const taken = shares.take(
      [claim(1, 1, runsOf("a", 9, 1)), claim(2, 1, runsOf("b", 9, 1)), claim(3, 1, runsOf("c", 9, 1))],
      6,
    );
    expect(names(taken)).toBe("abcabc");
  });

  it("give what one does not want to the others, and take a run of several once", () => {
    const shared = { id: "x", planned_flops: 1 };
    const taken = new Shares().take([claim(1, 1, [shared]), claim(2, 1, [shared, ...runsOf("b", 2, 1)])], 10);
    expect(names(taken)).toBe("xbb");
  });

  it("never differ by more than two of their longest runs, whatever the costs and priorities (Goyal et al., theorem 1)", () => {
    const run = fc.double({ min: 1, max: 50, noNaN: true });
    const sweep = fc.record({
      priority: fc.double({ min: 0.1, max: 10, noNaN: true }),
      costs: fc.array(run, { minLength: 40, maxLength: 40 }),
    });
    fc.assert(
      fc.property(sweep, sweep, (a, b) => {
        const claims = [a, b].map(({ priority, costs }, i) =>
          claim(
            i,
            priority,
            costs.map((planned_flops, n) => ({ id: `${i}-${n}`, planned_flops })),
          ),
        );
        const had = [0, 0];
        for (const { id, planned_flops } of new Shares().take(claims, 40)) {
          const i = Number(id[0]);
          had[i]! += planned_flops / claims[i]!.priority;
          const longest = claims.map(
            ({ priority, runs }) => Math.max(...runs.map((r) => r.planned_flops)) / priority,
          );
          expect(Math.abs(had[0]! - had[1]!)).toBeLessThanOrEqual(longest[0]! + longest[1]! + 1e-6);
        }
      }),
    );
  });
});
