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

const wide = (width: number, failed = "0"): string[] =>
  textTable<string>(
    [
      { title: "sweep", value: (r) => r },
      { title: "runs to train", align: "right", value: () => "12" },
      { title: "failed", align: "right", ifAny: true, value: () => failed },
      { title: "tokens a run", align: "right", value: () => "512" },
    ],
    ["first", "second"],
    width,
  ).split("\n");

test("headings are wrapped before anything is left out", () => {
  expect(wide(30)).toEqual([
    "sweep    runs  failed  tokens",
    "           to           a run",
    "        train",
    "first      12       0     512",
    "second     12       0     512",
  ]);
});

test("what is 0 in every row is left out where there is no room, and only there", () => {
  expect(wide(22).at(-1)).toBe("second     12     512");
  expect(wide(60).at(-1)).toBe("second             12       0           512");
  expect(wide(26, "1").at(-1)).toBe("second    12      1    512");
});

test("where nothing else fits, a line for each value", () => {
  expect(wide(16).slice(0, 9)).toEqual([
    "sweep     first",
    "runs to   12",
    "train",
    "failed    0",
    "tokens a  512",
    "run",
    "",
    "sweep     second",
    "runs to   12",
  ]);
});

test("never wider than the terminal, whatever is in it", () => {
  const columns = Array.from({ length: 30 }, (_, i) => ({
    title: `column ${i}`,
    value: (r: string) => `${r} ${"x".repeat(i * 4)}`,
  }));
  for (const width of [20, 40, 80])
    for (const line of textTable(columns, ["a", "b"], width).split("\n"))
      expect(line.length).toBeLessThanOrEqual(width);
});
