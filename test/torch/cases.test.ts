/** The cases of the comparison with PyTorch cover what they claim to. */
import { expect, test } from "vitest";
import { coveringRows, FACTORS, type Levels } from "./cases.ts";

test("every pair of levels of two factors occurs in a row", () => {
  const rows = coveringRows();
  const factors = Object.keys(FACTORS) as (keyof Levels)[];
  const missing = factors.flatMap((f, i) =>
    factors
      .slice(i + 1)
      .flatMap((g) =>
        FACTORS[f].flatMap((a) =>
          FACTORS[g].flatMap((b) =>
            rows.some((row) => row[f] === a && row[g] === b) ? [] : [`${a} with ${b}`],
          ),
        ),
      ),
  );
  expect(missing).toEqual([]);
});
