/** Tables in a terminal that is too narrow for them. */
import { expect, test } from "vitest";
import { textTable } from "../../../orchestrator/terminal/table.ts";

interface Row {
  name: string;
  loss: string;
  note: string;
}
const rows: Row[] = [
  { name: "SP", loss: "2.099", note: "" },
  { name: "SμPar", loss: "1.763", note: "noise hides the minimum: add seeds" },
];
const at = (width: number): string[] =>
  textTable<Row>(
    [
      { title: "param.", value: (r) => r.name },
      { title: "loss", align: "right", value: (r) => r.loss },
      { title: "note", value: (r) => r.note },
    ],
    rows,
    width,
  ).split("\n");

test("where it fits, a line for each row", () => {
  const [heading, first, second] = at(80);
  expect(heading).toBe("param.   loss  note");
  expect(first).toBe("SP      2.099");
  expect(second).toBe("SμPar   1.763  noise hides the minimum: add seeds");
});

test("a text is wrapped in its column", () => {
  expect(at(34).slice(2)).toEqual(["SμPar  1.763 noise hides the", "             minimum: add seeds"]);
});

test("or stands below its row", () => {
  expect(at(24)).toEqual([
    "param.  loss",
    "SP     2.099",
    "SμPar  1.763",
    "    noise hides the",
    "    minimum: add seeds",
  ]);
});
