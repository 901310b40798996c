/** Tables of very many curves: how far they are is told, and what would take hours is refused before it begins. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { readImport } from "../../../orchestrator/commands/import-options.ts";
import { storeImport } from "../../../orchestrator/database/store-import.ts";
import { freshDatabase } from "../../support/database.ts";
import { scratch } from "../../support/scratch.ts";

const OPTIONS = { column: new Map<string, string>(), ignore: [], set: new Map<string, string>() };

function tableOf(curves: number, rates: readonly number[]): string {
  const file = join(scratch().directory, "t.csv");
  const rows = Array.from({ length: curves }, (_, i) =>
    rates.map((rate) => `${rate},${3 + rate},${i + 1}e-9`),
  );
  writeFileSync(file, `lr,val_loss,eps\n${rows.flat().join("\n")}\n`);
  return file;
}

it("every fit and verdict is told before it is made", async () => {
  const { sweep } = await readImport(tableOf(3, [0.1, 0.2, 0.4]), "told", OPTIONS);
  const told: string[] = [];
  storeImport(freshDatabase(), sweep, (what, done, of) => told.push(`${what} ${done} of ${of}`));
  expect(told).toEqual(["fits 0 of 3", "fits 1 of 3", "fits 2 of 3", "verdicts 0 of 1"]);
});

it("more curves than are fitted are refused, with the column that makes them", async () => {
  const file = tableOf(5001, [0.1, 0.2]);
  await expect(readImport(file, "many", OPTIONS)).rejects.toMatchObject({
    code: "results-size",
    kind: "usage",
    message: `${file}: the rows make 5001 curves of the loss over the learning rate; at most 5000 are fitted (eps has 5001 values)`,
    remedy: expect.stringContaining("--ignore COLUMN"),
  });
});
